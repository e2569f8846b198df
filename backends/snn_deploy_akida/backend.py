"""Runs of BrainChip's engine as runs of this project: counts of every population, each of which is one event."""

from __future__ import annotations

import time
from importlib import import_module
from typing import Any

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Progress, Record, Run
from snn_deploy.backend.stimulus import check_stimulus, digest_stimulus
from snn_deploy.errors import BackendUnavailableError
from snn_deploy.mapping.akida import EnginePlan, name_misfits, plan_layers
from snn_deploy.network import artifact
from snn_deploy.network.dynamics import advance, initialize_membrane, transmit
from snn_deploy.network.network import Network
from snn_deploy_akida.program import build_model, forward, run_layer

NAMED = 3
"""Misfits that an error names."""


class AkidaBackend:
    """The software of BrainChip's Akida 2, which computes layer by layer and shares no arithmetic with the others.

    Every layer is run by itself on what the engine has made of the layers before; what the host reads comes from all layers as
    one model, as it would be deployed. The engine has no time: in networks where every neuron sends its whole count at once,
    and no others fit, a count is the one event. Membranes stay inside it.
    """

    name = "akida"

    def __init__(self, engine: Any = None) -> None:
        """``engine``: the package akida, which is imported by default."""
        self._engine = import_module("akida") if engine is None else engine

    def run(
        self,
        network: Network,
        stimulus: Int64,
        record: Record = Record.COUNTS,
        progress: Progress | None = None,
    ) -> Run:
        """Run input payloads ``stimulus`` (B, C, H, W) int64; see :class:`~snn_deploy.backend.protocol.Run`.

        Membranes cannot be read, so ``states`` is always ``None``. Before anything runs,
        :class:`~snn_deploy.errors.BackendUnavailableError` names the populations that no layer of the engine can compute.
        """
        plan = check_network(network)
        check_stimulus(network, stimulus)
        started = time.perf_counter()
        counts = _run_layers(self._engine, network, plan, stimulus, progress)
        for output in network.outputs:
            if output.population != network.input.name:
                counts[output.population] = _run_whole(self._engine, network, plan, output.population, stimulus)
        trains = {name: values[:, None].astype(np.int32) for name, values in counts.items()}
        return Run(
            backend=self.name,
            network=artifact.digest(network),
            stimulus=digest_stimulus(stimulus),
            counts=counts,
            events={name: (values != 0).astype(np.int64) for name, values in counts.items()},
            trains=trains if record >= Record.TRAINS else None,
            saturations=dict.fromkeys(counts, 0),
            engines=_name_engines(self._engine, network, plan),
            seconds=time.perf_counter() - started,
        )


def check_network(network: Network) -> EnginePlan:
    """The layers of ``network``; :class:`~snn_deploy.errors.BackendUnavailableError` names what does not fit."""
    plan = plan_layers(network)
    if plan.misfits:
        raise BackendUnavailableError(f"akida cannot run this network: {name_misfits(plan.misfits, NAMED)}")
    return plan


def _run_layers(
    engine: Any, network: Network, plan: EnginePlan, stimulus: Int64, progress: Progress | None
) -> dict[str, Int64]:
    """Counts (B, C, H, W) of every population."""
    made: dict[str, Int64] = {network.input.name: stimulus}
    for number, layer in enumerate(plan.layers):
        made[layer.name] = run_layer(engine, layer, [made[source] for source in layer.sources])
        if progress is not None:
            progress(number + 1, len(plan.layers))
    for name in (name for maximum in plan.maxima for name in maximum.inner):
        made[name] = _relay(network, name, made)
    return {population.name: made[population.name] for population in network.populations}


def _relay(network: Network, name: str, counts: dict[str, Int64]) -> Int64:
    """What a relay inside of a maximum sends, which the engine does not tell; from the counts that it read."""
    population = network.population(name)
    current = sum(transmit(connection, counts[connection.source]) for connection in network.incoming(name))
    membrane = initialize_membrane(population, len(counts[network.input.name]))
    if population.neuron is None:
        return membrane
    return advance(population.neuron, membrane, np.zeros_like(membrane), current + population.bias)[2]


def _run_whole(engine: Any, network: Network, plan: EnginePlan, name: str, stimulus: Int64) -> Int64:
    """Counts of ``name`` from all the layers behind it as one model."""
    last = next(index for index, layer in enumerate(plan.layers) if layer.name == name)
    channels, height, width = network.input.shape
    model = build_model(engine, plan.layers[: last + 1], network.input.name, channels, (height, width))
    return forward(model, stimulus)


def _name_engines(engine: Any, network: Network, plan: EnginePlan) -> dict[str, str]:
    inner = {name for maximum in plan.maxima for name in maximum.inner}
    layers = f"Akida engine {engine.__version__}"
    return {
        population.name: "host: inside of a maximum that the engine takes whole" if population.name in inner else layers
        for population in network.populations[1:]
    }

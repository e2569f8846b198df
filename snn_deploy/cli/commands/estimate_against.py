"""``snn-deploy estimate --against``: the estimate of an image beside what a simulator of the same chip reports."""

from __future__ import annotations

import argparse

import numpy as np

from snn_deploy.activity.counting import count_activity
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.simulation import ChipSimulator
from snn_deploy.cli import arguments as shared
from snn_deploy.cli.clipping import record_clipping
from snn_deploy.cost.against import compare
from snn_deploy.cost.energy import estimate
from snn_deploy.cost.loads import choose_record
from snn_deploy.display.against_table import OPTIONAL, against_table, steps_table
from snn_deploy.display.console import progress, show, show_json
from snn_deploy.errors import BackendError, BackendUnavailableError, StimulusError
from snn_deploy.mapping.fit import map_network
from snn_deploy.network import artifact
from snn_deploy.targets.load import load_target

SIMULATORS = ("sanafe",)
"""Backends that say what a run takes."""


def execute(arguments: argparse.Namespace) -> int:
    """Run on both, compare, show."""
    if arguments.input is None:
        raise StimulusError("give --input FILE, the image that the simulator runs")
    simulator = load_backend(arguments.against)
    if not isinstance(simulator, ChipSimulator):
        raise BackendUnavailableError(f"backend {arguments.against} does not say what a run takes")
    network, payloads = shared.stimulus(arguments, artifact.load(arguments.network))
    target = load_target(simulator.target)
    with progress(f"{arguments.against}: {network.name}"):
        simulation = simulator.simulate(network, payloads)
    run = shared.run(arguments.backend, network, payloads, choose_record(network, 1))
    different = [name for name in run.counts if not np.array_equal(run.counts[name], simulation.run.counts[name])]
    if different:
        raise BackendError(
            f"{arguments.against} and {arguments.backend} fire other spikes in {', '.join(different)}; find the first one with"
            f" verify --backends {arguments.backend},{arguments.against}"
        )
    mapping, activity = map_network(network, target), count_activity(network, run)
    energy = estimate(network, activity, target, mapping=mapping)
    against = compare(network, activity, mapping, target, energy, simulation)
    if arguments.json:
        record = {"energy": energy.record(), "mapping": mapping.record(), "against": against.record()}
        show_json("estimate-against", record | {"clipped": record_clipping(arguments)})
    else:
        show(against_table(against, network.name, target.name))
        show(steps_table(against), optional=OPTIONAL)
        for problem in mapping.problems:
            show(f"a chip would not do what the simulation does: {problem.text}")
    return 0

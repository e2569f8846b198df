"""onnxruntime on the integer ONNX form of a network: counts of ``exact`` mode without simulated time.

Unlike other backends it reads :mod:`snn_deploy.exchange`, since what it runs is exactly the file that ``emit --to onnx`` writes.
"""

from __future__ import annotations

import time

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.backend.compiled_form import CompiledForm
from snn_deploy.backend.protocol import Progress, Record, Run
from snn_deploy.backend.stimulus import check_stimulus, digest_stimulus
from snn_deploy.exchange.integer_onnx import encode_onnx
from snn_deploy.exchange.integer_onnx_reader import read_integer_onnx
from snn_deploy.frontend.onnx import session
from snn_deploy.network import artifact
from snn_deploy.network.network import Network


def compute_counts(model: bytes, stimulus: Int64) -> dict[str, Int64]:
    """Counts (B, C, H, W) int64 by population that onnxruntime computes for input payloads (B, C, H, W)."""
    opened = session(model)
    (source,) = opened.get_inputs()
    names = [output.name for output in opened.get_outputs()]
    counts = opened.run(names, {source.name: stimulus.astype(np.int32)})
    computed = {name: values.astype(np.int64) for name, values in zip(names, counts, strict=True)}
    return {source.name: stimulus, **computed}


class OnnxBackend:
    """onnxruntime on the ONNX form of a network: a backend for the verifier that shares no arithmetic with the others."""

    name = "onnx"

    def run(
        self,
        network: Network,
        stimulus: Int64,
        record: Record = Record.COUNTS,  # noqa: ARG002  # without time steps only counts exist
        progress: Progress | None = None,
    ) -> Run:
        """Counts of ``stimulus`` (B, C, H, W), and events where every neuron sends its whole count at once.

        Trains and states exist in time only: they are ``None`` for every ``record``, and a verdict says so.
        """
        check_stimulus(network, stimulus)
        started = time.perf_counter()
        counts = compute_counts(encode_onnx(network), stimulus)
        if progress is not None:
            progress(1, 1)
        whole = network.one_shot
        return Run(
            backend=self.name,
            network=artifact.digest(network),
            stimulus=digest_stimulus(stimulus),
            counts=counts,
            events={name: (values != 0).astype(np.int64) for name, values in counts.items()} if whole else {},
            engines={population.name: "onnxruntime int8" for population in network.populations[1:]},
            seconds=time.perf_counter() - started,
        )

    def read_compiled(self, network: Network) -> CompiledForm:
        """What the nodes of the file compute, read back from its bytes."""
        return read_integer_onnx(encode_onnx(network), network.input.input_min, network.input.input_max)

"""Trained networks: whichever way a layer is computed, the same spikes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snn_deploy import pipeline
from snn_deploy.backend import Record
from snn_deploy.conversion.options import preset
from snn_deploy.testing import random_stimulus
from snn_deploy_cpu import CpuBackend, firing


@pytest.mark.parametrize("model", ["segmenter_isbi", "denoiser_s25"])
@pytest.mark.parametrize("options", [preset("multi-threshold", steps=4), preset("exact", levels=127)])
def test_events_and_dense_layers_agree(root: Path, model: str, options: object) -> None:
    """Pooling, transposed convolutions, payloads of both signs, skips: what real networks send."""
    if firing.compiled_kernels() is None:
        pytest.skip("the event-driven path needs numba")
    images = np.random.default_rng(0).random((1, 1, 64, 64)).astype(np.float32)
    converted = pipeline.convert(root / "models" / f"{model}.onnx", [images], options)  # type: ignore[arg-type]
    network = converted.conversion.network
    stimulus = random_stimulus(network)
    dense, sparse = (CpuBackend(quiet=quiet).run(network, stimulus, Record.TRAINS) for quiet in (0.0, 1.0))
    assert sum("events" in name for name in sparse.engines.values()) > 8
    for name, train in dense.trains.items():  # type: ignore[union-attr]
        np.testing.assert_array_equal(sparse.trains[name], train, err_msg=name)  # type: ignore[index]

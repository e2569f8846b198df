"""Trained networks: however a layer is computed, the same spikes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from skimage import data

from snn_deploy.backend.protocol import Record
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.conversion import convert as pipeline
from snn_deploy.conversion.options import preset
from snn_deploy.network.network import Network
from snn_deploy.testing import random_stimulus
from snn_deploy_cpu import CpuBackend


@pytest.mark.parametrize("model", ["segmenter_isbi", "denoiser_s25"])
@pytest.mark.parametrize("options", [preset("multi-threshold", steps=4), preset("exact", levels=127)])
def test_all_paths_agree(root: Path, model: str, options: object) -> None:
    """Pooling, transposed convolutions, payloads of both signs, skips: what real networks send."""
    images = np.random.default_rng(0).random((1, 1, 32, 32)).astype(np.float32)
    converted = pipeline.convert(root / "models" / f"{model}.onnx", [images], options)  # type: ignore[arg-type]
    network = converted.conversion.network
    _agree(network, random_stimulus(network), Record.TRAINS)


@pytest.mark.extended
@pytest.mark.parametrize("model", ["segmenter_isbi", "denoiser_s25"])
@pytest.mark.parametrize("options", [preset("multi-threshold", steps=16), preset("exact", levels=255)])
def test_all_paths_agree_on_a_photograph(root: Path, model: str, options: object) -> None:
    image = (data.camera()[128:256, 128:256] / np.float32(255))[None, None]
    converted = pipeline.convert(root / "models" / f"{model}.onnx", [image], options)  # type: ignore[arg-type]
    network = converted.conversion.network
    _agree(network, quantize_images(network, image), Record.COUNTS)


def _agree(network: Network, stimulus: npt.NDArray[np.int64], record: Record) -> None:
    library, sparse, direct = (
        CpuBackend(sparse_below=below, direct=use_direct).run(network, stimulus, record)
        for below, use_direct in ((0.0, False), (1.0, False), (0.0, True))
    )
    assert sum("sparse" in name for name in sparse.engines.values()) > 8
    for run in (sparse, direct):
        for found, expected in ((run.counts, library.counts), (run.trains or {}, library.trains or {})):
            assert found.keys() == expected.keys()
            for name, numbers in expected.items():
                np.testing.assert_array_equal(found[name], numbers, err_msg=name)
        assert run.saturations == library.saturations

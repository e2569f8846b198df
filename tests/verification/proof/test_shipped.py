"""The five shipped networks, as they are converted by default, are proved in every backend that can be read back."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.backend.registry import load_backend
from snn_deploy.conversion.convert import convert, input_channels
from snn_deploy.data.calibration import load_calibration_images
from snn_deploy.verification.proof import prove_backend

pytest.importorskip("skimage", reason="calibration without images of one's own needs the extra report")

MODELS = sorted((Path(__file__).parents[3] / "models").glob("*.onnx"))

BACKENDS = ("cpu", "onnx", *(("lava",) if importlib.util.find_spec("lava") else ()))


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.stem)
def test_a_shipped_network_is_proved(model: Path) -> None:
    channels = input_channels(model, (64, 64))
    noise = 25.0 if "denoiser" in model.stem else 0.0
    images = [np.ascontiguousarray(image[..., :64, :64]) for image in load_calibration_images(None, channels, noise)]
    network = convert(model, images).conversion.network
    for backend in BACKENDS:
        proof = prove_backend(network, load_backend(backend))
        assert proof.exit_code == 0, proof.line

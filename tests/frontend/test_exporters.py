"""The nets of ``models/`` as both PyTorch exporters write them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.frontend.onnx import read, to_onnx
from snn_deploy.passes import normal_form
from tests.frontend.oracle import numbers, relative, run

torch = pytest.importorskip("torch", reason="torch is absent: it writes the files this test reads")
MODELS = Path(__file__).parents[2] / "models"


@pytest.mark.parametrize("name", ["DenoisingUNet", "SegmentationUNet"])
@pytest.mark.parametrize(
    ("opset", "dynamo"), [(11, False), (17, False), pytest.param(18, True, marks=pytest.mark.slow)]
)
@pytest.mark.filterwarnings("ignore")  # PyTorch's exporters warn about themselves
def test_both_exporters(name: str, opset: int, dynamo: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(MODELS)])
    import unet

    torch.manual_seed(0)
    net = getattr(unet, name)(8, 3)
    image = torch.from_numpy(numbers(1, 1, 16, 24))
    with torch.no_grad():
        net(image)  # in training mode: gives batch normalization statistics of its own
        net.eval()
        want = net(image).numpy()
    path = tmp_path / "net.onnx"
    torch.onnx.export(net, (image,), str(path), dynamo=dynamo, opset_version=opset, external_data=dynamo)
    imported = read(path)
    assert not imported.ledger.refused
    for graph in (imported.graph, normal_form(imported.graph)):
        (got,) = run(to_onnx(graph), np.asarray(image))
        assert relative(want, got) <= 1e-5

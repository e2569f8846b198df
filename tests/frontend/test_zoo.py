"""Whole nets that others exported: after all passes they compute what onnxruntime, and the framework, computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from snn_deploy.errors import UnsupportedModelError
from snn_deploy.frontend.onnx import freeze_norm, inspect, read, to_onnx
from snn_deploy.passes import normal_form
from tests.frontend.oracle import relative, run

MODELS = Path(__file__).parents[2].parent / "shared" / "models"
NAMES = {
    "fepegar_bn_prelu.ts17.fixed": "fepegar_bn_prelu",
    "monai_basicunet_bn_relu.dyn18.fixed": "monai_basicunet_bn_relu",
    "monai_basicunet_bn_relu.ts13.dynamic": "monai_basicunet_bn_relu",
    "monai_basicunet_bn_relu.ts17.fixed": "monai_basicunet_bn_relu",
    "monai_basicunet_bn_relu.ts17bn.fixed": "monai_basicunet_bn_relu.bn",
    "monai_unet_plain_relu.dyn18.dynamic": "monai_unet_plain_relu",
    "monai_unet_plain_relu.ts17.fixed": "monai_unet_plain_relu",
    "sasekazu_sed-gen-web__unet": "sasekazu_sed-gen-web__unet",
    "smp_unet_resnet18.dyn18.fixed": "smp_unet_resnet18",
}

pytestmark = pytest.mark.skipif(
    not MODELS.is_dir(), reason=f"{MODELS} is absent: nets of other projects, not kept here"
)


@pytest.mark.parametrize("name", NAMES)
def test_imported_whole(name: str) -> None:
    path = MODELS / f"{name}.onnx"
    data = np.load(MODELS / f"{NAMES[name]}.npz")
    x = data["x"][:1].astype(np.float32)
    imported = read(path, x.shape[2:])
    assert len(imported.ledger.rows) == len(onnx.load(path).graph.node)
    assert imported.ledger.counts["refused"] == 0
    (runtime,) = run(path.read_bytes(), x)
    for graph in (imported.graph, normal_form(imported.graph)):
        (got,) = run(to_onnx(graph), x)
        assert relative(runtime, got) <= 1e-5
        assert relative(data["y" if "y" in data else "y0"][:1], got) <= 1e-4


def test_attention_gates_are_refused_each_by_name() -> None:
    ledger = inspect(MODELS / "monai_attentionunet.ts17.fixed.onnx")
    refused = {kind: [row.node for row in ledger.refused if row.operator == kind] for kind in ("Mul", "Sigmoid")}
    assert [len(nodes) for nodes in refused.values()] == [3, 3]
    assert ledger.counts["refused"] == 9
    with pytest.raises(UnsupportedModelError) as caught:
        read(MODELS / "monai_attentionunet.ts17.fixed.onnx")
    assert all(f"{node} (Mul): is part of an attention gate" in str(caught.value) for node in refused["Mul"])
    assert not any(f"{node} (Sigmoid)" in str(caught.value) for node in refused["Sigmoid"])


def test_instance_normalization_is_refused_and_can_be_frozen() -> None:
    path = MODELS / "monai_basicunet.ts17.fixed.onnx"
    assert {row.operator for row in inspect(path).refused} == {"InstanceNormalization"}
    x = np.load(MODELS / "monai_basicunet.npz")["x"].astype(np.float32)
    frozen = freeze_norm(path, x)
    (got,) = run(to_onnx(normal_form(read(frozen.model).graph)), x)
    assert relative(run(path.read_bytes(), x)[0], got) <= 1e-4
    assert frozen.loss[0][1] <= 1e-4  # one image: its own statistics are the mean

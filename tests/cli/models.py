"""Files for the command line: ONNX models of a few weights, at a fixed size or an open one, and other tools' networks."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from snn_deploy.exchange.netx_write import write_net
from snn_deploy.exchange.nir_write import write_nir
from snn_deploy.network.cuba_lif import CubaLif
from snn_deploy.network.kernels import ConvKernel
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.schedule import align


def write_head(path: Path, channels: int, *operators: str) -> Path:
    """A convolution with ReLU, a second one to ``channels``, and ``operators`` after it; images of any size."""
    rng = np.random.default_rng(5)
    weights = [rng.normal(0, 1, shape).astype(np.float32) for shape in ((6, 1, 3, 3), (channels, 6, 1, 1))]
    weights[0] -= weights[0].mean((1, 2, 3), keepdims=True)  # what differs is the contrast, not the brightness,
    weights[1] -= weights[1].mean(1, keepdims=True)  # and no class is the largest everywhere
    biases = [np.full(6, 0.5, np.float32), rng.normal(0, 0.1, (channels,)).astype(np.float32)]
    nodes = [
        helper.make_node("Conv", ["image", "w0", "b0"], ["c"], name="/a/Conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], name="/a/Relu"),
        helper.make_node("Conv", ["r", "w1", "b1"], ["v0"], name="/head/Conv"),
    ]
    for index, operator in enumerate(operators):
        how: dict[str, Any] = {"Sigmoid": {}, "Transpose": {"perm": [0, 2, 3, 1]}}.get(operator, {"axis": 1})
        nodes.append(helper.make_node(operator, [f"v{index}"], [f"v{index + 1}"], name=f"/{operator}", **how))
    element = TensorProto.INT64 if "ArgMax" in operators else TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "head",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, "h", "w"])],
        [helper.make_tensor_value_info(f"v{len(operators)}", element, ["n", "oc", "h", "w"])],
        [
            numpy_helper.from_array(values, f"{kind}{index}")
            for kind, both in (("w", weights), ("b", biases))
            for index, values in enumerate(both)
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def write_unet(path: Path, size: tuple[int, int] | None = None, *, channels: int = 1, extra: str | None = None) -> Path:
    """Two levels with a skip; ``extra`` is an operator put before the head."""
    rng = np.random.default_rng(3)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array((rng.normal(0, 0.4, shape)).astype(np.float32), name)

    ones = [1, 1, 1, 1]
    nodes = [
        helper.make_node("Conv", ["image", "w1", "b1"], ["e"], name="/enc/enc.0/Conv", pads=ones),
        helper.make_node("Relu", ["e"], ["skip"], name="/enc/enc.0/Relu"),
        helper.make_node("AveragePool", ["skip"], ["p"], name="/pool/Pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["p", "w2", "b2"], ["d"], name="/mid/Conv", pads=ones),
        helper.make_node("Relu", ["d"], ["deep"], name="/mid/Relu"),
        helper.make_node("ConvTranspose", ["deep", "w3"], ["u"], name="/up/ConvTranspose", strides=[2, 2]),
        helper.make_node("Relu", ["u"], ["up"], name="/up/Relu"),
        helper.make_node("Concat", ["skip", "up"], ["both"], name="/Concat", axis=1),
    ]
    last = "both"
    if extra is not None:
        nodes.append(helper.make_node(extra, [last], ["x"], name=f"/{extra}"))
        last = "x"
    nodes.append(helper.make_node("Conv", [last, "w4"], ["out"], name="/head/Conv"))
    shape: list[int | str] = ["n", channels, *(size or ("h", "w"))]
    graph = helper.make_graph(
        nodes,
        "unet",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", channels, "oh", "ow"])],
        [
            weight("w1", 3, channels, 3, 3),
            weight("b1", 3),
            weight("w2", 4, 3, 3, 3),
            weight("b2", 4),
            weight("w3", 4, 3, 2, 2),
            weight("w4", channels, 6, 1, 1),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def write_leaky(path: Path, alpha: float = 0.1) -> Path:
    """:func:`write_unet` with a LeakyReLU of slope ``alpha`` for each ReLU."""
    model = onnx.load(write_unet(path))
    for node in model.graph.node:
        if node.op_type == "Relu":
            node.op_type = "LeakyRelu"
            node.attribute.append(helper.make_attribute("alpha", alpha))
    onnx.save(model, path)
    return path


def write_foreign(folder: Path) -> tuple[Path, Path]:
    """A network of three neurons as a ``.net`` file and as a NIR graph."""
    zeros = np.zeros((3, 1, 1), np.int64)
    theta = np.full(3, 640)
    image = Population("image", (2, 1, 1), None, zeros[:2], np.ones(2), input_max=1)
    neuron = CubaLif.of(theta, 0 * theta, current_decay=4096, voltage_decay=128)
    leaky = Population("layer/1", (3, 1, 1), neuron, zeros, np.ones(3))
    edge = Connection("image->layer/1", "image", "layer/1", ConvKernel(np.full((3, 2, 1, 1), 20)))
    network = align(Network("leaky", "rate", 8, (image, leaky), (edge,), (Output("out", "layer/1"),)))
    paths = folder / "leaky.net", folder / "leaky.nir"
    write_net(network, paths[0])
    write_nir(network, paths[1])
    return paths

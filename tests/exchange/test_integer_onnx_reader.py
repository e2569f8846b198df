"""Integer ONNX files read back: what is read is what the file computes, and strange files are refused by name, early."""

from __future__ import annotations

import resource
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from snn_deploy.backend.compiled_form import Quantizer, Windows
from snn_deploy.errors import CompiledFormError
from snn_deploy.exchange.integer_onnx import encode_onnx
from snn_deploy.exchange.integer_onnx_reader import read_integer_onnx
from snn_deploy.network.kernels import ConvKernel
from snn_deploy.network.network import Network
from snn_deploy.testing import random_unet


@pytest.fixture(scope="module")
def network() -> Network:
    return random_unet("exact", 0, size=8)


def constant_of(graph: onnx.GraphProto, operator: str, place: int) -> onnx.TensorProto:
    """The constant that stands at ``place`` among the inputs of the first ``operator``."""
    name = next(node.input[place] for node in graph.node if node.op_type == operator)
    tensor: onnx.TensorProto = next(each for each in graph.initializer if each.name == name)
    return tensor


def put(tensor: onnx.TensorProto, place: int, value: int) -> None:
    values = numpy_helper.to_array(tensor).copy()
    values.reshape(-1)[place] = value
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def test_weights_geometry_and_firing_are_read(network: Network) -> None:
    form = read_integer_onnx(encode_onnx(network), -255, 255)
    assert form.source_shape == network.input.shape
    assert [each.name for each in form.populations] == [each.name for each in network.populations[1:]]
    (strided,) = (each for each in form.connections if each.target == "down")
    linear = strided.parts[0].linear
    kernel = next(each.kernel for each in network.connections if each.target == "down")
    assert isinstance(linear, Windows)
    assert isinstance(kernel, ConvKernel)
    assert np.array_equal(linear.weight, kernel.weight.astype(np.int64) << 1)
    assert linear.rows.tolist() == [[-1, 0, 1], [1, 2, 3]]
    firing = form.populations[0].firing
    neuron = network.populations[1].neuron
    assert isinstance(firing, Quantizer)
    assert neuron is not None
    assert np.array_equal(firing.divisor, neuron.theta)
    assert (firing.least, firing.greatest) == (0, 63)


def pad_by_millions(graph: onnx.GraphProto) -> None:
    put(constant_of(graph, "Pad", 1), 2, 10**8)


def count_to_billions(graph: onnx.GraphProto) -> None:
    put(constant_of(graph, "Clip", 2), 0, 2**31 - 1)


def declare_huge_maps(graph: onnx.GraphProto) -> None:
    graph.input[0].type.tensor_type.shape.dim[2].dim_value = 2**40


def add_unknown_operator(graph: onnx.GraphProto) -> None:
    graph.node.insert(0, helper.make_node("Relu", ["input"], ["relu"], name="strange"))


def use_other_domain(graph: onnx.GraphProto) -> None:
    graph.node[0].domain = "com.microsoft"


def read_before_it_is_there(graph: onnx.GraphProto) -> None:
    graph.node[0].input[0] = "dec"


def give_a_value_twice(graph: onnx.GraphProto) -> None:
    graph.node[1].output[0] = graph.node[0].output[0]


def drop_an_output(graph: onnx.GraphProto) -> None:
    graph.output.append(helper.make_tensor_value_info("lost", onnx.TensorProto.INT32, ["batch", 1, 8, 8]))


def truncate_the_rest(graph: onnx.GraphProto) -> None:
    node = next(node for node in graph.node if node.op_type == "Mod")
    node.attribute.append(helper.make_attribute("fmod", 1))


def fix_the_batch(graph: onnx.GraphProto) -> None:
    put(constant_of(graph, "Reshape", 1), 0, 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (pad_by_millions, r"\(Pad\) is not recognised: a map of [\d,]+ values; at most 134,217,728 are read$"),
        (count_to_billions, r"\(Clip\) is not recognised: counts 0\.\.2147483647 are more than 24 bits hold$"),
        (declare_huge_maps, r"^a map of [\d,]+ values; at most 134,217,728 are read$"),
        (add_unknown_operator, r"^node 'strange' \(Relu\) is not recognised: no integer form has this operator$"),
        (use_other_domain, r"\(Pad\) is not recognised: no integer form has this operator$"),
        (read_before_it_is_there, r"\(Pad\) is not recognised: its input 'dec' has no value before it$"),
        (give_a_value_twice, r"\(Mod\) is not recognised: its output 'value 0' has a value already$"),
        (drop_an_output, r"^no node gives the output 'lost'$"),
        (truncate_the_rest, r"\(Mod\) is not recognised: attribute fmod is 1$"),
        (fix_the_batch, r"\(Reshape\) is not recognised: the shape \[1, 8, 4\] does not keep the batch axis$"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_strange_files_are_refused(network: Network, change: Callable[[onnx.GraphProto], None], words: str) -> None:
    model = onnx.load_from_string(encode_onnx(network))
    change(model.graph)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CompiledFormError, match=words):
        read_integer_onnx(model.SerializeToString(), -255, 255)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # KiB


def test_what_is_no_onnx_file_is_refused() -> None:
    with pytest.raises(CompiledFormError, match="^not an ONNX file: "):
        read_integer_onnx(b"no file of this kind", 0, 1)
    with pytest.raises(CompiledFormError, match="^not a file of opset 17 with one input and no functions$"):
        read_integer_onnx(b"", 0, 1)

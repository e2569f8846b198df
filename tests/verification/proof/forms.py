"""Networks with a fault and integer ONNX files with one thing changed, and the proof of what became of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice

import numpy as np
import onnx
from onnx import numpy_helper

from snn_deploy.arrays import Array
from snn_deploy.errors import NetworkError
from snn_deploy.exchange.integer_onnx import encode_onnx
from snn_deploy.exchange.integer_onnx_reader import read_integer_onnx
from snn_deploy.network.network import Network
from snn_deploy.verification.comparison.replay import Site
from snn_deploy.verification.diagnosis.faults import find_fault
from snn_deploy.verification.proof import Proof, prove_form


def prove_file(network: Network, data: bytes) -> Proof:
    """The proof for an ONNX file."""
    return prove_form(network, read_integer_onnx(data, network.input.input_min, network.input.input_max))


def change_constants(network: Network, seed: int, step: int = 1) -> Iterator[tuple[tuple[str, ...], bytes]]:
    """For every ``step``-th constant of the file, the operators that use it, and the file with one of its values greater by 1."""
    rng = np.random.default_rng(seed)
    data = encode_onnx(network)
    for index, tensor in islice(enumerate(onnx.load_from_string(data).graph.initializer), 0, None, step):
        values: Array = numpy_helper.to_array(tensor).copy()
        place = int(rng.integers(values.size))
        values.reshape(-1)[place] += 1 if values.dtype != np.uint8 or values.reshape(-1)[place] < 255 else -3
        model = onnx.load_from_string(data)
        users = tuple(node.op_type for node in model.graph.node if tensor.name in node.input)
        model.graph.initializer[index].CopyFrom(numpy_helper.from_array(values, tensor.name))
        yield users, model.SerializeToString()


def swap_inputs(network: Network, step: int = 1) -> Iterator[tuple[str, bytes]]:
    """For every ``step``-th node with several inputs its operator, and the file in which the first two have changed places."""
    data = encode_onnx(network)
    for index, node in islice(enumerate(onnx.load_from_string(data).graph.node), 0, None, step):
        if len(node.input) > 1:
            model = onnx.load_from_string(data)
            inputs = model.graph.node[index].input
            inputs[0], inputs[1] = inputs[1], inputs[0]
            yield node.op_type, model.SerializeToString()


def edit(data: bytes, change: Callable[[onnx.GraphProto], None]) -> bytes:
    """The file after ``change`` of its graph."""
    model = onnx.load_from_string(data)
    change(model.graph)
    written: bytes = model.SerializeToString()
    return written


def with_fault(network: Network, name: str, fault: str) -> Network | None:
    """``network`` with a fault built into population ``name``; ``None`` where it cannot be had."""
    site = find_fault(fault).change(Site.of(network, name))
    if site is None:
        return None
    changed = {connection.name: connection for connection in site.incoming}
    populations = tuple(site.population if each.name == name else each for each in network.populations)
    connections = tuple(
        changed.get(each.name, each) for each in network.connections if each.target != name or each.name in changed
    )
    try:
        return replace(network, populations=populations, connections=connections)
    except NetworkError:
        return None

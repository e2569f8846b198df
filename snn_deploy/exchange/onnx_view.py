"""A spiking network as an ONNX file for viewers: one node per connection and population, with all their attributes.

The nodes have a domain of this project, so no runtime executes the file; netron displays it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel
from snn_deploy.network.network import Connection, Network, Population

DOMAIN = "snn_deploy"

Numbers: TypeAlias = Mapping[str, int | float]
Measured: TypeAlias = Mapping[str, Numbers]
"""Measured numbers by name, for each population or connection."""


def annotate(network: Network, measured: Measured | None = None) -> ModelProto:
    """``network`` as a model whose node attributes are scales, thresholds, payload and count limits, exponents, delays.

    ``measured`` adds numbers of a run (event rates, synaptic operations) to populations and connections.
    """
    measured = measured or {}
    nodes: list[NodeProto] = []
    tensors: list[TensorProto] = []
    for population, connections in network.layers():
        currents = []
        for connection in connections:
            nodes.append(_synapses(connection, tensors, measured.get(connection.name, {})))
            currents.append(connection.name)
        tensors.append(numpy_helper.from_array(np.array(population.bias), f"{population.name}.bias"))
        inputs = [*currents, f"{population.name}.bias"]
        nodes.append(_neurons(network, population, inputs, measured.get(population.name, {})))
    graph = helper.make_graph(
        nodes,
        network.name,
        [_value(network.input)],
        [_value(network.population(name)) for name in dict.fromkeys(output.population for output in network.outputs)],
        tensors,
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 1)],
        ir_version=8,
        producer_name="snn-deploy",
    )
    helper.set_model_props(model, {"mode": network.mode, "steps": str(network.steps)} | _texts(network))
    return model


def _texts(network: Network) -> dict[str, str]:
    return {f"config.{key}": str(value) for key, value in network.config.items()}


def _value(population: Population) -> TensorProto:
    return helper.make_tensor_value_info(population.name, TensorProto.INT64, ["N", *population.shape])


def _synapses(connection: Connection, tensors: list[TensorProto], measured: Numbers) -> NodeProto:
    operator, attributes, arrays = _kernel(connection.kernel)
    inputs = [connection.source]
    for part, values in arrays.items():
        inputs.append(f"{connection.name}.{part}")
        tensors.append(numpy_helper.from_array(np.array(values), inputs[-1]))
    return helper.make_node(
        operator,
        inputs,
        [connection.name],
        name=f"{connection.name} (synapses)",
        domain=DOMAIN,
        exponent=connection.exponent,
        delay=connection.delay,
        **attributes,  # type: ignore[arg-type]  # one annotation for all of make_node's keywords
        **measured,  # type: ignore[arg-type]  # as above
    )


def _kernel(kernel: Kernel) -> tuple[str, dict[str, object], dict[str, npt.NDArray[np.generic]]]:
    if isinstance(kernel, SpatialKernel):
        sizes: dict[str, object] = {"input_size": list(kernel.input_size), "output_size": list(kernel.output_size)}
        return "PixelMap", sizes, {"indptr": kernel.indptr, "indices": kernel.indices, "weight": kernel.data}
    attributes: dict[str, object] = {
        "strides": list(kernel.strides),
        "pads": list(kernel.pads),
        "dilations": list(kernel.dilations),
        "group": kernel.groups,
    }
    operator = "Conv" if isinstance(kernel, ConvKernel) else "ConvTranspose"
    return operator, attributes, {"weight": kernel.weight}


def _neurons(network: Network, population: Population, inputs: list[str], measured: Numbers) -> NodeProto:
    neuron = population.neuron
    attributes: dict[str, object] = {
        "start": population.start,
        "window_steps": network.steps,
        "unit": population.unit.tolist(),
        **measured,
    }
    if neuron is not None:
        attributes |= {
            "theta": neuron.theta.tolist(),
            "v0": neuron.v0.tolist(),
            "payload": [neuron.payload_min, neuron.payload_max],
            "strict": int(neuron.strict),
        }
    if population.count_range is not None:
        attributes["count"] = list(population.count_range)
    return helper.make_node(
        "Neuron",
        inputs,
        [population.name],
        name=f"{population.name} (neurons)",
        domain=DOMAIN,
        doc_string=" ".join(population.origin),
        **attributes,  # type: ignore[arg-type]  # one annotation for all of make_node's keywords
    )

"""Models as drawn, with the names and the weights that break tools: those that passes make, markup, zeros, giants."""

from __future__ import annotations

from random import Random

import numpy as np
from onnx import ModelProto, numpy_helper

SUFFIXES = (
    ".positive",
    ".negative",
    ".max1",
    ".edge",
    ".kept",
    ".below",
    ".room",
    " - one",
    ".sum",
    ".0",
    ".relu",
    "->x",
)
"""What passes and conversion append to the name of a node, or join names with."""

NAMES = (
    "[bold]x[/]",
    "a\nb\x1b[31m",
    "<b>&\"'",
    "../../x",
    "input",
    "output",
    " ",
    "n" * 300,
    "\U0001f525",
    "=1+1",
    "x.2",
    "x",
)


def rename(random: Random, model: ModelProto) -> None:
    """Give values, and their nodes, hostile names; a name like that of the value before with a suffix in most cases."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    last = "act"
    inputs = [value.name for value in model.graph.input]
    for name in (*inputs, *(output for node in model.graph.node for output in node.output)):
        last = random.choice((f"{last}{random.choice(SUFFIXES)}", random.choice(NAMES), name))[-400:]
        while last in taken:
            last = f"{last}.{random.randint(2, 4)}"
        taken.add(last)
        names[name] = last
    for value in (*model.graph.input, *model.graph.output):
        value.name = names[value.name]
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names[name] for name in node.output]
        node.name = random.choice((node.output[0], node.name, "", random.choice(NAMES)))
    for tensor in model.graph.initializer:
        if tensor.name in taken:
            raise ValueError(f"a constant and a value share the name {tensor.name!r}")


def make_extreme(random: Random, model: ModelProto) -> None:
    """Zero channels, one huge weight, tiny weights beside a bias of usual size, or zeros alone, in half of the layers."""
    for tensor in model.graph.initializer:
        weight = numpy_helper.to_array(tensor)
        if weight.ndim != 4 or weight.dtype != np.float32 or random.random() < 0.5:
            continue
        weight = weight.copy()
        kind = random.choice(("zero channel", "zero inputs", "huge", "tiny", "zeros"))
        if kind == "zero channel":
            weight[random.randrange(len(weight))] = 0
        elif kind == "zero inputs":
            weight[:, random.randrange(weight.shape[1])] = 0
        elif kind == "huge":
            weight.flat[random.randrange(weight.size)] *= random.choice((10, 100))
        else:
            weight *= 1e-4 if kind == "tiny" else 0
        tensor.CopyFrom(numpy_helper.from_array(weight, tensor.name))

r"""Surrogates of activations: their spiking values in the forward pass, a straight-through gradient in the backward pass.

``exact`` mode: ``q clip(round(x / q), a_min, a_max)`` with the identity as gradient inside the limits (quantization-aware
training with a straight-through estimator, arXiv 1308.3432).

``rate`` mode: the flow of a simulated run (Spiking-UNet, arXiv 2307.10974; accumulated spiking flow). A first pass without
gradient runs T steps and keeps each neuron's mean output :math:`\bar O_l / T`; a second, with gradient, computes
:math:`\hat I_l = W_l \hat O_{l-1} + b_l` on these means and continues with

.. math:: \hat O_l = \bar O_l + 1[\bar I_l > 0] (\hat I_l - \mathrm{sg}\, \hat I_l)

All quantities are means over the T steps, so the bias, which is added in each of them, has the same weight in the gradient
as in the run (the published code adds it once, so its bias gradients are T times too small).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from snn_deploy.conversion.lower import Conversion
from snn_deploy.conversion.normalize import fires_at_pool
from snn_deploy.conversion.options import Options
from snn_deploy.errors import ConversionError
from snn_deploy.finetuning.network import GraphNetwork
from snn_deploy.graph.graph import Graph, Node
from snn_deploy.graph.ops import MaxPool, Relu


@dataclass(frozen=True, eq=False)
class Firing:
    """Neurons of one population in real values: ``unit`` (C, 1, 1) of a count; ``signed`` counts may be negative."""

    unit: Tensor
    signed: bool


def find_firing(graph: Graph, conversion: Conversion, options: Options, device: str) -> dict[str, Firing]:
    """The firing populations of ``conversion`` by their node of ``graph``."""
    firing = {}
    for layer in conversion.layers.layers:
        if layer.kind == "output" or (layer.kind not in ("relu", "linear") and not fires_at_pool(layer, options)):
            continue
        node = graph.node_of.get(layer.name)
        if node is None or (layer.kind == "relu" and not isinstance(node.op, Relu)):
            raise ConversionError(f"{layer.name}: only Relu activations can be fine-tuned; conversion rewrote this one")
        unit = torch.tensor(conversion.scales.unit[layer.name], dtype=torch.float32, device=device)[:, None, None]
        firing[layer.name] = Firing(unit, layer.kind == "linear")
    return firing


def straight_through(value: Tensor, target: Tensor) -> Tensor:
    """``target`` forward, the gradient of ``value`` backward."""
    surrogate: Tensor = target.detach() + value - value.detach()
    return surrogate


class Levels:
    """``exact`` mode: activations rounded to levels."""

    def __init__(self, firing: Mapping[str, Firing], levels: int) -> None:
        self._firing, self._levels = firing, levels

    def __call__(self, network: GraphNetwork, image: Tensor) -> Tensor:
        """The network's output with rounded activations."""
        return network.forward(image, self._activate)

    def _activate(self, node: Node, value: Tensor) -> Tensor:
        firing = self._firing.get(node.name)
        if firing is None:
            return value
        top = self._levels * firing.unit
        limited = torch.minimum(torch.maximum(value, -top if firing.signed else torch.zeros_like(top)), top)
        return straight_through(limited, torch.round(limited / firing.unit) * firing.unit)


class Flow:
    """``rate`` mode: the accumulated flow of T simulated steps."""

    def __init__(self, firing: Mapping[str, Firing], options: Options) -> None:
        self._firing, self._options = firing, options

    def __call__(self, network: GraphNetwork, image: Tensor) -> Tensor:
        """The read-out of T steps, with the flow's gradient."""
        with torch.no_grad():
            means = self.simulate(network, image)

        def activate(node: Node, value: Tensor) -> Tensor:
            return straight_through(value, means[node.name]) if node.name in means else value

        return network.forward(image, activate)

    def simulate(self, network: GraphNetwork, image: Tensor) -> dict[str, Tensor]:
        """Mean output (B, C, H, W) per step of every population that fires and of every maximum over such.

        Layers run one after the other over all steps, as an aligned network does; values are (T B, C, H, W).
        """
        steps, batch = self._options.steps, image.shape[0]
        trains = {network.graph.input: image.repeat(steps, 1, 1, 1)}
        means: dict[str, Tensor] = {}
        for node in network.graph.nodes:
            inputs = [trains[name] for name in node.inputs]
            if isinstance(node.op, MaxPool):
                sums = _steps_first(inputs[0], batch).cumsum(0).flatten(0, 1)
                largest = _steps_first(network.compute(node, [sums]), batch)
                train = torch.diff(largest, dim=0, prepend=torch.zeros_like(largest[:1]))
                trains[node.name] = train.flatten(0, 1)
                means[node.name] = train.mean(0)
            elif node.name in self._firing:
                currents = inputs[0] if isinstance(node.op, Relu) else network.compute(node, inputs)
                train = self._fire(self._firing[node.name], _steps_first(currents, batch))
                trains[node.name] = train.flatten(0, 1)
                means[node.name] = train.mean(0)
            else:
                trains[node.name] = network.compute(node, inputs)
        return means

    def _fire(self, firing: Firing, currents: Tensor) -> Tensor:
        """Trains (T, B, C, H, W) in real values."""
        options, unit = self._options, firing.unit
        top = options.payload_max
        v = torch.zeros_like(currents[0]) + (unit / 2 if options.half_start else 0.0)
        count = torch.zeros_like(v)
        train = torch.empty_like(currents)
        for step, current in enumerate(currents):
            v = v + current
            level = torch.ceil(v / unit) - 1 if options.strict else torch.floor(v / unit)
            payload = level.clamp(-top if firing.signed or options.signed else 0, top)
            if options.signed and not firing.signed:
                payload = torch.maximum(payload, -count)
            v = torch.where(payload != 0, torch.zeros_like(v), v) if options.reset == "zero" else v - payload * unit
            count = count + payload
            train[step] = payload * unit
        return train


def _steps_first(maps: Tensor, batch: int) -> Tensor:
    """(T B, C, H, W) as (T, B, C, H, W)."""
    return maps.view(-1, batch, *maps.shape[1:])


def spiking_loss(task: str, output: Tensor, target: Tensor) -> Tensor:
    """Mean square error of a restoration, which PSNR measures, or cross-entropy of logits; labels below 0 are ignored.

    (The published code uses the mean absolute error, which lowers the PSNR of networks trained for square errors.)
    """
    if task == "denoise":
        return functional.mse_loss(output, target)
    if output.shape[1] == 1:
        counted = target >= 0
        return functional.binary_cross_entropy_with_logits(output[:, 0][counted], target[counted].float())
    return functional.cross_entropy(output, target, ignore_index=-1)

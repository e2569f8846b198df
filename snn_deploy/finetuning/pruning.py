r"""Which weights become 0: those whose loss is least for the operations that they take.

To second order, a weight w that becomes 0 costs :math:`\frac12 w^2 h` where h is the curvature (optimal brain damage, LeCun et al.
1989). Like K-FAC (arXiv 1503.05671) h is taken for a product of what arrives and what leaves: the mean square of the source's
counts, times the mean square gradient of the target channel's bias (where none is trained, of its weights, over the mean square of
their inputs). Factors of channels are good after a few batches; means of each weight's own gradient are too noisy (decision 0034
has the measurements). A weight takes the events of its source's channel at the places that it meets. Weights become 0 in the order
of loss by operation, and stay 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from snn_deploy.errors import NetworkError
from snn_deploy.finetuning.deployed import Activity, DeployedNetwork
from snn_deploy.network.constant_channels import find_silent
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel
from snn_deploy.network.network import Connection
from snn_deploy.network.unused_channels import find_needed

MEMORY = 0.9
"""What running means keep from iteration to iteration."""


class Pruning:
    """Takes weights of ``module`` away; operations are counted per ``macs``."""

    def __init__(self, module: DeployedNetwork, macs: int) -> None:
        self._module, self._macs = module, macs
        self._connections = {each.name: each for each in module.network.connections}
        self._power: dict[str, Tensor] = {}
        self._sensitivity: dict[str, Tensor] = {}
        self._batches = 0

    def remember_counts(self, activities: Mapping[str, Activity]) -> None:
        """Learn from a batch how large counts are."""
        for name, each in activities.items():
            power = each.count.detach().square().mean((0, 2, 3))
            self._power[name] = self._power[name].lerp(power, 1 - MEMORY) if name in self._power else power

    def remember_gradients(self) -> None:
        """Learn from the gradients of a batch what outputs depend on."""
        self._batches += 1
        of_biases = dict(zip(self._module.trainable.biases, self._module.shifts, strict=True))
        for name, latent in zip(self._module.trainable.weights, self._module.weights, strict=True):
            each, shift = self._connections[name], of_biases.get(self._connections[name].target)
            if shift is not None and shift.grad is not None:
                found = (shift.grad.flatten() * self._scale(each)).square()
            elif latent.grad is not None:
                power = spread_sources(each.kernel, self._power[each.source]) * self._module.present(name)
                sums = gather_targets(each.kernel, latent.grad.square())
                found = sums / gather_targets(each.kernel, power).clamp(min=1e-12)
            else:
                raise NetworkError(f"{name}: has no gradient to prune by")
            before = self._sensitivity.get(name)
            self._sensitivity[name] = found if before is None else before.lerp(found, 1 / self._batches)

    def silence(self, quiet: Mapping[str, Tensor]) -> None:
        """Take away what ``quiet`` channels (C,) send, and what reaches channels that the network does without."""
        network = self._module.current()
        kept = find_needed(network, find_silent(network))
        for name in self._module.trainable.weights:
            each, present = self._connections[name], self._module.present(name)
            needed = torch.from_numpy(kept[each.target].astype(np.float32)).to(present.device)
            present *= spread_targets(each.kernel, needed)
            present *= spread_sources(each.kernel, (~quiet[each.source]).float())

    def prune(self, excess: float, rates: Mapping[str, Tensor]) -> None:
        """Take the cheapest weights away whose operations are ``excess`` per MAC, by ``rates`` of events per neuron (C,)."""
        scores, costs = [], []
        kernels = self._module.integer_kernels()
        for name, latent in zip(self._module.trainable.weights, self._module.weights, strict=True):
            each = self._connections[name]
            cost = spread_sources(each.kernel, rates[each.source]) * self._places(name) / self._macs
            curvature = spread_targets(each.kernel, self._sensitivity[name])
            curvature = curvature * spread_sources(each.kernel, self._power[each.source])
            alive = (kernels[name] != 0) & (cost > 0)
            damage = latent.detach().square() * curvature
            scores.append(torch.where(alive, damage / cost, torch.inf))
            costs.append(torch.where(alive, cost, 0.0))
        ranked, order = torch.cat([score.flatten() for score in scores]).sort()
        saved = torch.cat([cost.flatten() for cost in costs]).double()[order].cumsum(0)
        last = min(int((saved < excess).sum()), int(ranked.isfinite().sum()) - 1)
        if last < 0:
            return
        for name, score in zip(self._module.trainable.weights, scores, strict=True):
            self._module.present(name).mul_(score > ranked[last])

    def state(self) -> dict[str, Any]:
        """Running means, for a checkpoint."""
        return {"power": dict(self._power), "sensitivity": dict(self._sensitivity), "batches": self._batches}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`."""
        self._power, self._sensitivity = dict(state["power"]), dict(state["sensitivity"])
        self._batches = state["batches"]

    def _scale(self, connection: Connection) -> float:
        """Largest weight of ``connection``, for a count of 1, in units of the latent bias of its target."""
        trainable = self._module.trainable
        limit = trainable.weights[connection.name].limit << connection.exponent
        return limit / trainable.biases[connection.target]

    def _places(self, name: str) -> int:
        """Places of the source that one weight meets, borders left out of account."""
        each = self._connections[name]
        population = each.target if isinstance(each.kernel, ConvKernel) else each.source
        _, height, width = self._module.network.population(population).shape
        return height * width


def spread_sources(kernel: Kernel, values: Tensor) -> Tensor:
    """``values`` (C_in,) of source channels for each weight of ``kernel``, in a shape that broadcasts to its own."""
    return _spread(kernel, values, isinstance(kernel, ConvKernel))


def spread_targets(kernel: Kernel, values: Tensor) -> Tensor:
    """``values`` (C_out,) of target channels for each weight of ``kernel``, in a shape that broadcasts to its own."""
    return _spread(kernel, values, not isinstance(kernel, ConvKernel))


def _spread(kernel: Kernel, values: Tensor, second: bool) -> Tensor:
    """``values`` of the channels that a weight's first axis counts, or of its ``second``, which counts within groups."""
    if isinstance(kernel, SpatialKernel):
        raise NetworkError("a pixel map has no weights between channels")
    if not second:
        return values[:, None, None, None]
    groups, first = kernel.groups, kernel.weight.shape[0]
    by_group = values.view(groups, 1, -1).expand(groups, first // groups, -1)
    return by_group.reshape(first, -1, 1, 1)


def gather_targets(kernel: Kernel, values: Tensor) -> Tensor:
    """Sums (C_out,) over all weights of each target channel of ``values``, in the shape of ``kernel``'s weight."""
    if isinstance(kernel, SpatialKernel):
        raise NetworkError("a pixel map has no weights between channels")
    if isinstance(kernel, ConvKernel):
        return values.sum((1, 2, 3))
    groups, inputs = kernel.groups, values.shape[0]
    return values.sum((2, 3)).view(groups, inputs // groups, -1).sum(1).flatten()

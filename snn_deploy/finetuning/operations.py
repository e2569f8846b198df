"""Synaptic operations that training lowers: what they are expected to be, and how weights leave until they are as few as wanted.

Operations of an image are the sum over channels of their events times the synapses behind a neuron (its *fan-out*: non-zero weights
inside the borders, as :mod:`snn_deploy.activity.synapses` counts them), here divided by the multiplications of the plain
conversion. The user gives the share that is wanted, not the weight of a penalty: from the conversion's operations a path leads to
it, which falls as a cube does (Zhu & Gupta, arXiv 1710.01878) over the first part of the iterations. Every few iterations so many
weights become 0 for good that what is left meets the path (:mod:`snn_deploy.finetuning.pruning`); the other iterations repair.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from snn_deploy.activity.synapses import count_fan_out, count_synapses
from snn_deploy.finetuning.deployed import Activity, DeployedNetwork
from snn_deploy.finetuning.pruning import Pruning
from snn_deploy.network.network import Network

EVERY = 10
"""Iterations between two prunings."""

RAMP = 0.6
"""Part of the iterations after which the share is reached."""

MARGIN = 0.995
"""Part of the share that training aims at: batches and validation images differ."""

QUIET = 1e-8
"""Events of a neuron and image, as a running mean, below which its channel is taken for dead: some 150 iterations without any."""

MEMORY = 0.9
"""What the running mean of events keeps from iteration to iteration."""


def count_macs(network: Network) -> int:
    """Multiplications of one image in an ANN with the non-zero weights of ``network``, as ``evaluate`` divides by them."""
    return sum(count_synapses(each.kernel, network.population(each.source).shape) for each in network.connections)


class Operations:
    """Leads ``module`` to ``share`` operations per MAC of the plain conversion, which has ``macs``, within ``iterations``."""

    def __init__(self, module: DeployedNetwork, share: float, iterations: int, macs: int) -> None:
        self._module, self._share, self._iterations, self._macs = module, share, iterations, macs
        self._pruning = Pruning(module, macs)
        self._rates: dict[str, Tensor] = {}
        self._start, self._excess = 0.0, 1.0

    @property
    def expected(self) -> float:
        """Operations per MAC, by the running means of events and the present weights."""
        fan_out = self._fan_out(self._module.current())
        return float(sum((self._rates[name] @ behind).item() for name, behind in fan_out.items()))

    def observe(self, activities: Mapping[str, Activity]) -> None:
        """Learn from a batch how many events there are, and how large counts."""
        for name, each in activities.items():
            if each.events is not None:
                rate = each.events.mean((0, 2, 3))
                self._rates[name] = self._rates[name].lerp(rate, 1 - MEMORY) if name in self._rates else rate
        self._pruning.remember_counts(activities)

    def advance(self, iteration: int) -> None:
        """Prune where it is time to, after the gradients of iteration number ``iteration`` (from 1)."""
        self._pruning.remember_gradients()
        if iteration % EVERY:
            return
        self._start = self._start or self.expected * self._excess
        if self._start <= self._share:
            return
        left = max(0.0, 1 - iteration / (RAMP * self._iterations)) ** 3
        goal = MARGIN * self._share + (self._start - MARGIN * self._share) * left
        self._pruning.silence({name: rate < QUIET for name, rate in self._rates.items()})
        saving = self.expected - goal / self._excess
        if saving > 0:
            self._pruning.prune(saving, self._rates)

    def correct(self, measured: float) -> None:
        """Aim by ``measured`` operations per MAC of the validation part, which differ a little from those of patches."""
        if self._rates:
            self._excess = measured / self.expected

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds beside the module."""
        numbers = {"start": self._start, "excess": self._excess}
        return {"numbers": numbers, "rates": dict(self._rates), "pruning": self._pruning.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`, after the module was restored."""
        self._start, self._excess = state["numbers"]["start"], state["numbers"]["excess"]
        self._rates = dict(state["rates"])
        self._pruning.restore(state["pruning"])

    def _fan_out(self, network: Network) -> dict[str, Tensor]:
        """Synapses behind all neurons of each channel (C,), by population, per MAC."""
        totals: dict[str, Tensor] = {}
        for each in network.connections:
            fan_out = count_fan_out(each.kernel, network.population(each.source).shape).sum((1, 2)) / self._macs
            found = torch.tensor(fan_out, dtype=torch.float32, device=self._module.device)
            totals[each.source] = totals[each.source] + found if each.source in totals else found
        return totals

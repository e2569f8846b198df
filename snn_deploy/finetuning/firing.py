"""What neurons send, by torch and as :mod:`snn_deploy.network.dynamics` says, and the slope that stands for it in gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from snn_deploy.arrays import Int64
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.network import Network
from snn_deploy.network.neuron import Neuron
from snn_deploy.network.two_sided import TwoSided


def fire(neuron: Neuron, currents: Tensor) -> Tensor:
    """Payloads (T, B, C, H, W) of neurons that start at rest and receive ``currents``, integers in float32.

    Multi-threshold neurons by torch. ``floor(v / theta)`` of float32 is that of the integers: what separates a quotient from the
    next whole number n is at least 1 / theta, more than float32 rounds there, since ``n * theta`` stays below 2**24. Lava's own
    neurons by the specification itself.
    """
    if neuron.is_stock:
        return _follow_specification(neuron, currents)
    if isinstance(neuron, TwoSided):
        return _fire_two_sided(neuron, currents)
    return _fire_multi_threshold(neuron, currents)


def _fire_two_sided(neuron: TwoSided, currents: Tensor) -> Tensor:
    v = _per_channel(neuron.v0, currents).expand_as(currents[0])
    sides = [(side, _per_channel(side.offset, v), _per_channel(side.theta, v)) for side in neuron.sides]
    count, train = torch.zeros_like(v), torch.empty_like(currents)
    for step, current in enumerate(currents):
        v = (v + current).clamp_(-STATE_MAX, STATE_MAX)
        above, below = (
            torch.floor((v + offset) / theta).clamp_(side.least, side.greatest) for side, offset, theta in sides
        )
        payload = (above + below - count).clamp_(neuron.payload_min, neuron.payload_max)
        if neuron.hold:
            payload = torch.where(payload.abs() > neuron.hold, payload, 0.0)
        count = count + payload
        train[step] = payload
    return train


def _fire_multi_threshold(neuron: Neuron, currents: Tensor) -> Tensor:
    theta, v = (_per_channel(part, currents).expand_as(currents[0]) for part in (neuron.theta, neuron.v0))
    limits = (neuron.count_min, neuron.count_max)
    hold = getattr(neuron, "hold", 0)
    count, train = torch.zeros_like(v), torch.empty_like(currents)
    for step, current in enumerate(currents):
        v = (v + current).clamp_(-STATE_MAX, STATE_MAX)
        payload = torch.floor((v - 1 if neuron.strict else v) / theta).clamp_(neuron.payload_min, neuron.payload_max)
        if limits[0] is not None and limits[1] is not None:
            payload = torch.minimum(torch.maximum(payload, limits[0] - count), limits[1] - count)
            count = count + payload
        if hold:
            payload = torch.where(payload.abs() > hold, payload, 0.0)
        v = torch.where(payload != 0, 0.0, v) if neuron.reset == "zero" else v - payload * theta
        train[step] = payload
    return train


def _follow_specification(neuron: Neuron, currents: Tensor) -> Tensor:
    given: Int64 = currents.cpu().numpy().astype(np.int64)
    v = np.broadcast_to(neuron.v0[:, None, None], given.shape[1:]).astype(np.int64)
    second, payloads = np.zeros_like(v), []
    for current in given:
        v, second, payload = neuron.step(v, second, current)
        payloads.append(payload)
    return torch.tensor(np.stack(payloads), dtype=currents.dtype, device=currents.device)


def find_slope(neuron: Neuron, whole: Tensor, network: Network) -> Tensor:
    """Slope of a window's count in its ``whole`` input (B, C, H, W): 1 / theta within what the window can count, else 0.

    Of a two-sided neuron that of the side on which the input is, from the middle of what counts 0 on.
    """
    if isinstance(neuron, TwoSided):
        return _find_two_slopes(neuron, whole)
    repeats = network.input_steps
    quantum = _per_channel(neuron.quantum, whole)
    start = (neuron.v0 + repeats * neuron.membrane_bias) / 2**neuron.current_shift - int(neuron.strict)
    level = (whole + _per_channel(start, whole)) / quantum
    low, high = neuron.payload_min * network.steps, neuron.payload_max * network.steps
    limits = neuron.count_range
    if limits is not None:
        low, high = max(low, limits[0]), min(high, limits[1])
    return ((level >= low) & (level < high + 1)) / quantum


def _find_two_slopes(neuron: TwoSided, whole: Tensor) -> Tensor:
    v = whole + _per_channel(neuron.v0, whole)
    slopes = torch.zeros_like(whole)
    for side, on_side in zip(neuron.sides, (whole >= 0, whole < 0), strict=True):
        divisor = _per_channel(side.theta, whole)
        level = (v + _per_channel(side.offset, whole)) / divisor
        slopes = torch.where(on_side & (level >= side.least) & (level < side.greatest + 1), 1 / divisor, slopes)
    return slopes


def replace_value(of: Tensor, value: Tensor, slope: Tensor | None = None) -> Tensor:
    """``value``, with the gradient that ``of`` times ``slope`` (by default 1) has."""
    replaced: Tensor = _Replaced.apply(of, value, slope)
    return replaced


class _Replaced(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, of: Tensor, value: Tensor, slope: Tensor | None) -> Tensor:
        """``value``."""
        ctx.save_for_backward(slope)
        return value.view_as(of)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """The gradient times the slope."""
        (slope,) = ctx.saved_tensors
        return gradients[0] if slope is None else gradients[0] * slope, None, None


def _per_channel(values: Any, like: Tensor) -> Tensor:
    return torch.tensor(np.asarray(values, np.float32), device=like.device)[:, None, None]

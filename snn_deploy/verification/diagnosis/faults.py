"""Faults: the mistakes that compilers, chips and their operators make, each a named change of one population.

The same list serves three ends: injected, it measures what a stimulus would catch
(:mod:`snn_deploy.verification.diagnosis.mutation`);
replayed, it explains a divergence (:mod:`snn_deploy.verification.diagnosis.autopsy`); run whole, it tests this package.
Each fault is taken from a real one: rounding, comparison, reset, kernel and bias faults from a recorded Loihi network, flipped
kernels from Lava's Conv against lava-dl's files, dropped weight bits from Loihi's mixed-sign weights, lost delays from
U-Nets in Lava.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.errors import NetworkError, VerificationError
from snn_deploy.network import dynamics
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel, TransposedKernel
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.network import Connection, Population
from snn_deploy.network.neuron import Neuron, Reset
from snn_deploy.verification.comparison.replay import Site, Specified


@dataclass(frozen=True)
class Altered:
    """The specification's step with some of its choices changed; with none changed, it is the specification.

    ``rounding`` of ``v / theta``; ``reset``: what a spike leaves, where it is not as the neuron says; ``overflow`` of the 24-bit
    membrane; ``unsigned``: the message loses its sign; ``restart``: local step after which the membrane is put back to
    v0; ``unbounded``: the running count is not limited.
    """

    rounding: Literal["floor", "truncate", "nearest"] = "floor"
    reset: Reset | None = None
    overflow: Literal["saturate", "wrap"] = "saturate"
    unsigned: bool = False
    unbounded: bool = False
    restart: int | None = None

    def integrate(self, v: Int64, current: Int64, step: int) -> Int64:  # noqa: ARG002  # the protocol passes the step
        """Sum, limited as ``overflow`` says."""
        total = v + current
        if self.overflow == "wrap":
            wrapped: Int64 = (total + STATE_MAX + 1) % (2 * (STATE_MAX + 1)) - STATE_MAX - 1
            return wrapped
        return dynamics.saturate(total)

    def advance(
        self, population: Population, v: Int64, count: Int64, current: Int64, step: int
    ) -> tuple[Int64, Int64, Int64]:
        """One step, as changed."""
        neuron = _neuron(population)
        v = self.integrate(v, current, step)
        if neuron.section is None:
            left, payload = self._fire(neuron, v, count)
        else:
            left, _, payload = neuron.step(v, count, np.zeros_like(v))
        if self.restart is not None and step == population.start + self.restart:
            left = np.broadcast_to(neuron.v0[:, None, None], left.shape).astype(np.int64, copy=True)
        sent = np.abs(payload) if self.unsigned else payload
        return left, count + payload, sent

    def _fire(self, neuron: Neuron, v: Int64, count: Int64) -> tuple[Int64, Int64]:
        """What is left of membranes of multi-threshold neurons, and what they send."""
        theta = neuron.theta[:, None, None]
        payload: Int64 = np.clip(self._quotient(v - int(neuron.strict), theta), neuron.payload_min, neuron.payload_max)
        if neuron.count_min is not None and neuron.count_max is not None and not self.unbounded:
            payload = np.clip(payload, neuron.count_min - count, neuron.count_max - count)
        reset = self.reset or neuron.reset
        return v - payload * theta if reset == "subtract" else np.where(payload != 0, 0, v), payload

    def _quotient(self, v: Int64, theta: Int64) -> Int64:
        if self.rounding == "truncate":
            truncated: Int64 = np.sign(v) * (np.abs(v) // theta)
            return truncated
        floored: Int64 = (v + theta // 2 if self.rounding == "nearest" else v) // theta
        return floored


COMMON = {"overflow", "unsigned", "restart"}
"""Choices of :class:`Altered` that two-sided neurons have, too."""


@dataclass(frozen=True)
class Fault:
    """A named mistake.

    ``meaning`` says what goes wrong, as a clause that an autopsy quotes; ``change`` gives the site that makes the mistake,
    or ``None`` where the population cannot make it.
    """

    name: str
    meaning: str
    change: Callable[[Site], Site | None]


def _neuron(population: Population) -> Neuron:
    if population.neuron is None:
        raise VerificationError(f"{population.name}: the input cannot be faulty; the host sends it")
    return population.neuron


def _with_rule(site: Site, **choices: object) -> Site | None:
    """``site`` with these choices of :class:`Altered`; ``None`` where its rule or its neuron is of another kind."""
    rule = Altered() if isinstance(site.rule, Specified) else site.rule
    neuron = _neuron(site.population)
    if not isinstance(rule, Altered) or neuron.is_stock or (neuron.section and not choices.keys() <= COMMON):
        return None
    return replace(site, rule=replace(rule, **choices))  # type: ignore[arg-type]  # names and values stand below


def _with_neuron(site: Site, **numbers: object) -> Site | None:
    """``site`` with these numbers of its neuron; ``None`` where this kind of neuron cannot have them."""
    try:
        neuron = replace(_neuron(site.population), **numbers)  # type: ignore[arg-type]  # names and values stand below
    except NetworkError:
        return None
    return replace(site, population=replace(site.population, neuron=neuron))


def _bias(site: Site) -> Int64:
    """The bias (C, 1, 1) or (C, H, W); a stock neuron's own, which bypasses the current."""
    neuron = _neuron(site.population)
    return neuron.membrane_bias[:, None, None] if neuron.is_stock else site.population.bias


def _set_bias(site: Site, bias: Int64) -> Site | None:
    bias = np.clip(bias, -STATE_MAX, STATE_MAX)
    if _neuron(site.population).is_stock:
        return _with_neuron(site, offset=bias[:, 0, 0])
    return replace(site, population=replace(site.population, bias=bias))


def _with_bias(site: Site, change: Callable[[Int64], Int64]) -> Site | None:
    bias = _bias(site)
    return _set_bias(site, change(bias)) if np.any(bias) else None


def _with_kernels(site: Site, change: Callable[[Kernel], Kernel | None]) -> Site | None:
    """``site`` with ``change`` applied to every kernel that can show it."""
    changed = [(connection, change(connection.kernel)) for connection in site.incoming]
    if all(kernel is None for _, kernel in changed):
        return None
    incoming = tuple(
        connection if kernel is None else replace(connection, kernel=kernel) for connection, kernel in changed
    )
    return replace(site, incoming=incoming)


def _flip(kernel: Kernel) -> Kernel | None:
    if isinstance(kernel, SpatialKernel) or max(kernel.weight.shape[2:]) == 1:
        return None
    return replace(kernel, weight=kernel.weight[:, :, ::-1, ::-1])


def _transpose(kernel: Kernel) -> Kernel | None:
    if (
        isinstance(kernel, SpatialKernel)
        or kernel.weight.shape[2] != kernel.weight.shape[3]
        or kernel.weight.shape[2] == 1
    ):
        return None
    return replace(kernel, weight=kernel.weight.transpose(0, 1, 3, 2))


def _drop_bit(kernel: Kernel) -> Kernel | None:
    if isinstance(kernel, SpatialKernel):
        return replace(kernel, data=kernel.data & np.int8(-2))
    return replace(kernel, weight=kernel.weight & np.int8(-2))


def _shift_pads(kernel: Kernel) -> Kernel | None:
    if isinstance(kernel, SpatialKernel):
        return None
    top, left, bottom, right = kernel.pads
    if bottom < 1:
        return None
    moved: ConvKernel | TransposedKernel = replace(kernel, pads=(top + 1, left, bottom - 1, right))
    return moved


def _reverse_channels(kernel: Kernel) -> Kernel | None:
    """Input channels read in the reverse order, as when an axis is taken the wrong way round."""
    if isinstance(kernel, SpatialKernel):
        return None
    if isinstance(kernel, TransposedKernel):
        return (
            replace(kernel, weight=kernel.weight[::-1]) if kernel.weight.shape[0] > 1 and kernel.groups == 1 else None
        )
    return replace(kernel, weight=kernel.weight[:, ::-1]) if kernel.weight.shape[1] > 1 else None


def _largest_weight(site: Site) -> Site | None:
    """The largest weight of the first connection is off by two, one step of an 8-bit mixed-sign weight."""
    first = site.incoming[0]
    if isinstance(first.kernel, SpatialKernel):
        return None
    weight = first.kernel.weight.astype(np.int64)
    place = int(np.abs(weight).argmax())
    weight.reshape(-1)[place] -= 2 * int(np.sign(weight.reshape(-1)[place]) or 1)
    kernel: Kernel = replace(first.kernel, weight=weight.astype(np.int8))
    return replace(site, incoming=(replace(first, kernel=kernel), *site.incoming[1:]))


def _one_bias(site: Site) -> Site | None:
    bias = _bias(site).copy()
    bias.reshape(-1)[0] += 1
    return _set_bias(site, bias)


def _comparison(site: Site) -> Site | None:
    """The comparison of one of Lava's own neurons is fixed: where it is strict, ``v >= theta`` is ``v > theta - 1``."""
    neuron = _neuron(site.population)
    if neuron.is_stock and neuron.strict:
        return _with_neuron(site, theta=np.maximum(neuron.theta - 1, 1))
    return _with_neuron(site, strict=not neuron.strict)


def _exponents(site: Site, by: int) -> Site | None:
    first = site.incoming[0]
    if not 0 <= first.exponent + by <= 15:
        return None
    return replace(site, incoming=(replace(first, exponent=first.exponent + by), *site.incoming[1:]))


def _skips(site: Site) -> list[Connection]:
    """Incoming connections that wait longer than the shortest of them."""
    shortest = min(connection.delay for connection in site.incoming)
    return [connection for connection in site.incoming if connection.delay > shortest]


def _skip_delay(site: Site) -> Site | None:
    late = {connection.name for connection in _skips(site)}
    if not late:
        return None
    return replace(
        site,
        incoming=tuple(replace(each, delay=1) if each.name in late else each for each in site.incoming),
    )


def _skip_missing(site: Site) -> Site | None:
    late = {connection.name for connection in _skips(site)}
    if not late:
        return None
    return replace(site, incoming=tuple(each for each in site.incoming if each.name not in late))


def _start(site: Site, by: int) -> Site | None:
    start = site.population.start + by
    return None if start < 0 else replace(site, population=replace(site.population, start=start))


def _clip_payload(site: Site) -> Site | None:
    """One bit less in the message."""
    neuron = _neuron(site.population)
    if neuron.payload_max < 2:
        return None
    return _with_neuron(site, payload_min=-(-neuron.payload_min // 2), payload_max=neuron.payload_max // 2)


def _v0(site: Site) -> Site | None:
    neuron = _neuron(site.population)
    return _with_neuron(site, v0=np.zeros_like(neuron.v0)) if np.any(neuron.v0) else None


def _below(site: Site, change: Callable[[Neuron, Int64], dict[str, Int64]]) -> Site | None:
    """``site`` with other numbers below zero, of neurons that have any."""
    neuron = _neuron(site.population)
    own = getattr(neuron, "theta_below", None)
    return None if own is None else _with_neuron(site, **change(neuron, own))


def _unsigned(site: Site) -> Site | None:
    return _with_rule(site, unsigned=True) if _neuron(site.population).payload_min < 0 else None


def _unbounded(site: Site) -> Site | None:
    return _with_rule(site, unbounded=True) if _neuron(site.population).count_max is not None else None


def _thresholds(site: Site, change: Callable[[Int64], Int64]) -> Site | None:
    return _with_neuron(site, theta=np.clip(change(_neuron(site.population).theta), 1, STATE_MAX))


def _reset(site: Site, reset: Reset) -> Site | None:
    return None if _neuron(site.population).reset == reset else _with_rule(site, reset=reset)


FAULTS: tuple[Fault, ...] = (
    Fault("truncate", "v / theta is truncated toward zero", lambda site: _with_rule(site, rounding="truncate")),
    Fault("round", "v / theta is rounded to nearest", lambda site: _with_rule(site, rounding="nearest")),
    Fault("comparison", "the threshold is compared by > instead of >=, or by >= instead of >", _comparison),
    Fault(
        "hard reset",
        "a spike sets the membrane to 0 instead of subtracting the threshold",
        lambda site: _reset(site, "zero"),
    ),
    Fault(
        "reset by subtraction",
        "a spike subtracts the threshold instead of setting the membrane to 0",
        lambda site: _reset(site, "subtract"),
    ),
    Fault(
        "reset phase", "the membrane is set back to v0 after the first step", lambda site: _with_rule(site, restart=0)
    ),
    Fault(
        "wrap", "the 24-bit membrane wraps around instead of saturating", lambda site: _with_rule(site, overflow="wrap")
    ),
    Fault("one step late", "every event is sent one step late", lambda site: replace(site, shift=site.shift + 1)),
    Fault("one step early", "every event is sent one step early", lambda site: replace(site, shift=site.shift - 1)),
    Fault("starts late", "bias and firing start one step late", lambda site: _start(site, 1)),
    Fault("starts early", "bias and firing start one step early", lambda site: _start(site, -1)),
    Fault("bias exponent up", "the bias is doubled", lambda site: _with_bias(site, lambda b: b << 1)),
    Fault("bias exponent down", "the bias is halved", lambda site: _with_bias(site, lambda b: b >> 1)),
    Fault("bias missing", "the bias is 0", lambda site: _with_bias(site, np.zeros_like)),
    Fault("one bias off", "the first bias is too large by 1", _one_bias),
    Fault(
        "bias rhythm",
        "the bias is added in every step instead of once, or once instead of in every step",
        lambda site: replace(site, repeat_bias=not site.repeat_bias) if np.any(site.population.bias) else None,
    ),
    Fault("threshold doubled", "the thresholds are doubled", lambda site: _thresholds(site, lambda t: 2 * t)),
    Fault("threshold off", "the thresholds are too high by 1", lambda site: _thresholds(site, lambda t: t + 1)),
    Fault(
        "slope missing",
        "negative counts have the threshold of positive ones",
        lambda site: _below(site, lambda neuron, _: {"theta_below": neuron.theta}),
    ),
    Fault(
        "nothing below zero",
        "negative counts are missing, as of a ReLU",
        lambda site: _below(site, lambda _, own: dict.fromkeys(("theta_below", "offset_below"), 0 * own + STATE_MAX)),
    ),
    Fault("v0 missing", "the membrane starts at 0 instead of v0", _v0),
    Fault("payload clipped", "the payload has one bit less", _clip_payload),
    Fault("sign lost", "the payload loses its sign", _unsigned),
    Fault("count unbounded", "the running count is not limited", _unbounded),
    Fault("kernel flipped", "the kernel is rotated by 180 degrees", lambda site: _with_kernels(site, _flip)),
    Fault(
        "axes transposed", "rows and columns of the kernel are swapped", lambda site: _with_kernels(site, _transpose)
    ),
    Fault(
        "channels reversed",
        "input channels are read in reverse order",
        lambda site: _with_kernels(site, _reverse_channels),
    ),
    Fault(
        "padding shifted",
        "one row of padding is at the top instead of the bottom",
        lambda site: _with_kernels(site, _shift_pads),
    ),
    Fault("weight bit dropped", "the weights lose their lowest bit", lambda site: _with_kernels(site, _drop_bit)),
    Fault("largest weight off", "the magnitude of the largest weight is too small by 2", _largest_weight),
    Fault(
        "weight exponent up", "the exponent of the first connection is too large by 1", lambda site: _exponents(site, 1)
    ),
    Fault(
        "weight exponent down",
        "the exponent of the first connection is too small by 1",
        lambda site: _exponents(site, -1),
    ),
    Fault("skip delay missing", "a delayed connection delivers after one step", _skip_delay),
    Fault("skip missing", "a delayed connection delivers nothing", _skip_missing),
)
"""All named faults, in the order in which an autopsy tries them; those that touch kernels stand last."""


def find_fault(name: str) -> Fault:
    """The fault called ``name``."""
    named = {fault.name: fault for fault in FAULTS}
    if name not in named:
        raise VerificationError(f"unknown fault {name!r}; faults: {', '.join(named)}")
    return named[name]

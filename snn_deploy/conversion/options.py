"""Every choice of a conversion, in one frozen value that the artifact keeps."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Literal

from snn_deploy.errors import ConversionError
from snn_deploy.network.network import Mode, Reset

Normalization = Literal["connection-wise", "layer-wise", "channel-wise"]
Scale = Literal["mmse", "percentile", "max"]
Range = Literal["paper", "full"]
Pool = Literal["relay", "neuron"]
NeuronKind = Literal["multi-threshold", "lif", "sigma-delta"]


@dataclass(frozen=True)
class Options:
    """How a float graph becomes integers.

    ``mode`` and its budget: ``exact`` counts 0..``levels`` once; ``rate`` runs ``steps`` steps with ``thresholds``
    binary thresholds (payload 0..2**thresholds - 1). ``normalization``: one scale per source (``connection-wise``),
    the paper's comparison of one scale per convolution input (``layer-wise``), or one per channel
    (``channel-wise``). ``scale``: least mean square error for the real level budget (``mmse``), a ``percentile``
    (zeros included as in the published code, or not) or the ``max``. ``span``: what percentile and max set in
    ``rate`` mode, the second largest threshold (``paper``: thresholds 2, 1, 1/2, 1/4 of lambda) or the sum of all
    (``full``). ``signed``: spikes may be negative. ``half_start``: the membrane starts at half a level, which turns
    floor into round. ``strict``: fire above, not at, the threshold. ``reset``: of firing neurons, by
    subtraction or to zero (the published code's default for plain integrate-and-fire). ``pool``: average pooling as an exact sum
    (``relay``) or as a firing population (``neuron``, as published). ``neuron``: ours, or one that Lava brings
    (:mod:`snn_deploy.conversion.stock`). ``slack``: how many times more a spike is worth than the scale says; neurons
    that lose the overshoot at a reset then fire more rarely and lose a smaller share, and longer runs make up for coarser
    counts. ``weight_bits`` 2..8. ``bias_correction``: the mean error that rounding the weights makes is taken out of the
    bias. ``equalization``: units per channel that balance the weights of their readers (connection-wise only; helps at 4
    and 5 bits). ``input_levels``: input payload that stands for the largest magnitude seen in calibration.
    """

    mode: Mode = "exact"
    levels: int = 127
    steps: int = 16
    thresholds: int = 4
    normalization: Normalization = "connection-wise"
    scale: Scale = "mmse"
    percentile: float = 99.9
    percentile_of_zeros: bool = True
    span: Range = "full"
    signed: bool = True
    half_start: bool = True
    strict: bool = False
    reset: Reset = "subtract"
    pool: Pool = "relay"
    weight_bits: int = 8
    bias_correction: bool = True
    equalization: bool = False
    input_levels: int = 1023
    neuron: NeuronKind = "multi-threshold"
    slack: int = 1

    def __post_init__(self) -> None:
        limits = {
            "levels": (1, 65535),
            "steps": (1, 65536),
            "thresholds": (1, 16),
            "weight_bits": (2, 8),
            "input_levels": (1, 65535),
            "slack": (1, 256),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConversionError(f"option {name} is {value}; allowed are {low} to {high}")
        if not 50 <= self.percentile <= 100:
            raise ConversionError(f"option percentile is {self.percentile}; allowed are 50 to 100")
        choices = {
            "mode": ("exact", "rate"),
            "normalization": ("connection-wise", "layer-wise", "channel-wise"),
            "scale": ("mmse", "percentile", "max"),
            "span": ("paper", "full"),
            "reset": ("subtract", "zero"),
            "pool": ("relay", "neuron"),
            "neuron": ("multi-threshold", "lif", "sigma-delta"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ConversionError(f"option {name} is {getattr(self, name)!r}; allowed are {', '.join(allowed)}")
        if self.equalization and self.normalization != "connection-wise":
            raise ConversionError("equalization chooses units per channel itself; use connection-wise normalization")
        if self.mode == "exact" and self.normalization == "layer-wise":
            raise ConversionError(
                "layer-wise normalization does not preserve the function; it exists in rate mode only"
            )
        if self.mode == "exact" and self.reset == "zero":
            raise ConversionError("a reset to zero loses charge; it exists in rate mode only")
        if self.mode == "exact" and self.pool == "neuron":
            raise ConversionError("pool neurons exist in rate mode only; exact mode passes integer sums on")

        if self.neuron == "lif" and (self.mode, self.thresholds, self.reset, self.strict) != ("rate", 1, "zero", True):
            raise ConversionError(
                "Lava's LIF runs in rate mode, fires single spikes above one threshold, and resets to zero"
            )
        if self.neuron == "sigma-delta" and self.mode != "exact":
            raise ConversionError("sigma-delta neurons send changes of one image, which exact mode shows once")

    @property
    def payload_max(self) -> int:
        """Largest payload of one step."""
        return self.levels if self.mode == "exact" else 2**self.thresholds - 1

    @property
    def level_budget(self) -> int:
        """Distinct positive values that a whole run can express: N, or payload times steps."""
        return self.levels if self.mode == "exact" else self.payload_max * self.steps

    def record(self) -> dict[str, str | int | float | bool | None]:
        """All fields, for the artifact."""
        return asdict(self)


PRESETS: dict[str, Options] = {
    "exact": Options(),
    "spiking-unet": Options(
        mode="rate",
        scale="percentile",
        span="paper",
        signed=False,
        half_start=False,
        strict=True,
        pool="neuron",
    ),
    "multi-threshold": Options(mode="rate"),
    "if": Options(mode="rate", thresholds=1, scale="percentile", signed=False, half_start=False, steps=64),
    "if-hard": Options(
        mode="rate", thresholds=1, scale="percentile", signed=False, half_start=False, steps=64, reset="zero"
    ),
    "lif": Options(
        neuron="lif",
        mode="rate",
        thresholds=1,
        scale="percentile",
        signed=False,
        half_start=False,
        strict=True,
        steps=64,
        reset="zero",
        pool="neuron",
        input_levels=255,
        slack=8,
    ),
    "sigma-delta": Options(neuron="sigma-delta", levels=255, scale="max"),
}
"""Named starting points: our default, the paper's neuron, the improved one, plain integrate-and-fire (both resets), and the
two neurons that Lava brings."""


def preset(name: str, **changes: str | int | float | bool) -> Options:
    """A preset with some fields changed; :class:`ConversionError` for unknown names."""
    if name not in PRESETS:
        raise ConversionError(f"preset {name!r} is unknown; there are {', '.join(PRESETS)}")
    unknown = set(changes) - set(asdict(PRESETS[name]))
    if unknown:
        raise ConversionError(f"option {sorted(unknown)[0]!r} is unknown; there are {', '.join(asdict(PRESETS[name]))}")
    return replace(PRESETS[name], **changes)  # type: ignore[arg-type]

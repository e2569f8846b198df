"""All options of a conversion, in one frozen value that is stored in the artifact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from numbers import Real
from types import MappingProxyType
from typing import Literal, get_args

from snn_deploy.errors import ConversionError
from snn_deploy.network.network import Mode
from snn_deploy.network.neuron import Reset
from snn_deploy.passes import Form

Normalization = Literal["connection-wise", "layer-wise", "channel-wise"]
Scale = Literal["mmse", "percentile", "max"]
Range = Literal["paper", "full"]
Pool = Literal["relay", "neuron"]
Rounding = Literal["second-order", "nearest"]
Theta = Literal["power-of-two", "integer"]
Leaky = Literal["one", "two"]
NeuronKind = Literal["multi-threshold", "lif", "sigma-delta", "netx"]

Device = Literal["any", "akida"]

AKIDA_LEVELS = 127
"""Largest count that a layer of Akida 2 sends."""

LEAKY: tuple[NeuronKind, ...] = ("lif", "netx")
"""Kinds made of Lava's LIF."""


RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "levels": (1, 65535),
        "steps": (1, 65536),
        "thresholds": (1, 16),
        "percentile": (50, 100),
        "weight_bits": (2, 8),
        "input_levels": (1, 65535),
        "slack": (1, 256),
    }
)
"""Smallest and largest value of every numeric option."""

CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "mode": get_args(Mode),
        "normalization": get_args(Normalization),
        "scale": get_args(Scale),
        "span": get_args(Range),
        "reset": get_args(Reset),
        "pool": get_args(Pool),
        "rounding": get_args(Rounding),
        "theta": get_args(Theta),
        "leaky": get_args(Leaky),
        "neuron": get_args(NeuronKind),
        "device": get_args(Device),
    }
)
"""Values of every option that is chosen by name."""

RARE: Mapping[str, str | bool] = MappingProxyType(
    {"layer_levels": "", "device": "any", "stream": False, "fuse_upsampling": False, "leaky": "one"}
)
"""Options that a record leaves out unless they are chosen, and their values then."""


@dataclass(frozen=True)
class Options:
    """How a float graph becomes integers; :class:`ConversionError` for values that are not allowed or do not combine."""

    mode: Mode = "exact"
    """``exact``: one running count per neuron, corrected until it is final; ``rate``: events of a window of steps."""

    levels: int = 127
    """Largest count per neuron in ``exact`` mode."""

    layer_levels: tuple[tuple[str, int], ...] = ()
    """Layers that need more than :attr:`levels`, by name, and the largest count of each."""

    steps: int = 16
    """Steps of a window in ``rate`` mode."""

    thresholds: int = 4
    """Binary thresholds in ``rate`` mode: the largest payload of a step is ``2**thresholds - 1``."""

    normalization: Normalization = "connection-wise"
    """One scale per source (``connection-wise``), per channel of each source (``channel-wise``), or per convolution input
    (``layer-wise``, the paper's baseline, which changes the function and exists in ``rate`` mode only)."""

    scale: Scale = "mmse"
    """How the activation range is chosen: least mean square error for :attr:`level_budget` levels, a percentile, or the
    maximum of the calibration activations."""

    percentile: float = 99.9
    """Percentile of the magnitudes for ``scale="percentile"``."""

    percentile_of_zeros: bool = True
    """Whether zeros count towards the percentile, as in the published code."""

    span: Range = "full"
    """What a percentile or maximum sets in ``rate`` mode: the sum of all thresholds (``full``), or the second largest one
    (``paper``: thresholds 2, 1, 1/2, 1/4 of lambda)."""

    signed: bool = True
    """Whether events may have negative payloads in ``rate`` mode, so that a neuron can take back what it sent too early."""

    half_start: bool = True
    """Whether membranes start at half a threshold, which turns rounding down into rounding to the nearest count."""

    strict: bool = False
    """Whether a neuron fires above its threshold only, instead of at or above it."""

    reset: Reset = "subtract"
    """Reset of firing neurons: subtract the thresholds that were sent, or set the membrane to zero (the published code's
    default for plain integrate-and-fire; ``rate`` mode only)."""

    pool: Pool = "relay"
    """Average pooling as an exact sum (``relay``), or as a firing population (``neuron``, as published; ``rate`` mode only)."""

    weight_bits: int = 8
    """Bits of a weight, sign included."""

    rounding: Rounding = "second-order"
    """How weights become integers: so that their errors cancel on calibration images
    (:mod:`snn_deploy.conversion.second_order`), or each to the ``nearest``."""

    theta: Theta = "power-of-two"
    """What a threshold may be: a power of two, so that firing is a shift, or any integer, which helps at 6 bits and fewer and
    needs a target that divides or compares."""

    bias_correction: bool = True
    """Whether the mean error of the rounded weights is subtracted from the bias."""

    equalization: bool = False
    """Whether units per channel balance the weights of their readers (connection-wise only; helps at 4 and 5 bits)."""

    input_levels: int = 1023
    """Input payload that stands for the largest magnitude in the calibration images."""

    neuron: NeuronKind = "multi-threshold"
    """Neuron model: this project's, or one of Lava's own (:mod:`snn_deploy.conversion.stock`); ``netx`` is ``lif`` with the numbers
    that a ``.net`` file of lava-dl can hold."""

    slack: int = 1
    """Factor on the unit of a count. Neurons that lose the overshoot at a reset to zero then fire less often and lose a
    smaller share; longer runs make up for the coarser counts."""

    device: Device = "any"
    """What the numbers must also fit: nothing else, or the layers of BrainChip's Akida 2 (:mod:`snn_deploy.conversion.akida`)."""

    stream: bool = False
    """Whether 24 bits must hold every change from one frame to any other too, so that the network can run streams
    (:mod:`snn_deploy.network.streaming`); thresholds and weights of layers without room for it are halved."""

    fuse_upsampling: bool = False
    """Whether a transposed convolution without activation becomes one with the convolution that reads it
    (:func:`snn_deploy.passes.compose.fuse`): a population and a rounding fewer, fewer operations, more weights."""

    leaky: Leaky = "one"
    """Populations of a LeakyReLU or PReLU in ``exact`` mode: ``one``, with a threshold of its own below zero
    (:mod:`snn_deploy.network.two_sided`), or ``two`` of ReLUs, each with the whole convolution before it, as in ``rate`` mode."""

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            value: object = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real):
                raise ConversionError(f"option {name} is {value!r}; a number is needed")
            if not low <= float(value) <= high:
                raise ConversionError(f"option {name} is {value}; allowed are {low} to {high}")
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ConversionError(f"option {name} is {getattr(self, name)!r}; allowed are {', '.join(allowed)}")
        low, high = RANGES["levels"]
        for name, levels in self.layer_levels:
            if not low <= levels <= high:
                raise ConversionError(f"{name}: {levels} levels; allowed are {low:g} to {high:g}")
        if self.layer_levels and self.is_rate:
            raise ConversionError("levels of single layers exist in exact mode only")
        if self.equalization and self.normalization != "connection-wise":
            raise ConversionError("equalization chooses units per channel itself; use connection-wise normalization")
        if not self.is_rate and self.normalization == "layer-wise":
            raise ConversionError(
                "layer-wise normalization does not preserve the function; it exists in rate mode only"
            )
        if not self.is_rate and self.reset == "zero":
            raise ConversionError("a reset to zero loses charge; it exists in rate mode only")
        if not self.is_rate and self.pool == "neuron" and self.device != "akida":
            raise ConversionError("pool neurons exist in rate mode only; exact mode passes integer sums on")
        if self.neuron in LEAKY and (self.mode, self.thresholds, self.reset, self.strict) != ("rate", 1, "zero", True):
            raise ConversionError(
                "Lava's LIF runs in rate mode, fires single spikes above one threshold, and resets to zero"
            )
        if self.neuron != "multi-threshold" and self.theta == "integer":
            raise ConversionError("Lava's own neurons have one threshold for each layer, a power of two")
        if self.neuron == "sigma-delta" and self.is_rate:
            raise ConversionError("sigma-delta neurons run in exact mode only: they send changes of one image")
        if self.stream and self.is_rate:
            raise ConversionError("streams carry states from frame to frame, which takes exact mode")
        if self.device == "akida":
            self._check_akida()

    def _check_akida(self) -> None:
        if (self.mode, self.neuron, self.pool, self.theta, self.stream) != (
            "exact", "multi-threshold", "neuron", "power-of-two", False
        ):  # fmt: skip
            raise ConversionError(
                "Akida 2 takes exact mode with this project's neuron, average pools that fire, thresholds of powers of two, and"
                " no streams; use the preset akida"
            )
        for name, levels in (("levels", self.levels), ("input_levels", self.input_levels), *self.layer_levels):
            if levels > AKIDA_LEVELS:
                raise ConversionError(
                    f"{name}: {levels} levels; Akida 2 sends counts of 8 bits, at most {AKIDA_LEVELS}"
                )

    def at(self, layer: str) -> Options:
        """The options of one layer: with as many levels as it needs."""
        if not self.layer_levels:
            return self
        return replace(self, levels=max(self.levels, dict(self.layer_levels).get(layer, 0)), layer_levels=())

    @property
    def form(self) -> Form:
        """What the normal form must be; sigma-delta neurons have no largest count, and this project's alone two sides."""
        own = not self.is_rate and self.neuron == "multi-threshold" and self.device == "any"
        return Form(self.fuse_upsampling, limited=self.neuron != "sigma-delta", two_sided=own and self.leaky == "one")

    @property
    def is_rate(self) -> bool:
        """Whether counts are events of a window of steps."""
        return self.mode == "rate"

    @property
    def run_steps(self) -> int:
        """Steps of a run, in which a count of 1 stands for the unit over them: those of the window, or one in ``exact`` mode."""
        return self.steps if self.is_rate else 1

    @property
    def payload_max(self) -> int:
        """Largest payload of one step."""
        return 2**self.thresholds - 1 if self.is_rate else self.levels

    @property
    def level_budget(self) -> int:
        """Distinct positive values that a whole run can express: ``levels``, or largest payload times steps."""
        return self.payload_max * self.run_steps

    def record(self) -> dict[str, str | int | float | bool | None]:
        """All fields by name, as the artifact's ``config`` stores them; those of :data:`RARE` where they are chosen."""
        fields = asdict(self)
        fields["layer_levels"] = ", ".join(f"{name} {levels}" for name, levels in self.layer_levels)
        return {name: value for name, value in fields.items() if name not in RARE or value != RARE[name]}


_IF = Options(
    mode="rate", thresholds=1, scale="percentile", signed=False, half_start=False, steps=64, rounding="nearest"
)

_LIF = replace(_IF, neuron="lif", strict=True, reset="zero", pool="neuron", input_levels=255, slack=8)

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
        rounding="nearest",
    ),
    "multi-threshold": Options(mode="rate"),
    "if": _IF,
    "if-hard": replace(_IF, reset="zero"),
    "if-strict": replace(_IF, strict=True, pool="neuron"),
    "lif": _LIF,
    "netx": replace(_LIF, neuron="netx"),
    "sigma-delta": Options(neuron="sigma-delta", levels=255, scale="max"),
    "akida": Options(
        device="akida",
        levels=AKIDA_LEVELS,
        input_levels=AKIDA_LEVELS,
        pool="neuron",
        normalization="channel-wise",
    ),
}
"""Named starting points: the default, the paper's neuron, the improved one, plain integrate-and-fire (both resets, and with
single spikes everywhere, as SANA-FE fires them), Lava's own two neurons, the first of them as lava-dl's files hold it, and the
default within the 8 bits of BrainChip's Akida 2."""


def preset(name: str, **changes: str | int | float | bool) -> Options:
    """A preset with some fields changed; :class:`ConversionError` for unknown names."""
    if name not in PRESETS:
        raise ConversionError(f"preset {name!r} is unknown; there are {', '.join(PRESETS)}")
    unknown = set(changes) - set(asdict(PRESETS[name]))
    if unknown:
        raise ConversionError(f"option {sorted(unknown)[0]!r} is unknown; there are {', '.join(asdict(PRESETS[name]))}")
    return replace(PRESETS[name], **changes)  # type: ignore[arg-type]


FEW_LEVELS = 31
"""Level budget up to which training starts from units per channel."""


def training_preset(name: str, **changes: str | int | float | bool) -> Options:
    """:func:`preset` to train from, with units that train best (decision 0036), unless they are chosen.

    By least square error where published thresholds lie above a percentile, and for each channel where this project's neuron has at
    most :data:`FEW_LEVELS` levels and weights have 8 bits. A unit is a scale of weights: training reaches it, but takes long to.
    """
    options = preset(name, **changes)
    if options.span == "paper" and "scale" not in changes:
        options = replace(options, scale="mmse")
    own = options.neuron == "multi-threshold" and options.scale == "mmse" and options.signed
    fine = options.weight_bits == RANGES["weight_bits"][1] and not options.equalization
    if own and fine and options.level_budget <= FEW_LEVELS and "normalization" not in changes:
        options = replace(options, normalization="channel-wise")
    return options

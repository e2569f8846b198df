"""Every choice is checked when it is made."""

from __future__ import annotations

import pytest

from snn_deploy.conversion.options import PRESETS, RANGES, Options, preset, training_preset
from snn_deploy.errors import ConversionError


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("levels", 0, "option levels is 0; allowed are 1 to 65535"),
        ("steps", 0, "option steps is 0; allowed are 1 to 65536"),
        ("thresholds", 17, "option thresholds is 17; allowed are 1 to 16"),
        ("weight_bits", 9, "option weight_bits is 9; allowed are 2 to 8"),
        ("weight_bits", 1, "option weight_bits is 1; allowed are 2 to 8"),
        ("input_levels", 0, "option input_levels is 0; allowed are 1 to 65535"),
        ("percentile", 49.0, "option percentile is 49.0; allowed are 50 to 100"),
        ("mode", "fast", "option mode is 'fast'; allowed are exact, rate"),
        ("normalization", "none", "option normalization is 'none'; allowed are connection-wise, layer-wise, channel-wise"),
        ("scale", "mean", "option scale is 'mean'; allowed are mmse, percentile, max"),
        ("span", "half", "option span is 'half'; allowed are paper, full"),
        ("reset", "half", "option reset is 'half'; allowed are subtract, zero"),
        ("pool", "max", "option pool is 'max'; allowed are relay, neuron"),
        ("rounding", "up", "option rounding is 'up'; allowed are second-order, nearest"),
        ("theta", "half", "option theta is 'half'; allowed are power-of-two, integer"),
        ("device", "loihi", "option device is 'loihi'; allowed are any, akida"),
    ],
)  # fmt: skip
def test_a_wrong_value_names_what_is_allowed(field: str, value: object, message: str) -> None:
    with pytest.raises(ConversionError, match=f"^{message}$"):
        Options(**{field: value})  # type: ignore[arg-type]


def test_exact_mode_refuses_what_would_change_the_function() -> None:
    with pytest.raises(ConversionError, match="layer-wise normalization does not preserve the function"):
        Options(normalization="layer-wise")
    with pytest.raises(ConversionError, match="equalization chooses units per channel itself"):
        Options(normalization="channel-wise", equalization=True)
    with pytest.raises(ConversionError, match="a reset to zero loses charge; it exists in rate mode only"):
        Options(reset="zero")
    with pytest.raises(ConversionError, match="pool neurons exist in rate mode only"):
        Options(pool="neuron")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"levels": 128}, "^levels: 128 levels; Akida 2 sends counts of 8 bits, at most 127$"),
        ({"input_levels": 255}, "^input_levels: 255 levels; .*at most 127$"),
        ({"layer_levels": (("a", 127), ("b", 255))}, "^b: 255 levels; .*at most 127$"),
        ({"pool": "relay"}, "^Akida 2 takes exact mode .* average pools that fire, .*; use the preset akida$"),
        ({"theta": "integer"}, "use the preset akida$"),
        ({"stream": True}, "use the preset akida$"),
        ({"mode": "rate"}, "use the preset akida$"),
    ],
)
def test_akida_has_8_bits(changes: dict[str, str | int | bool], message: str) -> None:
    assert preset("akida", levels=63, input_levels=15).levels == 63
    with pytest.raises(ConversionError, match=message):
        preset("akida", **changes)


def test_rounding_of_presets() -> None:
    """What is published, or the plain baseline of others, is rounded to the nearest."""
    nearest = {name for name, options in PRESETS.items() if options.rounding == "nearest"}
    assert nearest == {"spiking-unet", "if", "if-hard", "if-strict", "lif", "netx"}
    for name in ("lif", "netx", "sigma-delta"):
        with pytest.raises(
            ConversionError, match="^Lava's own neurons have one threshold for each layer, a power of two$"
        ):
            preset(name, theta="integer")


def test_presets_and_changes() -> None:
    assert preset("exact") == Options()
    assert preset("multi-threshold", steps=4).level_budget == 60
    assert preset("exact", levels=63).level_budget == 63
    paper = PRESETS["spiking-unet"]
    assert (paper.payload_max, paper.strict, paper.half_start, paper.signed, paper.pool) == (
        15,
        True,
        False,
        False,
        "neuron",
    )
    with pytest.raises(
        ConversionError, match="preset 'paper' is unknown; there are exact, spiking-unet, multi-threshold, if, if-hard"
    ):
        preset("paper")
    with pytest.raises(ConversionError, match="option 'level' is unknown; there are mode, levels"):
        preset("exact", level=3)


def test_the_record_holds_every_field() -> None:
    record = preset("spiking-unet", steps=7).record()
    assert record["steps"] == 7
    assert Options(**record) == preset("spiking-unet", steps=7)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "low", "high"),
    [
        ("levels", 1, 65535),
        ("steps", 1, 65536),
        ("thresholds", 1, 16),
        ("percentile", 50, 100),
        ("weight_bits", 2, 8),
        ("input_levels", 1, 65535),
        ("slack", 1, 256),
    ],
)
def test_both_ends_of_a_range_are_allowed(field: str, low: int, high: int) -> None:
    assert RANGES[field] == (low, high)
    for value in (low, high):
        assert preset("exact", **{field: value}).record()[field] == value
    for value in (low - 1, high + 1):
        with pytest.raises(ConversionError, match=f"^option {field} is {value}; allowed are {low} to {high}$"):
            preset("exact", **{field: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "exact"}, "Lava's LIF runs in rate mode"),
        ({"thresholds": 2}, "Lava's LIF runs in rate mode"),
        ({"reset": "subtract"}, "Lava's LIF runs in rate mode"),
        ({"strict": False}, "Lava's LIF runs in rate mode"),
        ({"neuron": "sigma-delta"}, "sigma-delta neurons run in exact mode only"),
    ],
)
def test_lavas_neurons_have_modes_of_their_own(changes: dict[str, str | int | bool], message: str) -> None:
    others: dict[str, str | int | bool] = (
        {"pool": "relay", "reset": "subtract"} if changes.get("mode") == "exact" else {}
    )
    with pytest.raises(ConversionError, match=message):
        preset("lif", **(others | changes))
    assert preset("lif", normalization="layer-wise").payload_max == 1
    assert preset("multi-threshold", reset="zero", pool="neuron", normalization="layer-wise").payload_max == 15


@pytest.mark.parametrize(
    ("name", "changes", "payload", "budget"),
    [
        ("exact", {"levels": 9, "thresholds": 3, "steps": 7}, 9, 9),
        ("multi-threshold", {"levels": 9, "thresholds": 3, "steps": 7}, 7, 49),
        ("if", {"steps": 5}, 1, 5),
    ],
)
def test_payloads_and_levels(name: str, changes: dict[str, str | int | bool], payload: int, budget: int) -> None:
    options = preset(name, **changes)
    assert (options.payload_max, options.level_budget) == (payload, budget)
    assert (options.is_rate, options.run_steps) == ((False, 1) if name == "exact" else (True, changes["steps"]))


DEFAULTS = {
    "mode": "exact",
    "levels": 127,
    "steps": 16,
    "thresholds": 4,
    "normalization": "connection-wise",
    "scale": "mmse",
    "percentile": 99.9,
    "percentile_of_zeros": True,
    "span": "full",
    "signed": True,
    "half_start": True,
    "strict": False,
    "reset": "subtract",
    "pool": "relay",
    "weight_bits": 8,
    "rounding": "second-order",
    "theta": "power-of-two",
    "bias_correction": True,
    "equalization": False,
    "input_levels": 1023,
    "neuron": "multi-threshold",
    "slack": 1,
}
SINGLE = {
    "mode": "rate",
    "thresholds": 1,
    "scale": "percentile",
    "signed": False,
    "half_start": False,
    "steps": 64,
    "rounding": "nearest",
}
PUBLISHED = {
    "mode": "rate",
    "scale": "percentile",
    "span": "paper",
    "signed": False,
    "half_start": False,
    "strict": True,
    "rounding": "nearest",
}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("exact", {}),
        ("spiking-unet", PUBLISHED | {"pool": "neuron"}),
        ("multi-threshold", {"mode": "rate"}),
        ("if", SINGLE),
        ("if-hard", SINGLE | {"reset": "zero"}),
        (
            "lif",
            SINGLE
            | {"neuron": "lif", "strict": True, "reset": "zero", "pool": "neuron", "input_levels": 255, "slack": 8},
        ),
        (
            "netx",
            SINGLE
            | {"neuron": "netx", "strict": True, "reset": "zero", "pool": "neuron", "input_levels": 255, "slack": 8},
        ),
        ("sigma-delta", {"neuron": "sigma-delta", "levels": 255, "scale": "max"}),
        ("akida", {"device": "akida", "input_levels": 127, "pool": "neuron", "normalization": "channel-wise"}),
    ],
)
def test_presets_field_by_field(name: str, changes: dict[str, object]) -> None:
    assert preset(name).record() == DEFAULTS | changes


def test_what_training_starts_from() -> None:
    """The preset, but for the published neuron's units and those of few levels, unless they are asked for."""
    assert training_preset("spiking-unet", steps=1) == preset("spiking-unet", steps=1, scale="mmse")
    published = preset("spiking-unet", steps=4)
    assert training_preset("spiking-unet", steps=4, scale="percentile") == published
    assert all(training_preset(name) == preset(name) for name in PRESETS if name != "spiking-unet")


@pytest.mark.parametrize(
    ("name", "changes", "by_channel"),
    [
        ("exact", {"levels": 31}, True),
        ("exact", {"levels": 32}, False),
        ("exact", {"levels": 31, "weight_bits": 4}, False),
        ("exact", {"levels": 31, "normalization": "connection-wise"}, False),
        ("multi-threshold", {"steps": 2}, True),
        ("multi-threshold", {"steps": 3}, False),
        ("sigma-delta", {"levels": 31}, False),
        ("if", {"steps": 8}, False),
    ],
)
def test_few_levels_are_trained_from_units_by_channel(
    name: str, changes: dict[str, str | int], *, by_channel: bool
) -> None:
    expected = "channel-wise" if by_channel else "connection-wise"
    assert training_preset(name, **changes) == preset(name, **changes | {"normalization": expected})

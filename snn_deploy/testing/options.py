"""Networks whose neurons have every option together with any two others: what a suite over single options would miss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from itertools import combinations, product

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.network.kernels import ConvKernel
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.schedule import align
from snn_deploy.testing.networks import random_stimulus, random_weights

NEURON_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "mode": ("exact", "rate"),
    "steps": ("one", "several"),
    "reset": ("subtract", "zero"),
    "payloads": ("unsigned", "signed", "wide"),
    "counts": ("unlimited", "narrow", "wide"),
    "strict": ("no", "yes"),
    "v0": ("zero", "half"),
    "theta": ("shared power of two", "per channel"),
    "bias": ("per channel", "map"),
    "delays": ("one step", "skip"),
}
"""What can be chosen for the neurons of a network, and the values that :func:`neuron_option_cases` combines."""

_PAYLOADS = {"unsigned": (0, 7), "signed": (-5, 7), "wide": (-300, 900)}
_NARROW = {"unsigned": (0, 4), "signed": (-3, 4), "wide": (-200, 300)}


def _allowed(options: Mapping[str, str]) -> bool:
    """Whether a network may have these ``options`` together (:class:`Network` and the schedule say why not)."""
    if options["mode"] == "rate":
        return True
    # exact mode: counts are limited, nothing is lost by a reset, and the window follows from payloads and counts
    several_steps = options["counts"] == "wide"
    return (
        options["counts"] != "unlimited"
        and options["reset"] == "subtract"
        and (options["steps"] == "several") == several_steps
        and not (several_steps and options["payloads"] == "unsigned")
    )


@cache
def _option_rows() -> tuple[Mapping[str, str], ...]:
    """A covering array of :data:`NEURON_OPTIONS`: every three values that may stand together do, in some row."""
    rows = [dict(zip(NEURON_OPTIONS, values, strict=True)) for values in product(*NEURON_OPTIONS.values())]
    triples = [frozenset(combinations(row.items(), 3)) for row in rows if _allowed(row)]
    rows = [row for row in rows if _allowed(row)]
    missing, chosen = set().union(*triples), []
    while missing:
        best = max(range(len(rows)), key=lambda index: len(triples[index] & missing))
        chosen.append(rows[best])
        missing -= triples[best]
    return tuple(chosen)


def neuron_option_cases() -> Iterator[tuple[Mapping[str, str], Network, Int64]]:
    """Small networks (2, 7, 6) whose neurons together have every three of :data:`NEURON_OPTIONS`, and their stimuli.

    Three convolutions one after the other; with ``delays: skip`` the last one reads the first one's payloads, too.
    """
    for index, options in enumerate(_option_rows()):
        rng = np.random.default_rng(index)
        populations = [
            Population(
                "input", (2, 7, 6), None, np.zeros((2, 1, 1), np.int64), np.ones(2), input_min=-255, input_max=255
            ),
            *(_optioned(name, (4, 7, 6), options, rng) for name in ("first", "second", "third")),
        ]
        edges = [("input", "first"), ("first", "second"), ("second", "third")]
        if options["delays"] == "skip":
            edges.append(("first", "third"))
        network = Network(
            f"options-{index}",
            "exact" if options["mode"] == "exact" else "rate",
            5 if options["steps"] == "several" else 1,
            tuple(populations),
            tuple(
                Connection(
                    f"{source}->{target}",
                    source,
                    target,
                    ConvKernel(random_weights(rng, (4, 2 if source == "input" else 4, 3, 3)), pads=(1, 1, 1, 1)),
                )
                for source, target in edges
            ),
            (Output("output", "third"),),
        )
        yield options, align(network), random_stimulus(network, index)


def _optioned(
    name: str, shape: tuple[int, int, int], options: Mapping[str, str], rng: np.random.Generator
) -> Population:
    """A population whose neurons have these ``options``, thresholds such that most of its limits are met."""
    channels, payloads = shape[0], options["payloads"]
    scale = 4 if payloads == "wide" else 1
    theta = np.full(channels, 512) if options["theta"] == "shared power of two" else rng.integers(300, 700, channels)
    theta = theta // scale
    smallest, largest = _PAYLOADS[payloads]
    limits: Mapping[str, tuple[int | None, int | None]] = {
        "unlimited": (None, None),
        "narrow": _NARROW[payloads],
        "wide": (3 * smallest, 3 * largest),
    }
    neuron = MultiThreshold(
        theta,
        theta // 2 if options["v0"] == "half" else np.zeros_like(theta),
        smallest,
        largest,
        *limits[options["counts"]],
        strict=options["strict"] == "yes",
        reset="zero" if options["reset"] == "zero" else "subtract",
    )
    bias = rng.integers(-300, 900, shape if options["bias"] == "map" else (channels, 1, 1))
    return Population(name, shape, neuron, bias, np.full(channels, 0.01))

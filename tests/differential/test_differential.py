"""Networks drawn over all options, by hand and by conversion: every engine fires the spikes of the specification.

Tens of them run in ``make test``, thousands by ``make differential N=2000``, which draws other ones each time.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from random import Random

import numpy as np
import numpy.typing as npt
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from snn_deploy.backend import quantize_images
from snn_deploy.conversion.convert import convert
from snn_deploy.conversion.options import Options
from snn_deploy.errors import ConversionError, NetworkError, OverflowProofError
from snn_deploy.network.network import Network
from snn_deploy.network.schedule import shuffle
from snn_deploy.network.streaming import prepare_stream
from snn_deploy.testing.drawing import draw_frames, draw_late, draw_network, draw_stimulus, draw_stream
from tests.differential.engines import (
    backend_differences,
    cpu_backends,
    differences,
    stream_differences,
    varying_differences,
)
from tests.differential.models import draw_model, draw_options

EXAMPLES = int(os.environ.get("SNN_DEPLOY_EXAMPLES", "0"))
"""Networks of each kind that ``make differential`` asks for."""

BACKENDS = cpu_backends()

RANDOMS = st.randoms(use_true_random=False)


def search(examples: int) -> settings:
    """``examples`` of them, the same in every run, or as many new ones as are asked for, failures made small."""
    return settings(
        phases=[Phase.generate, Phase.shrink] if EXAMPLES else [Phase.generate],
        max_examples=EXAMPLES or examples,
        derandomize=not EXAMPLES,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )


def described(network: Network) -> str:
    """The options of ``network``, so that a failing example can be read."""
    lines = [f"{network.mode} mode, {network.steps} steps, aligned {network.aligned}"]
    lines += [f"{population.name} {population.shape}: {population.neuron}" for population in network.populations]
    lines += [
        f"{connection.name}: {connection.kernel}, exponent {connection.exponent}" for connection in network.connections
    ]
    return "\n".join(lines)


@search(20)
@given(RANDOMS)
def test_drawn_networks(random: Random) -> None:
    network = draw_network(random)
    note(described(network))
    assert differences(network, draw_stimulus(network, random), BACKENDS) == []


@search(12)
@given(RANDOMS)
def test_drawn_networks_off_their_schedules(random: Random) -> None:
    network = draw_late(random)
    note(described(network))
    assert backend_differences(network, draw_stimulus(network, random), BACKENDS) == []


@search(5)
@given(RANDOMS)
def test_drawn_streams(random: Random) -> None:
    network = draw_stream(random)
    note(described(network))
    assert stream_differences(network, draw_frames(network, random, 3), BACKENDS) == []


@search(5)
@given(RANDOMS)
def test_drawn_streams_off_their_schedules(random: Random) -> None:
    """Every frame ends silent, so no event of one is on its way in the next."""
    network = draw_stream(random, stock=False)
    with suppress(
        NetworkError, OverflowProofError
    ):  # whose neurons hold back, or cannot take back what comes in any order
        network = prepare_stream(shuffle(replace(network, stream=False), random.randrange(9)))
    note(described(network))
    assert stream_differences(network, draw_frames(network, random, 3), BACKENDS) == []


@search(8)
@given(RANDOMS)
def test_drawn_inputs_of_every_step(random: Random) -> None:
    network = draw_network(random, "rate")
    note(described(network))
    steps = [draw_stimulus(network, random) for _ in range(network.steps)]
    assert varying_differences(network, np.stack(steps, axis=1), BACKENDS) == []


@search(5)
@given(RANDOMS)
def test_drawn_conversions(random: Random) -> None:
    drawn, options = draw_model(random), draw_options(random)
    note(str(options))
    rng = np.random.default_rng(random.getrandbits(32))
    images = [rng.random((1, *drawn.shape), np.float32) for _ in range(3)]
    network = converted(drawn.model.SerializeToString(), images, options)
    if network is not None:
        note(described(network))
        stimulus = quantize_images(network, within(images, rng.random((2, *drawn.shape))))
        assert differences(network, stimulus, BACKENDS) == []


def within(images: list[npt.NDArray[np.float32]], values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """``values`` of at most the largest in ``images``, for which a network was calibrated: brighter ones are warned of."""
    return np.minimum(values, np.concatenate(images).max())


def converted(model: bytes, images: list[npt.NDArray[np.float32]], options: Options) -> Network | None:
    """The network, or ``None`` where ``options`` name neurons that cannot do what ``model`` asks for."""
    try:
        return convert(model, images, options).conversion.network
    except ConversionError as error:
        if any(reason in str(error) for reason in REFUSALS):
            return None
        raise


REFUSALS = (
    "cannot be sent in single spikes of Lava's LIF",
    "a bias for each pixel; Lava's own neurons",
)
"""What no neuron of the chosen kind can do."""

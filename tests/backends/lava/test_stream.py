"""Streams in Lava: the graph of a frame begins with the states that the frame before left."""

from __future__ import annotations

import importlib.util
from random import Random

import pytest

from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stream import open_stream
from snn_deploy.errors import BackendUnavailableError
from snn_deploy.network.streaming import prepare_stream
from snn_deploy.testing import check_streams, draw_frames, draw_stream, random_unet
from snn_deploy.verification import Level
from snn_deploy.verification.stream_session import verify_stream

pytestmark = [
    pytest.mark.lava,
    pytest.mark.skipif(importlib.util.find_spec("lava") is None, reason="lava-nc is not installed"),
]


def test_two_streams_side_by_side_over_frames_of_several_steps() -> None:
    network = draw_stream(Random(4), stock=False)
    assert network.steps > 1
    frames = draw_frames(network, Random(1), 2, batch=2)
    backends = [load_backend("reference"), load_backend("lava")]
    assert verify_stream(network, frames, backends, Level.STATE).exit_code == 0


@pytest.mark.extended
def test_what_neurons_hold_back_is_not_sent() -> None:
    network = prepare_stream(random_unet("exact", 3, size=4, width=2, levels=15), hold=2)
    frames = draw_frames(network, Random(1), 2, batch=1)
    backends = [load_backend("reference"), load_backend("lava")]
    assert verify_stream(network, frames, backends, Level.STATE).exit_code == 0
    from snn_deploy_lava.chip_layout import lay_out

    delays = [connection.delay for connection in network.connections]
    assert max(delays) > 1
    assert [connection.delay for connection in lay_out(network).network.connections] == delays


@pytest.mark.slow
def test_drawn_streams_and_states_that_go_on() -> None:
    from snn_deploy_lava import LavaBackend

    for backend in (LavaBackend(), LavaBackend(ladder=True)):
        found = check_streams(backend, drawn=8)
        assert len(found.equal) >= 4
        known = ("Lava's own neurons are not carried", "weights between the same two pixels")
        assert all(any(part in reason for part in known) for reason in found.refused.values()), found.refused


def test_lavas_own_neurons_do_not_stream() -> None:
    network = draw_stream(Random(1), stock=True)
    with pytest.raises(BackendUnavailableError, match="not carried from frame to frame; run it on reference or cpu$"):
        open_stream(load_backend("lava"), network)

"""What is counted of streams is what is counted of single runs, summed up."""

from random import Random

import numpy as np
import pytest

from snn_deploy.activity.counting import count_activity
from snn_deploy.activity.stream import ActivitySum, StreamCounter
from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stream import open_stream
from snn_deploy.errors import NetworkError
from snn_deploy.network.streaming import prepare_stream
from snn_deploy.testing import draw_frames, random_unet


@pytest.mark.parametrize(("payload", "record"), [(63, Record.COUNTS), (5, Record.TRAINS)])
def test_sums_are_those_of_all_frames(payload: int, record: Record) -> None:
    network = prepare_stream(random_unet("exact", 1, size=8, width=2, payload=payload))
    stream, counter, total = open_stream(load_backend("cpu"), network, batch=2), StreamCounter(network), ActivitySum()
    activities = []
    for frame in draw_frames(network, Random(0), 4):
        run = stream.push(frame, record)
        activities.append(count_activity(network, run))
        total.add(activities[-1])
        counted = counter.add(run.events)
        assert counted.events == activities[-1].events
        assert counted.synaptic_operations == activities[-1].synaptic_operations
    whole = total.result("all")
    assert (whole.images, whole.basis, whole.macs) == (8, "all", counter.macs)
    assert whole.synaptic_operations == sum(each.synaptic_operations for each in activities)
    for place, population in enumerate(whole.populations):
        parts = [each.populations[place] for each in activities]
        assert np.array_equal(population.events, np.concatenate([part.events for part in parts]))
        np.testing.assert_allclose(population.mean, np.mean([part.mean for part in parts], axis=0), rtol=1e-12)
        assert (population.by_step is None) == (record is Record.COUNTS)
        assert (population.unit_spikes is None) == (
            record is Record.COUNTS
        )  # counts after a frame are not its payloads
        if population.by_step is not None:
            assert population.by_step.sum() == population.events.sum()
    means = {each.name: each for each in counter.means()}
    assert counter.averaged == 3
    for place, population in enumerate(whole.populations):
        later = [each.populations[place].events.sum() for each in activities[1:]]
        assert means[population.name].events == sum(later) / 3


def test_nothing_counted_is_no_zero() -> None:
    with pytest.raises(NetworkError, match="^no frame was counted$"):
        ActivitySum().result("nothing")

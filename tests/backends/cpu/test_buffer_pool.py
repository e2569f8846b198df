"""Memory that is used again: it is handed out once at a time, bounded, and no result stands in it."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np

from snn_deploy.backend.protocol import Record
from snn_deploy.testing import random_stimulus, random_unet
from snn_deploy_cpu import CpuBackend
from snn_deploy_cpu.buffer_pool import Rooms
from snn_deploy_cpu.plan import prepare


def test_rooms_are_used_again() -> None:
    rooms = Rooms()
    first, second = rooms.take((2, 10), np.int16), rooms.take((40,), np.uint8)
    assert first.shape == (2, 10)
    assert not np.shares_memory(first, second)
    rooms.give(first)
    again = rooms.take((5, 8), np.uint8)
    assert np.shares_memory(first, again)
    assert not np.shares_memory(rooms.take((5, 8), np.uint8), again)


def test_no_more_stays_unused_than_was_said() -> None:
    rooms = Rooms()
    large, small, more = (rooms.take((size,), np.uint8) for size in (101, 60, 30))
    for one in (large, small, more):
        rooms.give(one)
    rooms.trim(90)
    assert np.shares_memory(rooms.take((60,), np.uint8), small)
    assert np.shares_memory(rooms.take((30,), np.uint8), more)
    assert not np.shares_memory(rooms.take((101,), np.uint8), large)


def test_threads_share_rooms() -> None:
    """No array is handed out twice, and nothing breaks while unused ones are let go of."""
    rooms, together = Rooms(), Barrier(4, timeout=60)

    def work(number: int) -> bool:
        alone = True
        for turn in range(100):
            one = rooms.take((64 + turn % 7,), np.uint8)
            one[...] = number
            together.wait()
            alone = alone and bool(np.all(one == number))
            together.wait()
            rooms.give(one)
            rooms.trim(300)
        return alone

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


def test_a_run_does_not_change_the_results_of_the_one_before() -> None:
    network, backend = random_unet("rate"), CpuBackend()
    stimulus = random_stimulus(network)
    for record in Record:
        before = backend.run(network, stimulus, record)
        kept = {name: before.counts[name].copy() for name in before.counts}
        backend.run(network, stimulus // 2, record)
        for name, counts in kept.items():
            np.testing.assert_array_equal(before.counts[name], counts)
        if record >= Record.TRAINS:
            assert before.trains is not None
            for name, train in before.trains.items():
                np.testing.assert_array_equal(train.sum(1), kept[name])


def test_payloads_are_released_after_their_last_reader() -> None:
    """A skip connection's payloads stay until its decoder has read them; everything is released once."""
    plan = prepare(random_unet("rate"), None)
    order = [layer.population.name for layer in plan.layers]
    places = {name: place for place, names in enumerate(plan.last_reads) for name in names}
    assert sorted(places) == sorted(order)
    assert sum(map(len, plan.last_reads)) == len(order)
    readers = [one for one in plan.network.connections if one.source != plan.network.input.name]
    assert all(places[one.source] >= order.index(one.target) for one in readers)
    assert places[order[-1]] == len(order) - 1
    sizes = [layer.population.size * np.dtype(layer.formats.payload).itemsize for layer in plan.layers]
    assert max(sizes) < plan.held_bytes < sum(sizes)

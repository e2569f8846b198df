"""Memory that is used again: it is handed out once at a time, bounded, and no result stands in it."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from snn_deploy.backend.protocol import Record
from snn_deploy.testing import random_stimulus, random_unet
from snn_deploy_cpu import CpuBackend
from snn_deploy_cpu.buffer_pool import BufferPool
from snn_deploy_cpu.plan import prepare


def test_released_buffers_are_used_again() -> None:
    pool = BufferPool()
    first, second = pool.acquire((2, 10), np.int16), pool.acquire((40,), np.uint8)
    assert first.shape == (2, 10)
    assert not np.shares_memory(first, second)
    pool.release(first)
    again = pool.acquire((5, 8), np.uint8)
    assert np.shares_memory(first, again)
    assert not np.shares_memory(pool.acquire((5, 8), np.uint8), again)


@pytest.mark.parametrize(
    ("max_bytes", "left"), [(191, (101, 60, 30)), (190, (60, 30)), (90, (60, 30)), (89, (30,)), (0, ())]
)
def test_trim_frees_the_largest_buffers_first(max_bytes: int, left: tuple[int, ...]) -> None:
    pool = BufferPool()
    buffers = {size: pool.acquire((size,), np.uint8) for size in (101, 60, 30)}
    for buffer in buffers.values():
        pool.release(buffer)
    pool.trim(max_bytes)
    again = {size: pool.acquire((size,), np.uint8) for size in buffers}
    assert tuple(size for size in buffers if np.shares_memory(buffers[size], again[size])) == left


def test_threads_share_a_pool() -> None:
    """No buffer is handed out twice, and nothing breaks while unused ones are freed."""
    pool, together = BufferPool(), Barrier(4, timeout=60)

    def work(number: int) -> bool:
        alone = True
        for turn in range(100):
            buffer = pool.acquire((64 + turn % 7,), np.uint8)
            buffer[...] = number
            together.wait()
            alone = alone and bool(np.all(buffer == number))
            together.wait()
            pool.release(buffer)
            pool.trim(300)
        return alone

    with ThreadPoolExecutor(4) as executor:
        assert all(executor.map(work, range(4)))


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
    assert max(sizes) < plan.peak_payload_bytes < sum(sizes)

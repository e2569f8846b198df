"""Payloads are computed when they are first read, buffers go back, and what is counted is measured on the way."""

import numpy as np
import pytest

from snn_deploy.arrays import Array
from snn_deploy_cpu.activations import Activations, OutputBuffers
from snn_deploy_cpu.buffer_pool import BufferPool
from snn_deploy_cpu.conv.payload_stats import LazyStats, PayloadStats


def outputs(shape: tuple[int, int, int, int], steps: int = 4, *, trains: bool = False) -> OutputBuffers:
    images, *map_shape = shape
    window = (images, steps, *map_shape)
    return OutputBuffers(
        np.ones(shape, np.int64),
        None if steps == 1 else np.zeros(shape, np.uint16),
        np.zeros(window, np.int16) if trains else None,
        None,
        None,
    )


def test_deferred_payloads_are_computed_once_and_only_when_read() -> None:
    pool, computed = BufferPool(), []
    payloads = Activations({"input": np.ones((2, 3, 3, 1), np.int16)}, pool)

    def compute() -> Array:
        computed.append(1)
        return np.zeros((2, 3, 3, 1), np.int16)

    payloads.defer("copy", compute)
    assert (computed, list(payloads)) == ([], ["input"])
    assert payloads["copy"] is payloads["copy"]
    assert computed == [1]
    payloads.defer("unread", compute)
    payloads.release("unread")
    with pytest.raises(KeyError, match=r"^'unread'$"):
        payloads["unread"]
    assert computed == [1]


def test_buffers_go_back_to_the_pool_when_payloads_are_released() -> None:
    pool = BufferPool()
    payloads = Activations({}, pool)
    buffer = payloads.buffer("a", outputs((2, 3, 3, 1)), 4, np.int16)
    assert (buffer.shape, buffer.dtype) == ((4, 18), np.dtype(np.int16))
    payloads["a"] = buffer
    payloads.release("a")
    assert "a" not in payloads
    assert np.shares_memory(pool.acquire((4, 18), np.int16), buffer)
    payloads.release("a")
    assert not np.shares_memory(pool.acquire((4, 18), np.int16), buffer)


def test_payloads_of_a_single_step_are_the_counts() -> None:
    buffers = outputs((2, 3, 3, 1), steps=1)
    buffer = Activations({}, BufferPool()).buffer("a", buffers, 1, np.int64)
    assert buffer.shape == (1, 18)
    assert np.shares_memory(buffer, buffers.counts)
    assert buffers.count_events(buffer, 1, 0, 3) is None
    assert np.all(buffers.counts == 1)


def test_stats_are_measured_unless_they_are_known() -> None:
    x = np.array([0, -3, 7, 0]).reshape(1, 2, 1, 2)
    payloads = Activations({"a": x, "b": x}, BufferPool())
    known = PayloadStats(np.array([9, 9]), 0, 1, 4)
    payloads.set_stats("a", known)
    assert payloads.stats("a").stats is known
    assert payloads.stats("a").density == 0.25
    measured = payloads.stats("b").stats
    assert (measured.magnitudes.tolist(), measured.minimum, measured.nonzero, measured.size) == ([7, 3], -3, 2, 4)
    assert payloads.stats("b").stats is measured
    assert payloads.stats("b").density == 0.5


def test_density_is_that_of_what_was_counted_or_of_a_sample() -> None:
    x = np.zeros((1, 4, 4, 2), np.uint8)
    x[0, 0] = 1
    sampled, counted = LazyStats(x), LazyStats(x)
    assert sampled.density == counted.stats.density == counted.density == 0.25
    assert sampled.measured is None


def test_buffers_of_some_images_are_views() -> None:
    buffers = outputs((5, 2, 2, 3), 5, trains=True)
    part = buffers.of_images(slice(1, 4))
    assert (part.shape, part.states, part.second_states) == ((3, 2, 2, 3), None, None)
    part.counts[...] = 7
    part.write_trains(np.full((2, 36), 4, np.int16), 3)
    np.testing.assert_array_equal(buffers.counts[:, 0, 0, 0], [1, 7, 7, 7, 1])
    assert buffers.trains is not None
    np.testing.assert_array_equal(buffers.trains[:, :, 0, 0, 0], np.outer([0, 1, 1, 1, 0], [0, 0, 0, 4, 4]))


@pytest.mark.parametrize(
    ("dtype", "least", "most"),
    [("u1", 0, 15), ("u1", 0, 63), ("u1", 0, 64), ("u1", 0, 255), ("i2", -7, 900), ("i4", -70000, 3)],
)
@pytest.mark.parametrize(("images", "channels"), [(1, 3), (1, 5000), (2, 32)])
def test_count_events(dtype: str, least: int, most: int, images: int, channels: int, instruction_set: str) -> None:
    """63 is the largest payload whose sum over 4 steps fits a byte; the largest payload is sent in every step somewhere."""
    shape, rng = (images, 6, 5, channels), np.random.default_rng(0)
    payloads = (rng.integers(least, most + 1, (4, *shape)) * (rng.random((4, *shape)) < 0.2)).astype(dtype)
    payloads[:, 0, 0, 0, 0] = most
    buffers = outputs(shape)
    bands = [(0, 2), (2, 6)] if images == 1 else [(0, 6)]
    parts = [buffers.count_events(payloads.reshape(4, -1), most, *band) for band in bands]
    np.testing.assert_array_equal(buffers.counts, 1 + payloads.sum(0, dtype=np.int64))
    assert buffers.events is not None
    np.testing.assert_array_equal(buffers.events, np.count_nonzero(payloads, axis=0))

    stats = PayloadStats.merged([part for part in parts if part is not None])
    magnitudes = np.maximum(payloads.max((0, 1, 2, 3)), -min(int(payloads.min()), 0))
    np.testing.assert_array_equal(stats.magnitudes, magnitudes)
    assert stats.minimum == min(payloads.min(), 0)
    density = np.count_nonzero(payloads) / payloads.size
    assert stats.density == pytest.approx(density, rel=0.1 if instruction_set == "numpy" else 1e-12)
    sampled = PayloadStats.of(payloads.reshape(-1, *shape[1:]))
    np.testing.assert_array_equal(sampled.magnitudes, magnitudes)
    assert sampled.minimum == min(payloads.min(), 0)
    # a sample of 4096 of which a fifth is not 0 has a standard deviation of 3 % of the density
    assert sampled.density == pytest.approx(density, rel=0.1)

"""What the autotuner offers and chooses: by tables of densities, sizes and timings that are given, not measured."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from snn_deploy.arrays import Array
from snn_deploy.network.kernels import ConvKernel
from snn_deploy_cpu.conv import autotune
from snn_deploy_cpu.conv.autotune import MIN_MACS, TRIALS, WARMUP_MACS, Autotuner, Overrides, time_in_turn
from snn_deploy_cpu.conv.compiled import ConvTask
from snn_deploy_cpu.conv.direct import DirectConv, exact_depth
from snn_deploy_cpu.conv.geometry import Convolution
from snn_deploy_cpu.conv.payload_stats import LazyStats, PayloadStats
from snn_deploy_cpu.conv.sparse import MAX_ROW_PAYLOADS, SparseConv, exact_part
from snn_deploy_cpu.kernels.library import Kernels, select_kernels

POINTWISE = Convolution.of(ConvKernel(np.full((8, 8, 1, 1), 3)))


def task(macs: int) -> ConvTask:
    """Of exactly so many multiply-accumulates in a map, 64 for each pixel."""
    return ConvTask("source", POINTWISE, np.float32(1), (1, macs // 64))


def payloads(density: float, maps: int = 1) -> Array:
    x = np.zeros((maps, 10, 10, 8), np.uint8)
    x.reshape(-1)[: round(density * x.size)] = 5
    return x


def best(tuner: Autotuner, x: Array, overrides: Overrides | None = None) -> str | None:
    found = tuner.best(x, LazyStats(x), lambda *_: None, overrides or Overrides())
    return None if found is None else found.name


class Timed:
    """A stand-in for measuring: seconds of each candidate, with the rival always taking 1."""

    def __init__(self, **seconds: float) -> None:
        self.seconds, self.calls = seconds, 0

    def __call__(self, candidate: Callable[[], object], _: Callable[[], object]) -> list[float]:
        conv = next(cell.cell_contents for cell in candidate.__closure__ or () if hasattr(cell.cell_contents, "task"))
        self.calls += 1
        return [self.seconds[conv.name], 1.0]


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Timed]:
    def replace(**seconds: float) -> Timed:
        clock = Timed(**seconds)
        monkeypatch.setattr(autotune, "time_in_turn", clock)
        return clock

    return replace


@pytest.mark.parametrize(
    ("overrides", "density", "chosen"),
    [
        (Overrides(), 0.1, "direct"),
        (Overrides(sparse_below=0.3), 0.29, "sparse"),
        (Overrides(sparse_below=0.3), 0.3, "direct"),
        (Overrides(sparse_below=0.3, direct=False), 0.3, None),
        (Overrides(sparse_below=0.0), 0.0, "direct"),
        (Overrides(direct=True), 0.1, "direct"),
        (Overrides(direct=False), 0.1, None),
        (Overrides(sparse_below=1.1, direct=False), 1.0, "sparse"),
    ],
)
def test_overrides(
    overrides: Overrides, density: float, chosen: str | None, kernels: Kernels, timed: Callable[..., Timed]
) -> None:
    clock = timed(direct=0.1)
    assert best(Autotuner(kernels, task(64)), payloads(density), overrides) == chosen
    # without vector instructions the direct path must show that it beats a library
    assert clock.calls == (overrides.direct is None and kernels.instruction_set == "baseline")


@pytest.mark.parametrize(("seconds", "chosen"), [(0.94, "direct"), (0.96, None)])
def test_without_vector_instructions_the_library_may_win(
    seconds: float, chosen: str | None, kernels: Kernels, timed: Callable[..., Timed]
) -> None:
    timed(direct=seconds)
    slow = kernels.instruction_set == "baseline"
    assert best(Autotuner(kernels, task(64)), payloads(0.4)) == (chosen if slow else "direct")


@pytest.mark.parametrize(
    ("seconds", "density", "chosen"),
    [
        (0.90, 0.2, "sparse"),
        (0.949, 0.2, "sparse"),
        (0.951, 0.2, "direct"),
        (1.5, 0.2, "direct"),
        (0.1, 0.49, "sparse"),
        (0.1, 0.5, "direct"),
        (0.1, 0.9, "direct"),
        (0.1, 0.0, "sparse"),
    ],
)
def test_what_is_clearly_faster_is_chosen(
    seconds: float, density: float, chosen: str, kernels: Kernels, timed: Callable[..., Timed]
) -> None:
    timed(sparse=seconds, direct=0.1)
    assert best(Autotuner(kernels, task(WARMUP_MACS)), payloads(density)) == chosen


def test_little_work_is_not_compared(kernels: Kernels, timed: Callable[..., Timed]) -> None:
    clock = timed(sparse=0.1)
    small, x, direct = Autotuner(kernels, task(MIN_MACS - 64)), payloads(0.1, maps=3000), Overrides(direct=True)
    for _ in range(3):
        assert best(small, x, direct) == "direct"
    assert clock.calls == 0
    assert best(small, x, Overrides(sparse_below=1.0, direct=True)) == "sparse"
    assert clock.calls == 0


def test_nothing_is_compared_before_it_pays(kernels: Kernels, timed: Callable[..., Timed]) -> None:
    clock, maps, direct = timed(sparse=0.1), WARMUP_MACS // MIN_MACS, Overrides(direct=True)
    tuner = Autotuner(kernels, task(MIN_MACS))
    assert best(tuner, payloads(0.1, maps - 1), direct) == "direct"
    assert clock.calls == 0
    assert best(tuner, payloads(0.1, 1), direct) == "sparse"
    assert clock.calls == 1


def test_each_half_octave_of_density_is_timed_once(kernels: Kernels, timed: Callable[..., Timed]) -> None:
    clock, tuner, direct = timed(sparse=0.1), Autotuner(kernels, task(WARMUP_MACS)), Overrides(direct=True)
    for density, calls in ((0.25, 1), (0.26, 1), (0.24, 1), (0.177, 2), (0.125, 3), (0.0, 4), (0.0, 4), (0.25, 4)):
        assert best(tuner, payloads(density), direct) == "sparse"
        assert clock.calls == calls, density


def test_payloads_are_measured_only_where_it_matters(kernels: Kernels) -> None:
    """Any bytes are exact where sums have 32 bits; a small layer is not compared with the sparse path."""

    tuner, x = Autotuner(kernels, task(64)), payloads(0.4)
    stats = LazyStats(x)
    if not kernels.sums_32_bits:
        pytest.skip("sums in 16 bits need to know the payloads")
    assert tuner.best(x, stats, lambda *_: None, Overrides(direct=True)) is not None
    assert stats.measured is None


@pytest.mark.parametrize(("density", "seconds"), [(0.3, 1.5), (0.6, 0.1)])
def test_a_density_that_is_too_high_is_all_that_is_measured(
    density: float, seconds: float, kernels: Kernels, timed: Callable[..., Timed]
) -> None:
    clock, tuner, direct = timed(sparse=seconds), Autotuner(kernels, task(WARMUP_MACS)), Overrides(direct=True)
    if not kernels.sums_32_bits:
        pytest.skip("sums in 16 bits need to know the payloads")
    assert best(tuner, payloads(density), direct) == "direct"
    calls, stats = clock.calls, LazyStats(payloads(density))
    assert tuner.best(payloads(density), stats, lambda *_: None, direct) is not None
    assert stats.measured is None
    assert clock.calls == calls
    clock.seconds["sparse"] = 0.1
    assert best(tuner, payloads(0.1), direct) == "sparse"


def test_candidates_are_remembered_for_smaller_payloads(kernels: Kernels) -> None:
    tuner, x, direct = Autotuner(kernels, task(64)), payloads(0.5).astype(np.int16), Overrides(direct=True)

    def offered(*largest: int) -> object:
        stats = PayloadStats(np.array([*largest, *[1] * (8 - len(largest))]), 0, 1, 10)
        return tuner.best(x, LazyStats(x, measured=stats), lambda *_: None, direct)

    first = offered(9)
    assert isinstance(first, DirectConv)
    assert first.payload is np.uint8
    assert offered(4) is first
    larger = offered(300)
    assert isinstance(larger, DirectConv)
    assert larger.payload is np.int16
    assert offered(200) is larger
    assert offered(9) is first  # what fits a byte and a sign has a path of its own


def test_rows_too_long_for_lists_have_no_sparse_path(kernels: Kernels) -> None:
    stats = PayloadStats(np.ones(8, np.int64), 0, 1, 10)
    for width, name in ((MAX_ROW_PAYLOADS - 1, "sparse"), (MAX_ROW_PAYLOADS, None)):
        x = np.broadcast_to(np.zeros(1, np.uint8), (1, 1, width, 1))
        tuner = Autotuner(kernels, task(64))
        found = tuner.best(x, LazyStats(x, measured=stats), lambda *_: None, Overrides(sparse_below=1.0, direct=False))
        assert (found and found.name) == name


def test_weights_that_two_threads_pack_are_those_of_the_first() -> None:
    """Kernels are given an address: an array that another takes the place of would be freed under them."""
    shared, first = task(64), np.zeros(1, np.int8)

    def interrupted() -> Array:
        assert shared.packed_weights("direct", np.uint8, lambda: first) is first
        return np.ones(1, np.int8)

    assert shared.packed_weights("direct", np.uint8, interrupted) is first
    assert shared.packed_weights("direct", np.uint8, interrupted) is first


@pytest.mark.parametrize(
    ("signed", "largest", "direct", "sparse"),
    [
        (False, 127, np.uint8, np.uint8),
        (False, 128, np.uint8, np.int16),
        (False, 255, np.uint8, np.int16),
        (False, 256, np.int16, np.int16),
        (True, 1, np.int8, np.int16),
        (True, 127, np.int8, np.int16),
        (True, 128, np.int16, np.int16),
        (True, 32767, np.int16, np.int16),
        (False, 32768, None, None),
    ],
)
def test_formats_of_payloads(
    signed: bool, largest: int, direct: type | None, sparse: type | None, kernels: Kernels
) -> None:
    for kind, payload in ((DirectConv, direct), (SparseConv, sparse)):
        found = kind.within(kernels, task(64), signed, np.full(8, largest))
        if payload is np.int8 and not kernels.sums_32_bits:
            payload = np.int16
        assert (found and found.payload) == payload


@pytest.mark.parametrize(
    ("real", "groups", "covered"), [(np.float32, 1, True), (np.float64, 1, False), (np.float32, 2, False)]
)
def test_what_is_covered(real: type, groups: int, covered: bool, instruction_set: str) -> None:
    conv = Convolution.of(ConvKernel(np.ones((8, 8 // groups, 1, 1), np.int8), groups=groups))
    found = Autotuner.of(ConvTask("source", conv, np.float32(1), (1, 1)), real)
    assert (found is not None) == (covered and select_kernels() is not None)


def test_rivals_take_turns() -> None:
    order: list[str] = []
    seconds = time_in_turn(lambda: order.append("a"), lambda: order.append("b"))
    assert order == ["a", "b"] * (1 + TRIALS)
    assert len(seconds) == 2
    assert min(seconds) >= 0


@pytest.mark.parametrize(
    ("weight", "channel_max", "depth"),
    [
        # two products of one sign in a sum of a word: 2 * 127 * p; a kernel of 1x1 with 8 inputs has 2 words
        (127, 64, 2),  # 4 * 127 * 64 = 32512
        (127, 65, 1),  # 33020 for two words, 16510 for one
        (127, 128, 1),  # 2 * 127 * 128 = 32512
        (127, 130, 0),  # 33020
        (-128, 127, 1),  # 32512
        (-128, 128, 0),  # 32768: one more than 32767, and yet -32768 would fit
    ],
)
def test_depth_that_16_bits_hold(weight: int, channel_max: int, depth: int) -> None:
    conv = Convolution.of(ConvKernel(np.full((1, 8, 1, 1), weight)))
    assert exact_depth(conv, np.full(8, channel_max)) == depth


@pytest.mark.parametrize("dilations", [(1, 1), (1, 2)])
def test_words_of_a_dilated_kernel_neighbour_within_a_tap(dilations: tuple[int, int]) -> None:
    conv = Convolution.of(ConvKernel(np.ones((1, 8, 1, 3), np.int8), dilations=dilations))
    assert exact_depth(conv, np.ones(8, np.int64)) == (6 if dilations == (1, 1) else 2)


@pytest.mark.parametrize(
    ("limit", "part"),
    [(60, (2, 3)), (59, (1, 3)), (30, (1, 3)), (29, (1, 1)), (10, (1, 1)), (9, None)],
)
def test_parts_of_kernels(limit: int, part: tuple[int, int] | None) -> None:
    """Five inputs of payloads 2 and weights 1: 10 for each tap; those of the other sign count by themselves."""
    weight = np.ones((2, 5, 2, 3))
    weight[1] = -1
    assert exact_part(weight, np.full(5, 2), limit) == part

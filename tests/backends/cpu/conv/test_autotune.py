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
from snn_deploy_cpu.conv.payload_stats import ALL_BITS, PayloadStats
from snn_deploy_cpu.conv.sparse import MAX_ROW_PAYLOADS, SparseConv, exact_part
from snn_deploy_cpu.kernels.dispatch import compiled_kernels

needs_numba = pytest.mark.skipif(compiled_kernels() is None, reason="candidates are compiled by numba")

POINTWISE = Convolution.of(ConvKernel(np.full((8, 8, 1, 1), 3)))


def task(macs: int) -> ConvTask:
    """Of exactly so many multiply-accumulates in a map, 64 for each pixel."""
    return ConvTask("source", POINTWISE, np.float32(1), (1, macs // 64))


def payloads(density: float, maps: int = 1) -> Array:
    x = np.zeros((maps, 10, 10, 8), np.uint8)
    x.reshape(-1)[: round(density * x.size)] = 5
    return x


def direct(limit: int = 5) -> DirectConv | None:
    return DirectConv.of(task(64), ALL_BITS, False, np.full(8, limit))


def sparse(limit: int = 5) -> SparseConv | None:
    return SparseConv.of(task(64), ALL_BITS, False, np.full(8, limit))


@needs_numba
@pytest.mark.parametrize(
    ("overrides", "density", "takes_sparse", "takes_direct"),
    [
        (Overrides(), 0.1, None, None),
        (Overrides(sparse_below=0.3), 0.29, True, None),
        (Overrides(sparse_below=0.3), 0.3, False, None),
        (Overrides(sparse_below=0.0), 0.0, False, None),
        (Overrides(direct=True), 0.1, None, True),
        (Overrides(direct=False), 0.1, None, False),
    ],
)
def test_overrides(overrides: Overrides, density: float, takes_sparse: bool | None, takes_direct: bool | None) -> None:
    conv = sparse()
    assert conv is not None
    assert overrides.decide(conv, density) is takes_sparse
    if direct() is not None:
        assert overrides.decide(direct(), density) is takes_direct  # type: ignore[arg-type]


class Timed:
    """A stand-in for measuring: seconds of each candidate, with the rival always taking 1."""

    def __init__(self, **seconds: float) -> None:
        self.seconds, self.calls = seconds, 0

    def __call__(self, candidate: Callable[[], object], _: Callable[[], object]) -> list[float]:
        conv = next(cell.cell_contents for cell in candidate.__closure__ or () if hasattr(cell.cell_contents, "task"))
        self.calls += 1
        return [self.seconds[conv.name], 1.0]


def best(tuner: Autotuner, x: Array, overrides: Overrides | None = None) -> str | None:
    found = tuner.best(x, lambda: PayloadStats.of(x), ALL_BITS, lambda *_: None, overrides or Overrides())
    return None if found is None else found.name


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Timed]:
    def replace(**seconds: float) -> Timed:
        clock = Timed(**seconds)
        monkeypatch.setattr(autotune, "time_in_turn", clock)
        monkeypatch.setattr(autotune, "_compiled", set())
        # without AVX2 there is no direct path; these tests are about choosing
        monkeypatch.setattr(DirectConv, "of", classmethod(lambda *_: None))
        return clock

    return replace


@needs_numba
@pytest.mark.parametrize(
    ("seconds", "density", "chosen"),
    [
        (0.90, 0.2, "sparse"),
        (0.949, 0.2, "sparse"),
        (0.951, 0.2, None),
        (1.5, 0.2, None),
        (0.1, 0.49, "sparse"),
        (0.1, 0.5, None),
        (0.1, 0.9, None),
        (0.1, 0.0, "sparse"),
    ],
)
def test_what_is_clearly_faster_is_chosen(
    seconds: float, density: float, chosen: str | None, timed: Callable[..., Timed]
) -> None:
    timed(sparse=seconds)
    assert best(Autotuner(task(WARMUP_MACS)), payloads(density)) == chosen


@needs_numba
def test_little_work_stays_with_the_library(timed: Callable[..., Timed]) -> None:
    clock = timed(sparse=0.1)
    small, x = Autotuner(task(MIN_MACS - 64)), payloads(0.1, maps=3000)
    for _ in range(3):
        assert best(small, x) is None
    assert clock.calls == 0
    assert best(small, x, Overrides(sparse_below=1.0)) == "sparse"
    assert best(small, x, Overrides(direct=False)) is None
    assert clock.calls == 0


@needs_numba
def test_nothing_is_compiled_before_it_pays(timed: Callable[..., Timed]) -> None:
    """The work of one layer counts until a loop of its kind has run; then others need not wait."""
    clock, maps = timed(sparse=0.1), WARMUP_MACS // MIN_MACS
    tuner = Autotuner(task(MIN_MACS))
    assert best(tuner, payloads(0.1, maps - 1)) is None
    assert clock.calls == 0
    assert best(tuner, payloads(0.1, 1)) == "sparse"
    assert clock.calls == 1
    assert best(Autotuner(task(MIN_MACS)), payloads(0.1, 1)) == "sparse"
    assert clock.calls == 2


@needs_numba
def test_each_half_octave_of_density_is_timed_once(timed: Callable[..., Timed]) -> None:
    clock, tuner = timed(sparse=0.1), Autotuner(task(WARMUP_MACS))
    for density, calls in ((0.25, 1), (0.26, 1), (0.24, 1), (0.177, 2), (0.125, 3), (0.0, 4), (0.0, 4), (0.25, 4)):
        assert best(tuner, payloads(density)) == "sparse"
        assert clock.calls == calls, density


@needs_numba
def test_candidates_are_remembered_for_smaller_payloads() -> None:
    tuner = Autotuner(task(64))
    x = payloads(0.5)
    first = tuner.candidates(x, PayloadStats(np.full(8, 9), 0, 1, 10))
    assert tuner.candidates(x, PayloadStats(np.full(8, 4), 0, 1, 10)) is first
    larger = tuner.candidates(x, PayloadStats(np.array([300] + 7 * [1]), 0, 1, 10))
    assert {conv.payload for conv in larger} == {np.int16}
    assert tuner.candidates(x, PayloadStats(np.full(8, 9), 0, 1, 10)) is larger


@needs_numba
def test_rows_too_long_for_lists_have_no_candidates() -> None:
    stats, tuner = PayloadStats(np.ones(8, np.int64), 0, 1, 10), Autotuner(task(64))
    for width, offered in ((MAX_ROW_PAYLOADS - 1, True), (MAX_ROW_PAYLOADS, False)):
        x = np.broadcast_to(np.zeros(1, np.uint8), (1, 1, width, 1))
        assert bool(tuner.candidates(x, stats)) == offered


@pytest.mark.parametrize(
    ("real", "groups", "covered"), [(np.float32, 1, True), (np.float64, 1, False), (np.float32, 2, False)]
)
def test_what_is_covered(real: type, groups: int, covered: bool) -> None:
    conv = Convolution.of(ConvKernel(np.ones((8, 8 // groups, 1, 1), np.int8), groups=groups))
    assert Autotuner.covers(conv, real) == (covered and compiled_kernels() is not None)


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

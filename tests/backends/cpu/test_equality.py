"""The cpu backend against the reference: every event, membrane and saturation, on every engine, with ``==``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from snn_deploy.arrays import Array, Int8
from snn_deploy.backend.protocol import Record, Run
from snn_deploy.errors import BackendError, BackendUnavailableError
from snn_deploy.network.kernels import ConvKernel, SpatialKernel, TransposedKernel
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Mode, Network, Output, Population
from snn_deploy.network.schedule import align, shuffle, undelay
from snn_deploy.shapes import Pads
from snn_deploy.testing import check_backend, conformance_cases, random_stimulus, random_unet, special_cases
from snn_deploy_cpu import CpuBackend, executor, window
from snn_deploy_cpu.conv import providers
from snn_deploy_cpu.conv.compiled import ConvTask
from snn_deploy_cpu.conv.direct import DirectConv
from snn_deploy_cpu.conv.float_conv import NumpyConvolution
from snn_deploy_cpu.conv.geometry import Convolution
from snn_deploy_cpu.conv.payload_stats import PayloadStats
from snn_deploy_cpu.conv.sparse import SparseConv
from snn_deploy_cpu.kernels.library import VARIABLE, Kernels, select_kernels
from snn_deploy_cpu.plan import Engine
from snn_deploy_reference import ReferenceBackend

FEW = (*conformance_cases(), *special_cases())
"""What every way of computing runs; drawn networks and options are run by tests/differential and test_neuron_options.py."""

COMPILED = {
    "sparse": CpuBackend(sparse_below=1.1, direct=False),
    "direct": CpuBackend(sparse_below=0.0, direct=True),
    "both": CpuBackend(sparse_below=0.3, direct=True),
}
"""Backends that compute by compiled loops whatever they can, payloads that are never 0 included (a density of 1)."""


@pytest.fixture
def without_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """It cannot be imported."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    providers.select_float32.cache_clear()
    yield
    providers.select_float32.cache_clear()


def assert_equal(found: Run, expected: Run) -> None:
    assert_fields_equal(found, expected, "counts", "events", "trains", "states")
    assert found.saturations == expected.saturations
    assert (found.network, found.stimulus) == (expected.network, expected.stimulus)


def assert_counts_equal(found: Run, expected: Run) -> None:
    """Where nothing else is kept, what merely repeats pixels is not computed step by step."""
    assert_fields_equal(found, expected, "counts", "events")
    assert found.trains is None


def assert_fields_equal(found: Run, expected: Run, *fields: str) -> None:
    for field in fields:
        for name, values in getattr(expected, field).items():
            np.testing.assert_array_equal(getattr(found, field)[name], values, err_msg=f"{field} of {name}")


def both(network: Network, stimulus: Array, engine: Engine | None = None) -> tuple[Run, Run]:
    return (
        CpuBackend(engine).run(network, stimulus, Record.STATES),
        ReferenceBackend().run(network, stimulus, Record.STATES),
    )


@pytest.mark.parametrize(
    ("engine", "record"),
    [
        *((None, record) for record in Record),
        *((engine, Record.STATES) for engine in ("int8", "f32", "f64")),
        *(
            pytest.param(engine, record, marks=pytest.mark.extended)
            for engine in ("int8", "f32", "f64")
            for record in (Record.COUNTS, Record.TRAINS)
        ),
    ],
)
def test_conformance(engine: Engine | None, record: Record) -> None:
    found = check_backend(CpuBackend(engine), record, drawn=0, cases=FEW)
    assert (len(found.equal), found.refused) == (len(FEW), {})


def test_the_whole_suite() -> None:
    found = check_backend(CpuBackend())
    assert (len(found.equal), found.refused) == (60, {})


def test_conformance_with_nothing_but_numpy(without_onnxruntime: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "numpy")
    select_kernels.cache_clear()
    assert len(check_backend(CpuBackend(), drawn=0, cases=FEW).equal) == len(FEW)
    with pytest.raises(BackendUnavailableError, match=r"^backend cpu: engine int8 needs .* or choose engine f32$"):
        CpuBackend("int8").run(random_unet("rate"), random_stimulus(random_unet("rate")))
    select_kernels.cache_clear()


@pytest.mark.parametrize("path", COMPILED)
def test_compiled_convolutions(path: str) -> None:
    assert len(check_backend(COMPILED[path], drawn=0, cases=FEW).equal) == len(FEW)
    for name, first in KERNELS.items():
        network = line([ConvKernel(weights(6, 2, 3, 3), pads=(1, 1, 1, 1)), first], "rate", (2, 11, 9), 700)
        stimulus = random_stimulus(network)
        found = COMPILED[path].run(network, stimulus, Record.STATES)
        assert_equal(found, ReferenceBackend().run(network, stimulus, Record.STATES))
        if path != "both":
            ungrouped = "group" not in name and not name.startswith("depth") and name != "transposed negative pads"
            assert found.engines["layer1"].endswith(f"+{path}") == ungrouped, name


@pytest.mark.parametrize("path", COMPILED)
@pytest.mark.parametrize("payload", [1, 3, 9, 40, 1000])
@pytest.mark.parametrize(("inputs", "outputs"), [(5, 8), (16, 24), (19, 150), (8, 260)])
def test_compiled_convolutions_of_every_size(path: str, payload: int, inputs: int, outputs: int) -> None:
    """Sums in 16 bits over more and less of the kernel, and in 32; tiles that are full and that are not."""
    kernels = [ConvKernel(weights(inputs, 2, 1, 1)), ConvKernel(weights(outputs, inputs, 3, 3), pads=(1, 1, 1, 1))]
    for signed in (0, -payload):
        network = line(kernels, "rate", (2, 6, 7), 60, payload_min=signed, payload_max=payload)
        found = COMPILED[path].run(network, random_stimulus(network), Record.STATES)
        assert_equal(found, ReferenceBackend().run(network, random_stimulus(network), Record.STATES))
        assert np.ptp(found.trains["layer0"]) >= min(payload, 200)  # type: ignore[index]


@pytest.mark.parametrize("signs", [1, 2])
@pytest.mark.parametrize(("outputs", "inputs"), [(4, 1), (3, 8), (9, 16)])
def test_16_bits_hold_what_they_are_given(outputs: int, inputs: int, signs: int, kernels: Kernels) -> None:
    """The largest payload that a part of the kernel may see, and one more, which takes a smaller part: all sums extreme."""
    sign = np.where(np.indices((inputs, 3, 3)).sum(0) % signs, -1, 1)
    layer = Convolution.of(ConvKernel(np.broadcast_to(sign * -127, (outputs, inputs, 3, 3)), pads=(1, 1, 1, 1)))
    task, exact = ConvTask("source", layer, np.float32(1), (5, 5)), NumpyConvolution(layer, np.float64)
    limits = {32767 // (127 * inputs * taps) for taps in (9, 3, 1)}
    words = -(-inputs // 4)
    limits |= {min(255, 32767 // (127 * min(inputs, 2) * -(-3 * words // parts))) for parts in (1, 2, 4, 8)}
    depths = set()
    for limit in limits:
        for payload in (limit, limit + 1):
            pattern = np.where(np.indices((5, 5, inputs)).sum(0) % signs, -1, 1)
            maps = (payload * pattern[None]).astype(np.int16)
            stats = PayloadStats.of(maps)
            for kind in (DirectConv, SparseConv):
                conv = kind.within(kernels, task, stats.signed, stats.magnitudes)
                assert conv is not None
                np.testing.assert_array_equal(conv.accumulate(None, maps, 0, 5), exact(maps, (1, 1)))
                if isinstance(conv, DirectConv) and conv.payload is np.uint8:
                    depths.add(conv.depth)
    if signs == 1 and inputs > 1 and not kernels.sums_32_bits:
        assert len(depths) > 2


@pytest.mark.parametrize(("side", "pads"), [(3, (1, 1, 1, 1)), (5, (2, 1, 2, 3)), (1, (0, 0, 0, 0)), (2, (0, 1, 3, 0))])
@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("path", ["sparse", "direct"])
def test_repeated_pixels_are_read_where_they_come_from(side: int, pads: Pads, factor: int, path: str) -> None:
    for mode in ("rate", "exact"):
        network = doubled(ConvKernel(weights(12, 4, side, side), pads=pads), factor, mode)
        stimulus = random_stimulus(network, batch=2)
        for block in (1, 2**21):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(executor, "BLOCK_BYTES", block)
                found = COMPILED[path].run(network, stimulus, Record.STATES)
                counts = COMPILED[path].run(network, stimulus)
            assert found.engines["after"].endswith(f"+{path}")
            expected = ReferenceBackend().run(network, stimulus, Record.STATES)
            assert_equal(found, expected)
            assert_counts_equal(counts, expected)
        assert_counts_equal(CpuBackend(sparse_below=0.0, direct=False).run(network, stimulus), expected)


def doubled(kernel: ConvKernel, factor: int, mode: Mode = "rate") -> Network:
    """A convolution of a map whose pixels a relay repeats ``factor`` times each way."""
    first = line([ConvKernel(weights(4, 2, 3, 3), pads=(1, 1, 1, 1))], mode, (2, 6, 7), 700)
    repeat = (factor * 6, factor * 7)
    rows, columns = (np.repeat(np.arange(length), factor) for length in (6, 7))
    indices = (rows[:, None] * 7 + columns[None, :]).reshape(-1)
    pixels = SpatialKernel((6, 7), repeat, np.arange(indices.size + 1), indices, np.ones(indices.size, np.int8))
    one, limit = np.ones(4, np.int64), 300
    counts = (-limit, limit) if mode == "exact" else (None, None)
    relay = Population(
        "twice",
        (4, *repeat),
        MultiThreshold(one, 0 * one, -limit, limit, *counts),
        np.zeros((4, 1, 1), np.int64),
        np.ones(4),
    )
    shape = kernel.output_shape(relay.shape)
    theta = np.full(shape[0], 800)
    neuron = MultiThreshold(theta, theta // 2, -90, 90, *((-90, 90) if mode == "exact" else (None, None)))
    after = Population("after", shape, neuron, np.zeros((shape[0], 1, 1), np.int64), np.ones(shape[0]))
    return align(
        replace(
            first,
            populations=(*first.populations, relay, after),
            connections=(
                *first.connections,
                Connection("double", first.populations[-1].name, "twice", pixels),
                Connection("read", "twice", "after", kernel),
            ),
            outputs=(Output("out", "after"),),
        )
    )


def test_engines_are_named() -> None:
    network = random_unet("rate")
    run = CpuBackend("f32", sparse_below=0, direct=False).run(network, random_stimulus(network))
    assert set(run.engines.values()) == {"f32", "int32"}
    assert CpuBackend().run(network, random_stimulus(network)).engines["enc1/b"] == "int8+direct"


@pytest.mark.parametrize("mode", ["exact", "rate"])
@pytest.mark.parametrize(("batch", "threads"), [(1, 1), (3, 1), (1, 3), (5, 2)])
def test_strips_groups_chunks_and_threads(
    mode: Mode, batch: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = random_unet(mode, 7, steps=11)
    stimulus = random_stimulus(network, 7, batch)
    expected = ReferenceBackend().run(network, stimulus, Record.STATES)
    for block, chunk in ((1, 1), (1500, 3), (2**14, 4), (2**17, 2**20)):
        monkeypatch.setattr(executor, "BLOCK_BYTES", block)
        monkeypatch.setattr(window, "CHUNK_STEPS", chunk)
        found = CpuBackend(threads=threads).run(network, stimulus, Record.STATES)
        assert_equal(found, expected)
        trains = CpuBackend(threads=threads).run(network, stimulus, Record.TRAINS)
        for name, values in expected.trains.items():  # type: ignore[union-attr]
            np.testing.assert_array_equal(trains.trains[name], values)  # type: ignore[index]


def line(
    kernels: Sequence[ConvKernel | TransposedKernel],
    mode: Mode,
    shape: tuple[int, int, int],
    theta: int,
    **options: object,
) -> Network:
    """A chain of populations, one for each kernel."""
    one = np.zeros((shape[0], 1, 1), np.int64)
    populations = [Population("input", shape, None, one, np.ones(shape[0]), input_min=-1023, input_max=1023)]
    connections = []
    for index, kernel in enumerate(kernels):
        source = populations[-1]
        shape = kernel.output_shape(source.shape)
        limits = {"payload_min": -200, "payload_max": 300} | options
        if mode == "exact":
            limits |= {"count_min": -200, "count_max": 300}
        neuron = MultiThreshold(np.full(shape[0], theta), np.full(shape[0], theta // 2), **limits)  # type: ignore[arg-type]
        bias = np.arange(np.prod(shape)).reshape(shape) % 37 - 11
        populations.append(Population(f"layer{index}", shape, neuron, bias, np.ones(shape[0])))
        connections.append(Connection(f"edge{index}", source.name, f"layer{index}", kernel, index % 3))
    network = Network(
        "line",
        mode,
        4 if mode == "rate" else 1,
        tuple(populations),
        tuple(connections),
        (Output("out", populations[-1].name),),
    )
    return align(network)


def weights(*shape: int) -> Int8:
    return np.random.default_rng(sum(shape)).integers(-128, 128, shape).astype(np.int8)


KERNELS: dict[str, ConvKernel | TransposedKernel] = {
    "asymmetric pads": ConvKernel(weights(8, 6, 3, 2), pads=(2, 0, 1, 3)),
    "negative pads": ConvKernel(weights(8, 6, 3, 3), pads=(-2, 1, -1, -3)),
    "stride beyond kernel": ConvKernel(weights(8, 6, 1, 2), (3, 3), (1, 0, 0, 2)),
    "dilated": ConvKernel(weights(8, 6, 3, 3), (1, 2), (2, 3, 2, 3), (2, 3)),
    "grouped": ConvKernel(weights(9, 2, 3, 3), (2, 1), (1, 1, 1, 1), groups=3),
    "depthwise": ConvKernel(weights(6, 1, 3, 2), (2, 2), (-1, 1, 2, 0), groups=6),
    "depth multiplier": ConvKernel(weights(12, 1, 3, 3), pads=(1, 1, 1, 1), groups=6),
    "transposed": TransposedKernel(weights(6, 5, 3, 3), (2, 2), (1, 1, 0, 0)),
    "transposed 2x2": TransposedKernel(weights(6, 5, 2, 2), (2, 2)),
    "transposed with gaps": TransposedKernel(weights(6, 5, 2, 1), (3, 2), (1, 0, 0, 0)),
    "transposed dilated groups": TransposedKernel(weights(6, 4, 3, 2), (2, 3), (0, 1, 2, 0), (3, 2), 3),
    "transposed negative pads": TransposedKernel(weights(6, 4, 3, 3), (2, 2), (-2, -1, -3, -1), groups=2),
}


@pytest.mark.parametrize("engine", [None, "f32", "f64"])
@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("block", [1, 2**22])
def test_every_geometry(name: str, engine: Engine | None, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "BLOCK_BYTES", block)
    first = ConvKernel(weights(6, 2, 3, 3), pads=(1, 1, 1, 1))
    network = line([first, KERNELS[name]], "exact", (2, 11, 9), 700)
    assert_equal(*both(network, random_stimulus(network, batch=1), engine))


@pytest.mark.parametrize("mode", ["exact", "rate"])
@pytest.mark.parametrize("weight", [1, 3, -2])
@pytest.mark.parametrize("threads", [1, 2])
def test_resampling_relays(mode: Mode, weight: int, threads: int) -> None:
    first = line([ConvKernel(weights(4, 2, 3, 3), pads=(1, 1, 1, 1))], mode, (2, 6, 6), 700)
    source = first.populations[-1]
    limit = 900
    counts = (-limit, limit) if mode == "exact" else (None, None)
    one = np.ones(4, np.int64)
    relay = Population(
        "twice",
        (4, 12, 12),
        MultiThreshold(one, 0 * one, -limit, limit, *counts),
        np.zeros((4, 1, 1), np.int64),
        np.ones(4),
    )
    double = np.repeat(np.arange(6), 2)
    indices = (double[:, None] * 6 + double[None, :]).reshape(-1)
    kernel = SpatialKernel((6, 6), (12, 12), np.arange(145), indices, np.full(144, weight))
    network = align(
        replace(
            first,
            populations=(*first.populations, relay),
            connections=(*first.connections, Connection("double", source.name, "twice", kernel)),
            outputs=(Output("out", "twice"),),
        )
    )
    stimulus = random_stimulus(network)
    expected = ReferenceBackend().run(network, stimulus, Record.STATES)
    found = CpuBackend(threads=threads).run(network, stimulus, Record.STATES)
    assert found.engines["twice"] == "int32"
    assert_equal(found, expected)
    assert_counts_equal(CpuBackend(threads=threads).run(network, stimulus), expected)


@pytest.mark.parametrize("theta", [1, 3, 700, 4097, 2**20 - 1, 2**20])
@pytest.mark.parametrize("strict", [False, True])
def test_any_threshold(theta: int, strict: bool) -> None:
    kernel = ConvKernel(weights(4, 2, 3, 3), pads=(1, 1, 1, 1))
    network = line([kernel], "rate", (2, 8, 8), theta, strict=strict)
    assert_equal(*both(network, random_stimulus(network)))


@pytest.mark.parametrize("seed", range(3))
def test_hard_resets(seed: int) -> None:
    network = random_unet("rate", seed)
    populations = tuple(
        replace(population, neuron=replace(population.neuron, reset="zero"))
        if population.neuron is not None and not population.neuron.relays
        else population
        for population in network.populations
    )
    hard = replace(network, populations=populations)
    stimulus = random_stimulus(network, seed)
    soft, found = CpuBackend().run(network, stimulus), CpuBackend().run(hard, stimulus, Record.STATES)
    assert_equal(found, ReferenceBackend().run(hard, stimulus, Record.STATES))
    assert any(np.any(soft.counts[name] != values) for name, values in found.counts.items())


def test_membranes_saturate_alike() -> None:
    kernel = ConvKernel(np.full((4, 2, 3, 3), 127), pads=(1, 1, 1, 1))
    network = replace(line([kernel], "rate", (2, 8, 8), 2**22, payload_min=0), steps=20)
    found, expected = both(network, -np.abs(random_stimulus(network)))
    assert sum(expected.saturations.values()) > 100
    assert max(np.abs(values).max() for values in expected.states.values()) <= STATE_MAX  # type: ignore[union-attr]
    assert_equal(found, expected)


def test_currents_beyond_float32_take_float64() -> None:
    kernel = ConvKernel(np.full((4, 2, 3, 3), 127), pads=(1, 1, 1, 1))
    network = line([kernel], "rate", (2, 8, 8), 2**22)
    network = replace(network, connections=(replace(network.connections[0], exponent=12),))
    found, expected = both(network, random_stimulus(network))
    assert set(found.engines.values()) == {"f64"}
    assert_equal(found, expected)
    with pytest.raises(BackendUnavailableError, match=r"layer0: its current reaches .* reference backend$"):
        CpuBackend("int8").run(network, random_stimulus(network))


@pytest.mark.parametrize("backend", [CpuBackend(), CpuBackend(threads=3), *COMPILED.values()])
@pytest.mark.parametrize("levels", [63, 4])
def test_schedules_of_late_events_run(backend: CpuBackend, levels: int) -> None:
    network = shuffle(random_unet("exact", size=8, levels=levels, payload=3), 3)
    stimulus = random_stimulus(network)
    expected = ReferenceBackend().run(network, stimulus, Record.STATES)
    found = backend.run(network, stimulus, Record.STATES)
    assert_equal(found, expected)
    assert any(np.any(found.trains[each.name][:, -1]) for each in network.populations) is False  # type: ignore[index]


def test_late_events_cross_chunks_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "CHUNK_STEPS", 3)
    drawn = random_unet("rate", 4, size=8, steps=10)
    late = replace(
        drawn, connections=tuple(replace(each, delay=each.delay + n % 5) for n, each in enumerate(drawn.connections))
    )
    found, expected = both(late, random_stimulus(late))
    assert_equal(found, expected)
    # a delay of two chunks, and one beyond the window: nothing arrives
    far = replace(drawn, connections=tuple(replace(each, delay=each.delay + 7) for each in drawn.connections))
    assert_equal(*both(far, random_stimulus(far)))
    never = replace(drawn, connections=tuple(replace(each, delay=each.delay + 11) for each in drawn.connections))
    found, expected = both(never, random_stimulus(never))
    assert_equal(found, expected)


def test_events_before_the_window_are_refused() -> None:
    network = undelay(random_unet("exact", size=8))
    with pytest.raises(
        BackendUnavailableError,
        match=r"an event of .* arrives before its target's window.*; align the network, or run it on ",
    ):
        CpuBackend().run(network, random_stimulus(network))


def test_an_event_on_its_way_at_the_end_is_an_error() -> None:
    kernel = ConvKernel(np.full((1, 1, 1, 1), 100))
    network = line([kernel], "exact", (1, 2, 2), 64, payload_min=-255)
    late = replace(network, steps=1, connections=(replace(network.connections[0], delay=2),))
    for backend in (CpuBackend(), ReferenceBackend()):
        with pytest.raises(
            BackendError, match=r"^exact mode is not silent after 2 steps: layer0; the schedule's window"
        ):
            backend.run(late, np.full((1, 1, 2, 2), 9))
    assert_equal(*both(replace(late, steps=2), np.full((1, 1, 2, 2), 9)))


def test_a_window_too_short_is_an_error() -> None:
    network = replace(random_unet("exact", 2, size=8, levels=15, payload=4), steps=2)
    with pytest.raises(BackendError, match=r"exact mode is not silent after .*; the schedule's window is too short$"):
        CpuBackend().run(network, random_stimulus(network))


def test_wide_layers_of_small_payloads_stay_in_8_bits() -> None:
    """The sums of 1000 channels fit float32 because payloads are small; 8 full bits of them would not."""
    kernels = [ConvKernel(weights(1000, 2, 1, 1)), ConvKernel(np.full((8, 1000, 3, 3), 31, np.int8), pads=(1, 1, 1, 1))]
    network = line(kernels, "rate", (2, 3, 3), 2**12, payload_max=15, payload_min=0)
    found, expected = both(network, random_stimulus(network))
    assert found.engines["layer1"] == "int8+direct"
    assert_equal(found, expected)


ODD: dict[str, ConvKernel | TransposedKernel] = {
    "one sum to a row": ConvKernel(weights(4, 1, 1, 3), (1, 3), groups=2),
    "one sum to a row of one map": ConvKernel(weights(8, 1, 5, 3), (1, 4), (2, 0, 2, 0), (2, 1)),
    "pads as large as the kernel": ConvKernel(weights(4, 2, 3, 1), (1, 2), (1, 1, 1, 1)),
    "many outputs of a group that reads one map": TransposedKernel(weights(2, 3, 3, 5), (3, 4), groups=2),
}
"""Where libraries have computed other sums, or crashed."""


@pytest.mark.parametrize("engine", [None, "int8", "f32"])
@pytest.mark.parametrize("name", ODD)
def test_odd_geometry(name: str, engine: Engine | None) -> None:
    inputs = 1 if name.endswith("of one map") else 2
    for width in (3, 4):
        network = line(
            [ConvKernel(weights(inputs, 2, 1, 1)), ODD[name]],
            "rate",
            (2, 7, width),
            700,
            payload_min=-40,
            payload_max=40,
        )
        stimulus = random_stimulus(network)
        found = CpuBackend(engine).run(network, stimulus, Record.STATES)
        assert_equal(found, ReferenceBackend().run(network, stimulus, Record.STATES))

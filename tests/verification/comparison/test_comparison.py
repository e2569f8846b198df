"""The comparison must fail on every fault, and never pass on what it did not see."""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from snn_deploy.backend.protocol import Record, Run
from snn_deploy.backend.registry import load_backend
from snn_deploy.display.verdict_table import render_text
from snn_deploy.errors import VerificationError
from snn_deploy.network.kernels import ConvKernel, Kernel
from snn_deploy.network.network import Mode, Network
from snn_deploy.network.schedule import shuffle
from snn_deploy.testing import random_stimulus, random_unet
from snn_deploy.verification import Check, Comparison, Level, Probe, Status, Trace, compare, record
from snn_deploy.verification.comparison.schedules import compare_schedules


def run(network: Network, stimulus: npt.NDArray[np.int64] | None = None) -> Run:
    return load_backend("reference").run(
        network, random_stimulus(network) if stimulus is None else stimulus, Record.STATES
    )


@pytest.fixture(scope="module", params=["exact", "rate"])
def network(request: pytest.FixtureRequest) -> Network:
    mode: Mode = request.param
    return random_unet(mode, 1, size=8)


@pytest.fixture(scope="module")
def baseline(network: Network) -> Run:
    return run(network)


def amended(baseline: Run, **fields: Any) -> Run:
    return replace(baseline, **fields)


def with_kernel(network: Network, name: str, weight: npt.NDArray[np.int8]) -> Network:
    def swap(kernel: Kernel) -> ConvKernel:
        assert isinstance(kernel, ConvKernel)
        return replace(kernel, weight=weight)

    return replace(
        network,
        connections=tuple(
            replace(connection, kernel=swap(connection.kernel)) if connection.name == name else connection
            for connection in network.connections
        ),
    )


def weight_of(network: Network, name: str) -> npt.NDArray[np.int8]:
    kernel = next(connection.kernel for connection in network.connections if connection.name == name)
    assert isinstance(kernel, ConvKernel)
    return kernel.weight.copy()


def wrong_weight(network: Network) -> Network:
    weight = weight_of(network, "enc1/b->dec")
    weight[0, 0, 1, 1] += 40
    return with_kernel(network, "enc1/b->dec", weight)


def flipped_kernel(network: Network) -> Network:
    return with_kernel(network, "enc1/a->enc1/b", weight_of(network, "enc1/a->enc1/b")[:, :, ::-1, ::-1])


def other_comparison(network: Network) -> Network:
    """``>`` for ``>=`` (or the reverse) in the read-out, where every membrane meets its threshold."""
    populations = tuple(
        population
        if population.neuron is None or population.name != "output"
        else replace(population, neuron=replace(population.neuron, strict=not population.neuron.strict))
        for population in network.populations
    )
    return replace(network, populations=populations)


def missing_skip_delay(network: Network) -> Network:
    return replace(
        network,
        connections=tuple(
            replace(connection, delay=1) if connection.name == "enc1/b->dec" else connection
            for connection in network.connections
        ),
    )


@pytest.mark.parametrize(
    ("fault", "population"),
    [(wrong_weight, "dec"), (flipped_kernel, "enc1/b"), (other_comparison, "output"), (missing_skip_delay, "dec")],
)
def test_a_fault_is_found_in_its_population(
    network: Network, baseline: Run, fault: Callable[[Network], Network], population: str
) -> None:
    mutant = fault(network)
    stimulus = random_stimulus(network)
    found = Trace.of(run(mutant, stimulus)).unclaimed("chip")
    verdict = compare(network, [baseline, found], Level.STATE)
    if fault is missing_skip_delay and network.mode == "exact":
        assert verdict.exit_code == 0, "exact mode integrates what comes early, so this fault has no effect at all"
        return
    assert verdict.exit_code == 1
    first = verdict.first
    assert first is not None
    assert first.population == population
    assert next(row.population for row in verdict.rows if row.status is Status.DIFFERENT) == population
    assert first.expected != first.found
    assert verdict.reached is None or verdict.reached < Level.STATE


def test_the_same_run_twice_is_equal_at_every_level(network: Network, baseline: Run) -> None:
    for level in Level:
        verdict = compare(network, [baseline, baseline, baseline], level)
        assert verdict.exit_code == 0, verdict.line
        assert verdict.reached == level
        assert verdict.backends == ("reference", "reference (2)", "reference (3)")
        assert all(tuple(side.backend for side in row.sides) == verdict.backends for row in verdict.rows)
    assert verdict.coverage.populations == len(network.populations)
    assert verdict.coverage.neurons == sum(population.size for population in network.populations)
    assert verdict.coverage.steps == network.steps


def changed(arrays: Mapping[str, npt.NDArray[Any]], name: str, place: tuple[int, ...]) -> dict[str, npt.NDArray[Any]]:
    array = arrays[name].copy()
    array[place] += 1
    return {**arrays, name: array}


@pytest.mark.parametrize(
    ("field", "level", "place"),
    [
        ("counts", Level.NEURON_COUNT, (1, 2, 3, 4)),
        ("events", Level.NEURON_COUNT, (1, 2, 3, 4)),
        ("trains", Level.TRAIN, (1, 0, 2, 3, 4)),
        ("states", Level.STATE, (1, 0, 2, 3, 4)),
    ],
)
def test_one_wrong_value_is_named(
    network: Network, baseline: Run, field: str, level: Level, place: tuple[int, ...]
) -> None:
    other = amended(baseline, **{field: changed(getattr(baseline, field), "enc1/b", place)})
    verdict = compare(network, [baseline, other], level)
    assert verdict.exit_code == 1
    assert verdict.first is not None
    assert (verdict.first.population, verdict.first.image, verdict.first.neuron) == ("enc1/b", 1, (2, 3, 4))
    assert verdict.first.step == (0 if len(place) == 5 else None)
    assert verdict.first.found == verdict.first.expected + 1
    assert sum(row.status is Status.DIFFERENT for row in verdict.rows) == 1
    lower = Level(level - 1)
    below = compare(network, [baseline, other], lower)
    if field == "counts":
        assert below.exit_code == 1, "the layer's sum changes too"
    else:
        assert below.exit_code == 0
        assert below.reached == lower
    if level >= Level.TRAIN:
        assert f"{field} of enc1/b differ" in below.warnings[-1]


@pytest.mark.parametrize("field", ["trains", "states"])
def test_a_wrong_value_is_named_in_any_step(network: Network, baseline: Run, field: str) -> None:
    """The last one as well, where nothing that comes later, and no count, would show it."""
    level, check = (Level.TRAIN, Check.TRAINS) if field == "trains" else (Level.STATE, Check.STATES)
    for step in range(network.steps):
        for name in ("enc1/b", "output"):
            other = amended(baseline, **{field: changed(getattr(baseline, field), name, (1, step, 0, 1, 1))})
            comparison = Comparison(network, level, replay=True)
            comparison.add([baseline, other])
            verdict = comparison.verdict()
            assert verdict.first is not None
            assert (verdict.first.population, verdict.first.step) == (name, step)
            (side,) = (row.sides[1] for row in verdict.rows if row.population == name)
            assert side.mismatches(check) == 1
            assert side.errors is not None
            assert (side.errors.introduced, side.errors.inherited) == (1, 0)
            assert verdict.introduced is not None
            assert (verdict.introduced.population, verdict.introduced.step) == (name, step)


def test_swapped_counts_pass_only_by_layer(network: Network, baseline: Run) -> None:
    counts = baseline.counts["enc1/b"].copy()
    flat = counts[0].reshape(-1)
    flat[:] = flat[::-1].copy()
    other = replace(baseline, counts={**baseline.counts, "enc1/b": counts})
    assert compare(network, [baseline, other], Level.LAYER_COUNT).exit_code == 0
    assert compare(network, [baseline, other], Level.NEURON_COUNT).exit_code == 1


def test_a_missing_population_is_not_compared(network: Network, baseline: Run) -> None:
    for absent in ("enc2", "output"):
        partial = amended(
            baseline,
            **{
                part: {name: array for name, array in getattr(baseline, part).items() if name != absent}
                for part in ("counts", "events", "trains", "states")
            },
        )
        for pair in ([baseline, partial], [partial, baseline]):
            verdict = compare(network, pair)
            assert verdict.exit_code == 2
            assert f"{absent}: not recorded by" in verdict.line
    assert compare(network, [baseline, partial], populations=["input", "dec"]).exit_code == 0


@pytest.mark.parametrize(("field", "level"), [("trains", Level.TRAIN), ("states", Level.STATE)])
def test_missing_arrays_are_not_compared(network: Network, baseline: Run, field: str, level: Level) -> None:
    for arrays in (None, {name: array for name, array in getattr(baseline, field).items() if name != "down"}):
        other = amended(baseline, **{field: arrays})
        verdict = compare(network, [baseline, other], level)
        assert verdict.exit_code == 2
        assert verdict.reached == level - 1
        assert f"no comparable {field}" in verdict.line
        assert compare(network, [baseline, other], Level(level - 1)).exit_code == 0


def test_renamed_and_surplus_populations_are_refused(network: Network, baseline: Run) -> None:
    renamed = {("enc_2" if name == "enc2" else name): array for name, array in baseline.counts.items()}
    surplus = {**baseline.counts, "enc3": baseline.counts["enc2"]}
    for counts in (renamed, surplus):
        with pytest.raises(VerificationError, match=r"enc_?[23] .*in network|enc2 but no counts"):
            compare(network, [baseline, replace(baseline, counts=counts)])
    with pytest.raises(VerificationError, match=r"enc9 is not in network .*; it has input, .*output$"):
        compare(network, [baseline, baseline], populations=["enc9"])
    with pytest.raises(VerificationError, match=r"nothing would be compared$"):
        compare(network, [baseline, baseline], populations=[])


def test_other_shapes_and_types_are_refused(network: Network, baseline: Run) -> None:
    def counts(array: npt.NDArray[Any]) -> Run:
        return replace(baseline, counts={**baseline.counts, "dec": array})

    right = baseline.counts["dec"]
    with pytest.raises(VerificationError, match=r"dec: counts have shape \(2, 192\), not \(2, 256\)$"):
        compare(network, [baseline, counts(right[:, 1:])])
    with pytest.raises(VerificationError, match=r"different numbers of images"):
        compare(network, [baseline, counts(right[:1])])
    with pytest.raises(VerificationError, match=r"counts are float64 with 2 axes; integers with 2 axes are compared$"):
        compare(network, [baseline, counts(right.astype(float))])
    with pytest.raises(VerificationError, match=r"counts are uint64 with 2 axes"):
        compare(network, [baseline, counts(right.astype(np.uint64))])
    with pytest.raises(VerificationError, match=r"not 1 axes and \(C, H, W\)$"):
        compare(network, [baseline, counts(right[0])])


def test_other_networks_and_stimuli_are_refused(network: Network, baseline: Run) -> None:
    with pytest.raises(VerificationError, match=r"run the same artifact$"):
        compare(network, [baseline, run(wrong_weight(network))])
    with pytest.raises(VerificationError, match=r"run all of them on the same images$"):
        compare(network, [baseline, run(network, random_stimulus(network, 9))])
    with pytest.raises(VerificationError, match=r"1 run\(s\); a comparison needs at least 2"):
        compare(network, [baseline])
    comparison = Comparison(network)
    comparison.add([baseline, baseline])
    with pytest.raises(VerificationError, match=r"this batch holds .* those before it"):
        comparison.add([baseline, Trace.of(baseline, "cpu")])


def test_unclaimed_traces_carry_a_warning(network: Network, baseline: Run) -> None:
    verdict = compare(network, [baseline, Trace.of(baseline).unclaimed("chip")])
    assert verdict.exit_code == 0
    assert "does not say which network it recorded; nothing vouches" in verdict.warnings[0]


def test_counts_agree_under_shuffled_delays() -> None:
    network = random_unet("exact", 3, size=8)
    stimulus = random_stimulus(network)
    aligned = run(network, stimulus)
    others = [shuffle(network, seed) for seed in range(2)]
    comparison = Comparison(network, schedules=others)
    comparison.add(
        [aligned, *(Trace.of(run(other, stimulus), f"shuffled {seed}") for seed, other in enumerate(others))]
    )
    assert comparison.verdict().exit_code == 0, comparison.verdict().line
    timed = Comparison(network, Level.TRAIN, schedules=others)
    timed.add([aligned, run(others[0], stimulus)])
    assert timed.verdict().exit_code == 2
    assert timed.verdict().reached == Level.NEURON_COUNT
    with pytest.raises(VerificationError, match=r"differs from .* in more than its schedule$"):
        Comparison(network, schedules=[wrong_weight(network)])


def test_the_verifier_shuffles_by_itself() -> None:
    network = random_unet("exact", 3, size=8)
    verdict = compare_schedules(network, random_stimulus(network), load_backend("reference"))
    assert verdict.exit_code == 0
    assert verdict.backends == ("reference, own schedule", "shuffled by 0", "shuffled by 1", "shuffled by 2")
    with pytest.raises(VerificationError, match=r"only exact mode is shuffled$"):
        compare_schedules(random_unet("rate", 3, size=8), random_stimulus(network), load_backend("reference"))


def test_rate_mode_refuses_other_schedules() -> None:
    network = random_unet("rate", 3, size=8)
    with pytest.raises(VerificationError, match=r"only runs of one schedule are compared$"):
        Comparison(network, schedules=[missing_skip_delay(network)])
    with pytest.raises(VerificationError, match=r"run the same artifact$"):
        compare(network, [run(network), run(missing_skip_delay(network))])


def test_silence_is_named_and_never_a_pass(network: Network, baseline: Run) -> None:
    nothing = np.zeros((2, *network.input.shape), np.int64)
    quiet = replace(
        network,
        populations=tuple(
            replace(population, bias=np.zeros_like(population.bias)) for population in network.populations
        ),
    )
    silent = run(quiet, nothing)
    for level in (Level.OUTPUT_COUNT, Level.NEURON_COUNT, Level.TRAIN):
        verdict = compare(quiet, [silent, silent], level)
        assert verdict.exit_code == 2
        assert verdict.vacuous
        assert "every compared value is 0" in verdict.line
    assert verdict.silent == tuple(population.name for population in quiet.populations)
    counts = {**baseline.counts, "enc2": np.zeros_like(baseline.counts["enc2"])}
    one = replace(baseline, counts=counts, events={**baseline.events, "enc2": counts["enc2"]}, trains=None)
    verdict = compare(network, [one, one])
    assert verdict.exit_code == 0
    assert verdict.silent == ("enc2",)
    assert verdict.warnings == ("silent in reference, so their equality proves nothing: enc2",)


def test_partial_probes_count_only_with_the_share_asked(network: Network, baseline: Run) -> None:
    neurons = np.arange(0, 4 * 64, 4)
    whole = Trace.of(baseline)
    probes = {**whole.probes, "dec": whole.probes["dec"].at(neurons)}
    partial = replace(whole, name="chip", probes=probes)
    verdict = compare(network, [baseline, partial], Level.TRAIN)
    assert verdict.exit_code == 2
    assert "64 of 256 neurons probed, 100% asked" in verdict.line
    comparison = Comparison(network, Level.TRAIN, share=0.25)
    comparison.add([baseline, partial])
    assert comparison.verdict().exit_code == 0
    wrong = np.array(probes["dec"].trains, np.int32)
    wrong[1, 0, 5] += 3
    probes["dec"] = Probe(neurons=neurons, trains=wrong)
    verdict = compare(network, [baseline, replace(partial, probes=probes)], Level.TRAIN)
    assert verdict.exit_code == 1
    assert verdict.first is not None
    assert verdict.first.neuron == (0, 2, 4)
    probes["dec"] = Probe(neurons=np.array([], np.int64), counts=np.zeros((2, 0), np.int64))
    assert compare(network, [baseline, replace(partial, probes=probes)]).exit_code == 2


def test_batches_add_up(network: Network) -> None:
    stimulus = random_stimulus(network, 4, batch=3)
    comparison = Comparison(network, Level.TRAIN)
    for image in range(3):
        right = run(network, stimulus[image : image + 1])
        wrong = replace(right, counts=changed(right.counts, "dec", (0, 0, 0, 0))) if image == 2 else right
        comparison.add([right, wrong])
        assert comparison.verdict().exit_code == int(image == 2)
    verdict = comparison.verdict()
    assert verdict.coverage.images == 3
    assert verdict.first is not None
    assert verdict.first.image == 2
    together = run(network, stimulus)
    whole = compare(network, [together, together], Level.TRAIN)
    assert [row.sides[0].counts for row in verdict.rows] == [row.sides[0].counts for row in whole.rows]
    assert verdict.coverage.values == whole.coverage.values


def test_a_difference_is_not_forgotten_when_a_later_batch_lacks_the_array(network: Network, baseline: Run) -> None:
    wrong = amended(baseline, trains=changed(baseline.trains or {}, "dec", (0, 0, 0, 0, 0)))
    comparison = Comparison(network, Level.TRAIN)
    comparison.add([baseline, wrong])
    comparison.add([baseline, amended(baseline, trains=None)])
    verdict = comparison.verdict()
    assert verdict.exit_code == 1
    assert verdict.rows[8].sides[1].mismatches(Check.TRAINS) == 1
    assert verdict.rows[8].sides[1].missing == ("no comparable trains in reference (2)",)


def test_memory_does_not_grow_with_images() -> None:
    network = random_unet("exact", 1, size=8)
    batch = run(network, random_stimulus(network, batch=1))
    comparison = Comparison(network, Level.STATE)
    comparison.add([batch, batch])
    tracemalloc.start()
    try:
        comparison.add([batch, batch])
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(15):
            comparison.add([batch, batch])
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert comparison.images == 17
    assert after - before < 4096, "fifteen batches must leave no array behind"


def test_text_and_record_say_the_same(network: Network, baseline: Run) -> None:
    other = replace(baseline, counts=changed(baseline.counts, "dec", (0, 0, 0, 0)))
    verdict = compare(network, [baseline, Trace.of(other, "cpu")])
    lines = render_text(verdict).splitlines()
    assert lines[-1] == verdict.line
    assert verdict.line.endswith("| exit 1")
    assert all(any(population.name in line for line in lines) for population in network.populations)
    values = json.loads(json.dumps(record(verdict)))
    assert values["exit_code"] == 1
    assert values["populations"][8]["sides"][1]["differing"][Check.COUNTS.value] == 1
    assert values["populations"][8]["sides"][1]["first"]["neuron"] == [0, 0, 0]


def test_every_population_but_the_input_fires(network: Network, baseline: Run) -> None:
    rows = compare(network, [baseline, amended(baseline, backend="other")], Level.STATE).rows
    assert [row.fires for row in rows] == [False] + [True] * (len(network.populations) - 1)


def test_nothing_compared_covers_nothing(network: Network) -> None:
    verdict = Comparison(network, Level.TRAIN).verdict()
    seen = verdict.coverage
    assert (seen.populations, seen.neurons, seen.steps, seen.images, seen.values) == (0, 0, 0, 0, 0)
    assert (seen.populations_expected, seen.steps_expected) == (len(network.populations), network.steps)
    assert (verdict.reached, verdict.exit_code) == (None, 2)

"""Steps, latency, throughput and joules against a sum that walks over steps, cores and neurons one by one."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.activity.counting import assume_activity, count_activity
from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Record, Run
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.conversion.convert import convert
from snn_deploy.conversion.options import preset
from snn_deploy.cost import loads
from snn_deploy.cost.energy import estimate
from snn_deploy.cost.estimates import EnergyEstimate
from snn_deploy.cost.timeline import Step, Timeline
from snn_deploy.data import images
from snn_deploy.mapping.fit import Mapping, map_network
from snn_deploy.mapping.traffic import measure_traffic
from snn_deploy.network import dynamics
from snn_deploy.network.kernels import Kernel, SpatialKernel
from snn_deploy.network.network import Network
from snn_deploy.targets.load import Target, load_target
from snn_deploy.targets.quantity import Quantity
from snn_deploy.testing import random_stimulus, random_unet


def ones(kernel: Kernel) -> Kernel:
    """The same kernel with 1 for every weight that is not 0: it counts synaptic operations."""
    if isinstance(kernel, SpatialKernel):
        return replace(kernel, data=(kernel.data != 0).astype(np.int8))
    return replace(kernel, weight=(kernel.weight != 0).astype(np.int8))


@dataclass
class Walk:
    """Seconds of every step, and the joules of operations and updates."""

    seconds: list[float]
    joules: float

    def latency(self, duration: int) -> float:
        return sum(self.seconds[step % len(self.seconds)] for step in range(duration))


def walk(network: Network, run: Run, target: Target, mapping: Mapping, period: int, end: str = "value") -> Walk:
    """Loops over steps and cores; without trains each event counts as a T-th in each of the T steps of the window."""
    price = {key: getattr(figure.quantity, end) for key, figure in target.figures.items()}
    cores = [_tiles(mapped.layer.shape, mapped.tile) for mapped in mapping.layers]
    first = dict(zip([mapped.layer.name for mapped in mapping.layers], np.cumsum([0, *map(len, cores)]), strict=False))
    tiles = dict(zip(first, cores, strict=True))
    work = [[0.0] * mapping.cores for _ in range(period)]
    joules = 0.0
    for connection in network.connections:
        source = network.population(connection.source)
        window = network.input_steps if source.neuron is None else network.steps
        for index in range(window):
            events, parts = run.events[source.name], window
            if run.trains is not None:
                events, parts = (run.trains[source.name][:, index] != 0).astype(np.int64), 1
            done = dynamics.apply(ones(connection.kernel), events)[0] / parts
            step = (source.start + index + connection.delay) % period
            for number, tile in enumerate(tiles[connection.target]):
                work[step][first[connection.target] + number] += float(done[tile].sum())
    neurons = [
        int(np.zeros(mapped.layer.shape)[tile].size) for mapped in mapping.layers for tile in tiles[mapped.layer.name]
    ]
    barrier = price["time.barrier_chip_ns" if mapping.chips == 1 else "time.barrier_chips_ns"]
    seconds = []
    for step in range(period):
        slowest = 0.0
        for core in range(mapping.cores):
            busy = work[step][core] * price["time.synapse_ns"] + neurons[core] * price["time.neuron_ns"]
            slowest = max(slowest, busy)
            joules += work[step][core] * price["energy.synapse_pj"] + neurons[core] * price["energy.neuron_inactive_pj"]
        seconds.append(max(price["time.step_floor_ns"], slowest + barrier))
    for population in network.populations[1:]:
        fired = int(run.events[population.name].sum())
        joules += fired * (price["energy.neuron_active_pj"] - price["energy.neuron_inactive_pj"])
    return Walk(seconds, joules)


def _tiles(shape: tuple[int, int, int], tile: object) -> list[tuple[slice, slice, slice]]:
    sides = tile.channels, tile.rows, tile.columns  # type: ignore[attr-defined]
    return [
        (slice(c, c + sides[0]), slice(y, y + sides[1]), slice(x, x + sides[2]))
        for c in range(0, shape[0], sides[0])
        for y in range(0, shape[1], sides[1])
        for x in range(0, shape[2], sides[2])
    ]


def check(found: EnergyEstimate, network: Network, run: Run, target: Target, *, streamed: bool) -> None:
    """Every end of every band equals the walk's."""
    mapping = map_network(network, target)
    moved = measure_traffic(network, count_activity(network, run), mapping, target)
    assert found.timing is not None
    assert found.static_j is not None
    steps = found.timing.timeline.steps
    for end in ("value", "low", "high"):
        walked = walk(network, run, target, mapping, network.steps if streamed else network.duration, end)
        assert [getattr(step.duration_s, end) for step in steps] == pytest.approx(walked.seconds, rel=1e-9)
        latency_s = walked.latency(network.duration)
        assert getattr(found.timing.latency_s, end) == pytest.approx(latency_s, rel=1e-9)
        assert getattr(found.timing.interval_s, end) == pytest.approx(sum(walked.seconds), rel=1e-9)
        assert getattr(found.timing.step_s, end) == pytest.approx(np.mean(walked.seconds), rel=1e-9)
        watts = getattr(target.quantity("power.static_chip_w"), end) * mapping.chips
        static_j = watts * sum(walked.seconds)
        assert getattr(found.static_j, end) == pytest.approx(static_j, rel=1e-9)
        price = {key: getattr(target.quantity(f"energy.{key}_pj"), end) for key in ("message", "hop_ew", "hop_ns")}
        sent_j = sum(
            messages.sent * price["message"] + messages.hops_ew * price["hop_ew"] + messages.hops_ns * price["hop_ns"]
            for messages in moved.messages
        )
        dynamic_j = walked.joules + sent_j
        assert getattr(found.dynamic_j, end) == pytest.approx(dynamic_j, rel=1e-9)
        assert getattr(found.total_j, end) == pytest.approx(dynamic_j + static_j, rel=1e-9)
        assert sum(getattr(step.dynamic_j, end) for step in steps) == pytest.approx(dynamic_j, rel=1e-9)


def small(folder: Path, name: str) -> Target:
    """A chip with 200 neurons a core and 10 cores, so that a small network takes many cores and several chips."""
    path = folder / "small.toml"
    path.write_text(
        f'name = "small"\ntitle = "small"\ninherit = "{name}"\n[sources.test]\ntitle = "small"\ndate = "2026-01"\n'
        '[limits]\nneurons_per_core = {value = 200, source = "test", basis = "specified"}\n'
        'cores_per_chip = {value = 10, source = "test", basis = "specified"}\n'
    )
    return load_target(path)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("network", "record", "basis"),
    [
        (random_unet("exact", 4), Record.COUNTS, "each layer works in one step"),
        (
            random_unet("exact", 2, levels=15, payload=4),
            Record.TRAINS,
            "operations are placed in the step in which they were recorded",
        ),
        (
            random_unet("rate", 4, steps=4),
            Record.TRAINS,
            "operations are placed in the step in which they were recorded",
        ),
        (
            random_unet("rate", 4, steps=4),
            Record.COUNTS,
            "operations are spread evenly over each layer's window of 4 steps",
        ),
    ],
    ids=["exact", "exact, several steps", "rate, recorded", "rate, spread"],
)
def test_a_walk_over_steps_and_cores(
    network: Network, record: Record, basis: str, streamed: bool, tmp_path: Path
) -> None:
    target = small(tmp_path, "loihi1")
    run = load_backend("reference").run(network, random_stimulus(network, 4, batch=1), record)
    found = estimate(network, count_activity(network, run), target, streamed=streamed)
    check(found, network, run, target, streamed=streamed)
    assert found.timing is not None
    assert (found.timing.timeline.basis, found.timing.timeline.is_streamed) == (basis, streamed)
    assert basis in " ".join(found.notes)


@pytest.fixture(scope="module")
def denoiser(root: Path) -> tuple[Network, Run]:
    """The shipped denoiser in exact mode on the middle 64x64 pixels of a noisy photograph."""
    noisy = images.add_noise(images.center_crop(images.load_photograph("camera", 1), 64, 64), 25.0, 0)
    network = convert(root / "models/denoiser_s25.onnx", [noisy], preset("exact"), (64, 64)).conversion.network
    return network, load_backend("cpu").run(network, quantize_images(network, noisy))


def test_the_denoiser_one_image_at_a_time(denoiser: tuple[Network, Run]) -> None:
    """In exact mode a layer works in one step of 16: far from 16 steps of the busiest core of all."""
    network, run = denoiser
    target = load_target("loihi2")
    single, streamed = (
        estimate(network, count_activity(network, run), target, streamed=flag) for flag in (False, True)
    )
    check(single, network, run, target, streamed=False)
    assert single.timing is not None
    assert streamed.timing is not None
    assert network.duration == len(single.timing.timeline.steps) == 16
    assert single.timing.latency_s.value < 0.5 * streamed.timing.latency_s.value
    assert streamed.timing.step_s.value == pytest.approx(single.timing.longest_step.duration_s.value, rel=1e-9)
    assert single.total_j.value < streamed.timing.latency_s.value * single.timing.static_w.value


def test_the_busiest_core_of_each_step_is_named(denoiser: tuple[Network, Run]) -> None:
    """Step k of exact mode belongs to the populations that start in it; nothing works in step 0, when the host sends."""
    network, run = denoiser
    timing = estimate(network, count_activity(network, run), load_target("loihi2")).timing
    assert timing is not None
    steps = timing.timeline.steps
    assert (steps[0].busiest, steps[0].core, steps[0].operations) == (None, None, 0.0)
    for index, step in enumerate(steps[1:], start=1):
        assert step.busiest is not None
        assert network.population(step.busiest).start == index
        assert step.core is not None
    sent = {population.start: int(run.events[population.name].sum()) for population in network.populations}
    assert all((step.messages > 0) == bool(sent.get(index)) for index, step in enumerate(steps[:-1]))


def priced(network: Network, stimulus: Int64, record: Record, target: str) -> EnergyEstimate:
    """The estimate of ``stimulus``, with the reference recording this much."""
    run = load_backend("reference").run(network, stimulus, record)
    return estimate(network, count_activity(network, run), load_target(target))


def test_without_trains_the_difference_is_small() -> None:
    """Spreading evenly moves the latency of a rate network by little: its busiest core is the same in every step."""
    network = random_unet("rate", 4, steps=8)
    stimulus = random_stimulus(network, 4, batch=1)
    recorded, spread = (priced(network, stimulus, record, "loihi1") for record in (Record.TRAINS, Record.COUNTS))
    assert recorded.timing is not None
    assert spread.timing is not None
    assert recorded.dynamic_j.value == pytest.approx(spread.dynamic_j.value, rel=1e-9)
    assert recorded.timing.latency_s.value == pytest.approx(spread.timing.latency_s.value, rel=0.05)
    assert recorded.timing.latency_s.value != spread.timing.latency_s.value


def test_trains_are_recorded_where_they_tell_something_and_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    rate, exact = random_unet("rate", 1), random_unet("exact", 1)
    assert loads.choose_record(exact, 1) is Record.COUNTS
    assert loads.choose_record(rate, 1) is Record.TRAINS
    size = 4 * rate.steps * sum(population.size for population in rate.populations)
    monkeypatch.setattr(loads, "TRAINS_LIMIT", 2 * size)
    assert loads.choose_record(rate, 2) is Record.TRAINS
    assert loads.choose_record(rate, 3) is Record.COUNTS


def test_several_images_are_their_mean() -> None:
    """Events of each step are means over the images, as everything else."""
    network = random_unet("rate", 2, steps=4)
    stimulus = random_stimulus(network, 2, batch=1)
    one, twice = (
        priced(network, shown, Record.TRAINS, "loihi2") for shown in (stimulus, np.concatenate([stimulus, stimulus]))
    )
    assert one.record() | {"activity": "", "basis": []} == twice.record() | {"activity": "", "basis": []}


def test_a_silent_network_waits_for_updates_and_barriers() -> None:
    network = random_unet("rate", 1)
    found = estimate(network, assume_activity(network, 0.0), load_target("loihi2"))
    assert found.timing is not None
    assert {step.busiest for step in found.timing.timeline.steps} == {None}
    rows = {what: how for what, how, _ in found.rows()}
    assert rows["longest step"] == "no synaptic operations"
    assert json.loads(json.dumps(found.record()))["timeline"]["steps"][0]["busiest"] is None


def test_a_timeline_has_the_steps_of_one_period() -> None:
    step = Step(Quantity.exact(1.0), None, None, 0.0, 0.0, Quantity.exact(0.0))
    longer = replace(step, duration_s=Quantity.exact(2.0))
    streamed = Timeline((step, longer), 5, "")
    assert (streamed.interval_s.value, streamed.latency_s.value, streamed.longest) == (3.0, 7.0, 1)
    assert streamed.is_streamed
    for steps in ((), (step,) * 6):
        with pytest.raises(ValueError, match=r"steps from one image to the next; 1 to 5 are possible$"):
            Timeline(steps, 5, "")

"""Streams are compared up to the first frame that differs; the autopsy names what streams get wrong."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

import numpy as np
import pytest

from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Progress, Record, Run
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stream import FrameStream, StreamState, open_stream
from snn_deploy.errors import BackendUnavailableError, StimulusError, VerificationError
from snn_deploy.network.kernels import ConvKernel
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.schedule import align
from snn_deploy.network.streaming import prepare_stream
from snn_deploy.testing import draw_frames, random_unet
from snn_deploy.verification import Level, Status
from snn_deploy.verification.comparison.replay import Site, SynapticCurrents, collect_sent, respond
from snn_deploy.verification.comparison.verdict_record import find_contradictions, record, restore
from snn_deploy.verification.diagnosis.faults import Fault
from snn_deploy.verification.diagnosis.stream_faults import STREAM_FAULTS, explain_input
from snn_deploy.verification.stream_session import verify_stream
from snn_deploy.verification.traces.trace import Trace

REFERENCE = load_backend("reference")


def signed(side: int = 3) -> Network:
    """Neurons of one pixel each, which count from -5 to 5: a range that no payload of 5 crosses at once."""
    zeros, unit, theta = np.zeros((1, 1, 1), np.int64), np.ones(1), np.full(1, 16)
    source = Population("input", (1, side, side), None, zeros, unit, input_min=-10, input_max=10)
    neuron = MultiThreshold(theta, theta // 2, -5, 5, -5, 5)
    kernel = ConvKernel(np.full((1, 1, 1, 1), 8, np.int8))
    edge, output = Connection("input->dec", "input", "dec", kernel), Output("output", "dec")
    populations = (source, Population("dec", (1, side, side), neuron, zeros, unit))
    return prepare_stream(align(Network("signed", "exact", 1, populations, (edge,), (output,))))


NETWORK = prepare_stream(random_unet("exact", 3, size=8, width=2, levels=15))
FRAMES = draw_frames(NETWORK, Random(2), 3, batch=1)

Tamper = Callable[[Run, StreamState], Run]


@dataclass
class Tampered:
    """The reference, whose runs after the first frame are tampered with."""

    tamper: Tamper
    name: str = "chip"

    def run(
        self, network: Network, stimulus: Int64, record: Record = Record.COUNTS, progress: Progress | None = None
    ) -> Run:
        return REFERENCE.run(network, stimulus, record, progress)

    def open_stream(self, network: Network, state: StreamState) -> FrameStream:
        return TamperedStream(open_stream(REFERENCE, network, state), self.tamper)


@dataclass
class TamperedStream:
    stream: FrameStream
    tamper: Tamper

    def push(self, frame: Int64, record: Record = Record.COUNTS) -> Run:
        before = self.stream.state()
        run = replace(self.stream.push(frame, record), backend="chip")
        return self.tamper(run, before) if before.frames else run

    def state(self) -> StreamState:
        return self.stream.state()


def making(fault: Fault, network: Network, name: str) -> Tampered:
    """A backend whose population ``name`` makes this fault in every frame after the first."""

    def tamper(run: Run, before: StreamState) -> Run:
        site = fault.change(Site.of(network, name, before=before))
        assert site is not None
        sources = {connection.source for connection in network.incoming(name)}
        sent = collect_sent(network, Trace.of(run), sources)
        assert sent is not None
        response = respond(site, SynapticCurrents(sent), site.population.start, network.steps)
        states = None if run.states is None else {**run.states, name: response.states}
        return replace(run, trains={**(run.trains or {}), name: response.trains}, states=states)

    return Tampered(tamper)


@pytest.mark.parametrize("fault", STREAM_FAULTS, ids=lambda fault: fault.name)
def test_every_fault_of_streams_is_named(fault: Fault) -> None:
    network = signed() if "swing" in fault.name else NETWORK
    low, high = network.input.payload_range
    shape = (1, *network.input.shape)
    frames = [np.full(shape, low), np.full(shape, high)] if "swing" in fault.name else FRAMES
    verdict = verify_stream(network, frames, [REFERENCE, making(fault, network, "dec")], Level.STATE)
    first = verdict.introduced
    assert (verdict.status, verdict.exit_code) == (Status.DIFFERENT, 1)
    assert first is not None
    assert (first.population, first.image, first.unit) == ("dec", 1, "frame")
    assert f"dec, frame 1, step {first.step}, neuron {first.neuron}: " in verdict.story
    assert f"'{fault.name}' ({fault.meaning})" in verdict.cause
    assert verdict.coverage.images == 2  # frames after the first that differs are not run
    assert find_contradictions(record(verdict)) == []


def test_faults_of_streams_need_a_frame_before() -> None:
    still = Site.of(NETWORK, "dec")
    assert [fault.name for fault in STREAM_FAULTS if fault.change(still) is not None] == []


@pytest.mark.parametrize(
    ("sends", "said"),
    [
        (lambda now, before, earlier: now, "the frame itself, not its difference to the one before (no difference taken)"),
        (lambda now, before, earlier: now - earlier, "the difference to the frame two before (difference to the wrong frame)"),
        (lambda now, before, earlier: before - earlier, "the difference of the frame before, one frame late"),
        (lambda now, before, earlier: before - now, "the negative difference (frames subtracted the wrong way round)"),
        (lambda now, before, earlier: 0 * now + 1, "no known difference of frames: 64 of 64 values are wrong"),
    ],
)  # fmt: skip
def test_an_input_that_sends_the_wrong_difference_is_named(
    sends: Callable[[Int64, Int64, Int64], Int64], said: str
) -> None:
    frames = [np.full((1, 1, 8, 8), value) for value in (10, 40, 100)]

    def tamper(run: Run, before: StreamState) -> Run:
        if before.frames < 2:
            return run
        sent = sends(frames[2], frames[1], frames[0])
        return replace(run, trains={**(run.trains or {}), "input": sent[:, None].astype(np.int32)})

    verdict = verify_stream(NETWORK, frames, [REFERENCE, Tampered(tamper)])
    assert verdict.line.startswith("DIFFERENT at level train: ")
    assert "first input, frame 2, step 0, neuron (0, 0, 0): payload" in verdict.line
    assert verdict.cause == f"chip: input sends {said}"


def test_the_right_difference_is_no_mistake() -> None:
    one, two = np.full((1, 1, 2, 2), 3), np.full((1, 1, 2, 2), 5)
    assert explain_input("in", one, [one]) == ""
    assert explain_input("in", two - one, [one, two]) == ""


def test_equal_streams_and_what_cannot_be_compared() -> None:
    cpu = load_backend("cpu")
    seen: list[tuple[int, int]] = []
    verdict = verify_stream(
        NETWORK, FRAMES, [REFERENCE, cpu], Level.STATE, total=3, progress=lambda done, of: seen.append((done, of))
    )
    assert (verdict.exit_code, verdict.unit, verdict.coverage.images) == (0, "frame", 3)
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert "3 frame(s)" in verdict.line
    stream = open_stream(REFERENCE, NETWORK)
    stream.push(FRAMES[0])
    assert verify_stream(NETWORK, FRAMES[1:], [REFERENCE, cpu], Level.STATE, state=stream.state()).exit_code == 0
    with pytest.raises(VerificationError, match="name a second one, as in reference,cpu$"):
        verify_stream(NETWORK, FRAMES, [cpu])
    with pytest.raises(StimulusError, match="^the stream contains no frames$"):
        verify_stream(NETWORK, [], [REFERENCE, cpu])
    with pytest.raises(BackendUnavailableError, match="does not run streams"):
        verify_stream(NETWORK, FRAMES, [REFERENCE, load_backend("onnx")])


def test_streams_side_by_side_are_counted_in_frames() -> None:
    frames = draw_frames(NETWORK, Random(3), 3, batch=2)
    verdict = verify_stream(NETWORK, frames, [REFERENCE, load_backend("cpu")], Level.STATE)
    assert (verdict.exit_code, verdict.coverage.images, verdict.streams) == (0, 3, 2)
    assert "3 frame(s) of 2 streams, " in verdict.line

    def tamper(run: Run, before: StreamState) -> Run:
        trains = dict(run.trains or {})
        trains["dec"] = trains["dec"].copy()
        trains["dec"][1, 0, 0, 0, 0] += 1
        return replace(run, trains=trains)

    verdict = verify_stream(NETWORK, frames, [REFERENCE, Tampered(tamper)], Level.TRAIN)
    first, introduced = verdict.first, verdict.introduced
    assert first is not None
    assert introduced is not None
    assert (
        (first.image, first.stream, first.unit)
        == (introduced.image, introduced.stream, introduced.unit)
        == (1, 1, "frame")
    )
    assert "dec, frame 1 of stream 1, step " in first.text
    assert verdict.coverage.images == 2
    said = record(verdict)
    assert restore(said) == verdict
    assert (find_contradictions(said), said["streams"]) == ([], 2)


def test_the_autopsy_of_maps_of_one_pixel() -> None:
    """Nothing of them is left where a row of padding moves from the bottom, where there is none, to the top."""
    network, fault = signed(1), STREAM_FAULTS[-1]
    frames = [np.full((1, 1, 1, 1), value) for value in (-10, 10)]
    verdict = verify_stream(network, frames, [REFERENCE, making(fault, network, "dec")], Level.STATE)
    assert fault.name in verdict.cause

"""The one route to a verdict: Python, the command line and folders compare the same and find out the same."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import snn_deploy as sd
from snn_deploy.arrays import Float32, Int64
from snn_deploy.backend.protocol import Progress, Record, Run
from snn_deploy.backend.registry import load_backend
from snn_deploy.errors import BackendUnavailableError, VerificationError
from snn_deploy.network import artifact
from snn_deploy.network.network import Network
from snn_deploy.testing import random_stimulus, random_unet
from snn_deploy.verification import Level, Probe, Row, Session, Side, Stimuli, Trace, Verdict, write_trace
from snn_deploy.verification.comparison.replay import Site, forward, repeat
from snn_deploy.verification.diagnosis.faults import find_fault
from snn_deploy.verification.many import combine_exit_codes, verify_images
from snn_deploy.verification.stimuli import FolderImages
from snn_deploy.verification.traces.recordings import Readout

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "verify-a-recording.md"


@pytest.fixture(scope="module")
def network() -> Network:
    return random_unet("rate", 1, size=8)


def recorded(network: Network, stimulus: Int64, name: str, mistake: str) -> Trace:
    """What a chip would record whose population ``name`` makes ``mistake``."""
    site = find_fault(mistake).change(Site.of(network, name))
    assert site is not None
    return forward(network, repeat(network, stimulus), {name: site}, name="chip").trace


def images(network: Network, seed: int = 0) -> Float32:
    """Real images whose payloads are :func:`random_stimulus`'s."""
    return (random_stimulus(network, seed) * network.input.unit[:, None, None]).astype(np.float32)


def test_a_recorded_trace_is_verified_in_the_five_lines_of_the_page(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = re.findall(r"<!-- tested -->\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (lines,) = [block for block in blocks if "sd.verify" in block]
    assert len([line for line in lines.splitlines() if line]) == 5
    monkeypatch.chdir(tmp_path)
    artifact.save(network, Path("net.snn"))
    np.save("photo.npy", images(network))
    write_trace(Path("chip.npz"), [recorded(network, random_stimulus(network), "enc2", "hard reset")])
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(lines, {})
    line, story, cause = printed.getvalue().splitlines()
    assert line.startswith("DIFFERENT at level state: ")
    assert story.startswith("chip introduces its first error in enc2, image 0, step ")
    assert cause.startswith("enc2: ")
    assert cause.endswith(
        "fully explained by 'hard reset' (a spike sets the membrane to 0 instead of subtracting the threshold)"
    )


def test_files_traces_and_the_command_line_agree(network: Network, tmp_path: Path) -> None:
    net, photo = sd.SpikingNetwork(network), images(network)
    chip = recorded(network, random_stimulus(network), "dec", "threshold off")
    write_trace(tmp_path / "chip.npz", [chip])
    verdicts = [
        sd.verify(net, photo, level="state", traces=[trace])
        for trace in (chip, tmp_path / "chip.npz", str(tmp_path / "chip.npz"))
    ]
    assert verdicts[0] == verdicts[1] == verdicts[2]
    assert verdicts[0].cause.endswith(")")
    assert verdicts[0].backends == ("reference", "cpu", "chip")
    alone = sd.verify(net, photo, ["reference"], "state", traces=[chip])
    assert (alone.backends, alone.cause) == (("reference", "chip"), verdicts[0].cause)
    equal = sd.verify(net, photo, ["reference"], traces=[recorded_right(network)])
    assert (equal.exit_code, equal.story, equal.cause) == (0, "", "")
    below = sd.verify(net, photo, ["reference"], "neuron-count", traces=[chip])
    assert (below.exit_code, below.cause) == (1, ""), "errors are attributed from trains on"


def recorded_right(network: Network) -> Trace:
    return forward(network, repeat(network, random_stimulus(network)), name="chip").trace


def test_warnings_of_a_recording_are_in_the_verdict(network: Network, tmp_path: Path) -> None:
    """A population that comes late for its schedule is named to whoever reads the verdict, in Python as well."""
    right, probes = recorded_right(network), {}
    for population in network.populations:
        probe = right.probes[population.name]
        lead = 2 + population.start + (population.name == "enc2")
        widths = ((0, 0), (lead, 6 + network.duration - lead - network.steps), (0, 0))
        probes[population.name] = Probe(trains=np.pad(np.asarray(probe.trains), widths))
    late = replace(right, probes=probes, time="recording")
    verdict = sd.verify(sd.SpikingNetwork(network), images(network), ["reference"], "neuron-count", traces=[late])
    assert "chip: chip: enc2 comes 1 step(s) late for its schedule" in verdict.warnings
    write_trace(tmp_path / "late.npz", [late])
    with pytest.raises(VerificationError, match=r"holds 2 image\(s\), the images 1; give those recorded$"):
        sd.verify(sd.SpikingNetwork(network), images(network)[:1], traces=[tmp_path / "late.npz"])


def test_the_cause_is_that_of_the_error_which_the_story_tells(network: Network) -> None:
    """A later batch may hold an error of an earlier population: then story and cause are both about that one."""
    stimuli = [random_stimulus(network, seed) for seed in range(2)]
    traces = [recorded(network, stimuli[0], "dec", "hard reset"), recorded(network, stimuli[1], "enc2", "hard reset")]

    def verdict(order: tuple[int, int], tmp_path: Path) -> Verdict:
        write_trace(tmp_path, [traces[index] for index in order])
        payloads = np.concatenate([stimuli[index] for index in order])
        return Session(("reference",), Level.STATE, (tmp_path,)).verify(Stimuli.of_payloads(network, payloads)).verdict

    for order in ((0, 1), (1, 0)):
        found = verdict(order, Path("chip.npz").resolve())
        assert found.introduced is not None
        assert found.introduced.population == "enc2"
        assert found.cause.startswith("enc2: ")


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_session_says_what_it_cannot_compare(network: Network) -> None:
    chip = recorded_right(network)
    for choices, message in (
        ({"backends": ()}, r"no backend is named, and the first is the baseline; name one, as reference$"),
        ({"backends": ("reference",)}, r"name a second backend, as in reference,cpu, or a trace$"),
        ({"share": 1.5}, r"share 1.5 is not between 0 and 1, all neurons$"),
        ({"share": float("nan")}, r"share nan is not between 0 and 1, all neurons$"),
    ):
        with pytest.raises(VerificationError, match=message):
            Session(**choices)
    two = replace(chip, images=1, probes={"dec": Probe(counts=np.zeros((1, 256), np.int64))})
    with pytest.raises(VerificationError, match=r"the recordings hold batches of \(1,\) and \(2,\) images$"):
        Session(traces=(chip, two)).verify(Stimuli.of_payloads(network, random_stimulus(network)))


def test_progress_is_told_of_every_run(network: Network) -> None:
    told: list[str] = []

    @contextmanager
    def watch(description: str) -> Iterator[Progress]:
        told.append(description)
        yield lambda done, total: told.append(f"{done}/{total}")

    Session(("reference", "cpu")).verify(Stimuli.of_payloads(network, random_stimulus(network)), watch)
    runs = [line for line in told if "/" not in line]
    assert runs == [f"{name}: {network.name}, 8x8" for name in ("reference", "cpu")]
    assert len(told) > len(runs)


def test_backends_may_be_given_and_readouts_are_undone(network: Network) -> None:
    reference = load_backend("reference")
    stimulus = random_stimulus(network)
    run = reference.run(network, stimulus, Record.STATES)
    right = Trace.of(run, "chip")
    probes = {
        name: probe if probe.states is None else replace(probe, states=np.asarray(probe.states, np.int64) % 2**24)
        for name, probe in right.probes.items()
    }
    unsigned, stimuli = replace(right, probes=probes), Stimuli.of_payloads(network, stimulus)
    session = Session((reference,), Level.STATE, (unsigned,))
    assert session.verify(stimuli).verdict.exit_code == 1
    outcome = replace(session, readout=Readout(bits=24)).verify(stimuli)
    assert outcome.verdict.exit_code == 0
    assert outcome.stimuli == (run.stimulus,)
    assert set(outcome.engines) == {"reference"}


def test_many_images_end_with_the_worst_status(network: Network) -> None:
    """A difference counts more than what was not compared, whatever comes first."""
    verdict = Session(("reference", "reference")).verify(Stimuli.of_payloads(network, random_stimulus(network))).verdict
    rows = verdict.rows
    different = replace(verdict, rows=(replace(rows[0], sides=(rows[0].sides[0], _side(rows[0], "different"))),))
    missing = replace(
        verdict, rows=(replace(rows[0], sides=(rows[0].sides[0], _side(rows[0], "not compared"))),), reached=None
    )
    assert [item.exit_code for item in (verdict, different, missing)] == [0, 1, 2]
    assert combine_exit_codes([]) == 0
    assert combine_exit_codes([verdict, verdict]) == 0
    assert combine_exit_codes([verdict, missing]) == 2
    assert combine_exit_codes([missing, verdict, different]) == 1
    assert combine_exit_codes([different, missing]) == 1


def _side(row: Row, status: str) -> Side:
    return replace(row.sides[1], status=type(row.sides[1].status)(status))


def test_folders_and_single_images_come_to_the_same_verdict(network: Network, tmp_path: Path) -> None:
    from PIL import Image

    for index in range(2):
        values = np.random.default_rng(index).integers(0, 256, (12, 10), np.uint8)
        Image.fromarray(values).save(tmp_path / f"{index}.png")
    folder = FolderImages(tuple(sorted(tmp_path.glob("*.png"))), 1, (8, 8), 25.0, 3)
    verdicts = verify_images(network, folder, 2, ("reference", "cpu"), Level.TRAIN)
    for index, verdict in enumerate(verdicts):
        assert verdict == Session().verify(Stimuli.of_images(network, folder.image(index))).verdict
    together = Session().verify(Stimuli.of_folder(network, folder))
    assert together.verdict.coverage.images == len(together.stimuli) == 2
    with pytest.raises(VerificationError, match=r"one backend and no recording"):
        verify_images(network, folder, 2, ("reference",), Level.TRAIN)
    for name, shape in (("even.png", (8, 8)), ("odd.png", (8, 12))):
        Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / name)
    uneven = replace(folder, paths=(tmp_path / "even.png", tmp_path / "odd.png"), crop=None)
    with pytest.raises(VerificationError, match=r"odd.png: is 8x12, the first image 8x8; .* to one size$"):
        Session().verify(Stimuli.of_folder(network, uneven))


class Refusing:
    """A backend that refuses every network."""

    name = "refusing"

    def run(self, network: Network, *_: object, **__: object) -> Run:
        raise BackendUnavailableError(f"{network.name} is refused")


def test_unavailable_backends_end_a_session_or_are_skipped_and_named(network: Network) -> None:
    stimuli = Stimuli.of_payloads(network, random_stimulus(network))
    backends = ("reference", Refusing(), "absent", "cpu")
    with pytest.raises(BackendUnavailableError, match="is refused$"):
        Session(("reference", Refusing())).verify(stimuli)
    with pytest.raises(BackendUnavailableError, match="^unknown backend 'absent'"):
        Session(backends).verify(stimuli)
    outcome = Session(backends, skip_unavailable=True).verify(stimuli)
    assert [backend.name for backend in outcome.backends] == ["reference", "cpu"]
    assert set(outcome.unavailable) == {"refusing", "absent"}
    assert outcome.unavailable["refusing"].endswith(" is refused")
    assert outcome.verdict.exit_code == 0
    with pytest.raises(BackendUnavailableError, match="^unknown backend 'absent'.*; .* is refused$"):
        Session(("reference", Refusing(), "absent"), skip_unavailable=True).verify(stimuli)

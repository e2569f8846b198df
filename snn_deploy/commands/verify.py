"""``snn-deploy verify``: do backends, and recordings of a chip, show the same spikes; and if not, where and why."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from snn_deploy import artifact
from snn_deploy.backend import Record, Run, load_backend, stimulus_digest, stimulus_of
from snn_deploy.commands import arguments as shared
from snn_deploy.commands import verify_folder
from snn_deploy.display.console import note, progress, show, show_json
from snn_deploy.errors import VerificationError
from snn_deploy.files import check_writable
from snn_deploy.network import Network
from snn_deploy.tasks import images
from snn_deploy.verify import Comparison, Level, Status, Trace, Verdict
from snn_deploy.verify import record as verdict_record
from snn_deploy.verify import table as verdict_table
from snn_deploy.verify.autopsy import explain
from snn_deploy.verify.certificate import certify, check_certificate, write_certificate
from snn_deploy.verify.lag import align_batch, align_recording
from snn_deploy.verify.mutation import MutationScore, mutation_score, suggest_stimulus, with_score
from snn_deploy.verify.probe_plan import ProbePlan
from snn_deploy.verify.readers import read_nir_data, read_sana_fe
from snn_deploy.verify.schedules import compare_schedules
from snn_deploy.verify.trace_file import TraceFile
from snn_deploy.verify_many import RECORDS

LEVELS = {level.label: level for level in Level}
PLACE = "first (image, step, neuron): found, expected"
SUGGESTED = 3
"""Images that ``--suggest-stimulus`` names at most."""


def add(verbs: Any) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "verify",
        help="compare the spikes of several backends and recordings",
        description="Compare spikes; status 0 equal, 1 different, 2 not compared, 3 bad input.",
        epilog="example: snn-deploy verify out/d.snn --input photo.png --crop 32x32 --backends reference,cpu,lava",
    )
    parser.add_argument("network", type=Path, help="artifact (.snn)")
    shared.add_stimulus(parser, required=False)
    parser.add_argument(
        "--backends",
        type=shared.backends,
        default="reference,cpu",
        metavar="A,B",
        help="the first is the baseline (default: reference,cpu)",
    )
    parser.add_argument(
        "--level", choices=tuple(LEVELS), default=Level.TRAIN.label, help="default: train (every event)"
    )
    parser.add_argument(
        "--trace",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a recording too: .npz, .nir or SANA-FE .csv",
    )
    parser.add_argument(
        "--shuffle",
        type=shared.whole(1, 100),
        metavar="N",
        help="exact mode: the first backend under N random schedules",
    )
    parser.add_argument(
        "--probe-plan",
        nargs="*",
        metavar="NAME=ANSWER",
        help="which population to record next, after the answers (equal, different) to earlier ones",
    )
    parser.add_argument("--mutation", action="store_true", help="tell how many injected faults this image would reveal")
    parser.add_argument("--certificate", type=Path, metavar="FILE.json", help="write JSON, HTML and JUnit XML")
    parser.add_argument("--check", type=Path, metavar="FILE.json", help="check a certificate of this artifact instead")
    parser.add_argument(
        "--suggest-stimulus", type=Path, metavar="FOLDER", help="name the images that reveal most faults instead"
    )
    shared.add_workers(parser, "the images where --input names a folder")
    shared.add_json(parser)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run, compare, explain, certify."""
    network = artifact.load(arguments.network)
    if arguments.check is not None:
        return _check(arguments)
    if arguments.suggest_stimulus is not None:
        return _suggest(arguments, network)
    if arguments.probe_plan is not None:
        return _plan(arguments.probe_plan, network)
    if arguments.input is None:
        raise VerificationError("give --input FILE, the image that all are shown")
    if arguments.certificate is not None:
        check_writable(arguments.certificate)
    if arguments.input.is_dir():
        return verify_folder.execute(arguments, network, LEVELS[arguments.level])
    network, _, payloads = shared.stimulus(arguments, network)
    if arguments.shuffle is not None:
        return _shuffled(arguments, network, payloads)
    level = LEVELS[arguments.level]
    record = RECORDS.get(level, Record.COUNTS)
    runs = [shared.run(name, network, payloads, record) for name in arguments.backends]
    recordings: list[Run | Trace] = [*runs, *(_recording(network, runs[0], path) for path in arguments.trace)]
    if len(recordings) < 2:
        raise VerificationError("one backend and no --trace: there is nothing to compare it with")
    comparison = Comparison(network, level, replay=level >= Level.TRAIN)
    comparison.add(recordings)
    verdict, score = comparison.verdict(), None
    if arguments.mutation:
        with progress("mutation score") as report:
            score = mutation_score(network, payloads, progress=report)
        verdict = with_score(verdict, score)
    if arguments.json:
        show_json(verdict_record(verdict))
    else:
        show_verdict(verdict)
        if verdict.story:
            show(verdict.story)
        _show_cause(network, verdict, recordings)
        if score is not None:
            show(score.line(level))
    if arguments.certificate is not None:
        _certify(arguments, network, verdict, runs, score, stimulus_digest(payloads))
    return verdict.exit_code


def _shuffled(arguments: argparse.Namespace, network: Network, payloads: npt.NDArray[np.int64]) -> int:
    """Counts under other schedules; only the reference runs networks that are not aligned."""
    verdict = compare_schedules(network, payloads, load_backend(arguments.backends[0]), range(arguments.shuffle))
    if arguments.json:
        show_json(verdict_record(verdict))
    else:
        show_verdict(verdict)
    return verdict.exit_code


def _plan(answers: Sequence[str], network: Network) -> int:
    """Name the next population to record, or the culprit: at most about log2(n) recordings."""
    plan = ProbePlan.of(network)
    for answer in answers:
        name, _, outcome = answer.rpartition("=")
        if outcome not in ("equal", "different"):
            raise VerificationError(f"{answer!r} is no answer; write POPULATION=equal or POPULATION=different")
        plan = plan.answer(name, equal=outcome == "equal")
    show(f"culprit: {plan.culprit}" if plan.culprit is not None else f"record next: {plan.next or 'nothing is left'}")
    return 0


def _recording(network: Network, baseline: Run, path: Path) -> Trace:
    """A recorded run, cut to the populations' windows; where it begins is found by itself."""
    if path.suffix == ".csv":
        found = align_recording(network, Trace.of(baseline), read_sana_fe(network, path))
    elif path.suffix == ".nir":
        found = align_recording(network, Trace.of(baseline), read_nir_data(path, network))
    else:
        with TraceFile(path) as file:
            batches = list(file)
            if len(batches) != 1:
                raise VerificationError(f"{path}: holds {len(batches)} batches; record one run of one stimulus")
            found = align_batch(network, Trace.of(baseline), batches[0], file.header.time)
    for warning in found.warnings:
        note(f"{path}: {warning}")
    return found.trace


def _show_cause(network: Network, verdict: Verdict, recordings: Sequence[Run | Trace]) -> None:
    if verdict.status is not Status.DIFFERENT or verdict.asked < Level.TRAIN:
        return
    diagnosis = explain(network, verdict, recordings)
    if diagnosis is not None:
        show(diagnosis.text)


def _certify(
    arguments: argparse.Namespace,
    network: Network,
    verdict: Verdict,
    runs: Sequence[Run],
    score: MutationScore | None,
    stimulus: str,
) -> None:
    files = {"artifact": arguments.network, "stimulus": arguments.input}
    files |= {f"trace {index + 1}": path for index, path in enumerate(arguments.trace)}
    engines = {run.backend: "+".join(sorted(set(run.engines.values()))) for run in runs}
    certificate = certify(verdict, network, files=files, stimuli=(stimulus,), score=score, engines=engines)
    write_certificate(certificate, arguments.certificate)
    note(f"wrote {arguments.certificate}, and .html and .xml beside it")


def _check(arguments: argparse.Namespace) -> int:
    files = {"artifact": arguments.network} | ({"stimulus": arguments.input} if arguments.input is not None else {})
    wrong = check_certificate(arguments.check, files)
    lines = wrong or (f"{arguments.check} stands: digest, verdict and the files named are as certified",)
    for line in lines:
        show(line)
    return 1 if wrong else 0


def _suggest(arguments: argparse.Namespace, network: Network) -> int:
    """Name the images of a folder whose middles together reveal the most faults."""
    paths = images.image_paths(arguments.suggest_stimulus)
    height, width = arguments.crop or (32, 32)
    part = network.at_size(height, width)
    shown = []
    for path in paths:
        image = images.center_crop(images.read_image(path, network.input.shape[0]), height, width)
        shown.append(images.add_noise(image, arguments.noise, arguments.seed) if arguments.noise > 0 else image)
    with progress("mutation score") as report:
        score = mutation_score(part, np.concatenate([stimulus_of(part, image) for image in shown]), progress=report)
    level = LEVELS[arguments.level]
    chosen = [str(paths[index]) for index in suggest_stimulus(score, level, SUGGESTED)]
    if arguments.json:
        show_json({"images": chosen, "share": score.share(level)})
    else:
        for name in chosen:
            show(name)
        show(score.line(level))
    return 0 if chosen else 2


def show_verdict(verdict: Verdict) -> None:
    """Table, warnings and the line that says it all."""
    show(verdict_table(verdict), silent=_silent(verdict), optional=("probed", "neurons"))
    for warning in verdict.warnings:
        show(f"warning: {warning}")
    show(verdict.line)


def _silent(verdict: Verdict) -> tuple[str, ...]:
    """Columns that may be left out where they say nothing: of those that count differences the strictest one stays."""
    differ = ("neurons differ", "events differ", "states differ")
    levels = (Level.NEURON_COUNT, *RECORDS)
    made = [heading for heading, level in zip(differ, levels, strict=True) if verdict.asked >= level]
    kept = made[-1:] if verdict.status is Status.EQUAL else []
    return ("probed", *(heading for heading in differ if heading not in kept), PLACE)

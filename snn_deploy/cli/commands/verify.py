"""``snn-deploy verify``: do backends, and recordings of a chip, show the same spikes; and if not, where and why."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from snn_deploy.backend.protocol import Backend
from snn_deploy.backend.registry import load_backend
from snn_deploy.cli import arguments as shared
from snn_deploy.cli import streams
from snn_deploy.cli.commands import (
    verify_certificate,
    verify_counters,
    verify_folder,
    verify_frames,
    verify_proof,
    verify_recordings,
    verify_stream,
)
from snn_deploy.cli.modes import NOISE, WORKERS, Mode, Modes, Need
from snn_deploy.cli.verdicts import show_verdict_json
from snn_deploy.data import images
from snn_deploy.data.stimulus import find_largest_size, prepare_stimulus
from snn_deploy.display.console import progress, show, show_json, suggest_next
from snn_deploy.display.labels import labels
from snn_deploy.display.verdict_table import show_verdict
from snn_deploy.errors import VerificationError
from snn_deploy.network import artifact
from snn_deploy.network.network import Network
from snn_deploy.verification import Level
from snn_deploy.verification.comparison.schedules import compare_schedules
from snn_deploy.verification.diagnosis.mutation import MutationScore, add_score, score_mutants, suggest_stimulus
from snn_deploy.verification.diagnosis.probe_plan import ProbePlan
from snn_deploy.verification.session import Outcome, Session
from snn_deploy.verification.stimuli import Stimuli
from snn_deploy.verification.traces.recorded import read_stimuli

LEVELS = {level.label: level for level in Level}
SUGGESTED = 3
"""Images that ``--suggest-stimulus`` names at most."""

SUGGESTED_SIZE = (32, 32)
"""Most pixels (H, W) of each image that it looks at without ``--crop``."""

MODES = Modes(
    (
        Mode(
            "with --check, which takes options from the certificate",
            "network check key input trace json",
            lambda arguments: arguments.check is not None,
        ),
        Mode(
            "with --counters",
            "network counters target steps within input crop noise seed json",
            lambda arguments: arguments.counters is not None,
        ),
        Mode("with --prove", "network prove backends emitted out json", lambda arguments: arguments.prove),
        Mode(
            "with --suggest-stimulus",
            "network suggest_stimulus crop noise seed level json",
            lambda arguments: arguments.suggest_stimulus is not None,
        ),
        Mode("with --probe-plan", "network probe_plan json", lambda arguments: arguments.probe_plan is not None),
        Mode(
            "with --shuffle",
            "network shuffle input crop noise seed backends json",
            lambda arguments: arguments.shuffle is not None,
        ),
        streams.mode("backends level resume json"),
        Mode(
            "with a folder as --input",
            "network input crop noise seed backends level workers scheduler json",
            lambda arguments: _is_folder(arguments),
        ),
        Mode(
            "with --plan",
            "network input crop noise seed backends plan level json",
            lambda arguments: arguments.plan is not None,
        ),
        Mode(
            "where one batch after the other is compared",
            "network input bin crop noise seed backends level mutation certificate sign trace spread share mark bits dt json",
        ),
    ),
    (
        NOISE,
        streams.BIN,
        WORKERS,
        Need("sign", "without --certificate", lambda arguments: arguments.certificate is not None),
        Need(
            "crop noise",
            "without --input, on images that a recording holds",
            lambda arguments: arguments.input is not None or not arguments.trace,
        ),
        Need("spread share mark bits dt", "without --trace", lambda arguments: bool(arguments.trace)),
        Need(
            "dt",
            "without a .nir file as --trace",
            lambda arguments: any(path.suffix in (".nir", ".nird") for path in arguments.trace),
        ),
        *verify_proof.NEEDS,
        Need(
            "backends",
            "with --shuffle beyond its first name",
            lambda arguments: arguments.shuffle is None or len(arguments.backends) == 1,
        ),
    ),
)
"""What ``verify`` can do, in the order in which options choose it."""


def add(verbs: Any) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "verify",
        description="Compare spikes; status 0 equal, 1 different, 2 not compared, not proved or within a chip's spread, 3 bad.",
        epilog="example: snn-deploy verify out/d.snn --input photo.png --crop 32x32 --backends reference,cpu,lava",
    )
    parser.add_argument("network", type=Path, help="artifact (.snn)")
    shared.add_stimulus(parser, required=False)
    verify_stream.add_options(parser)
    parser.add_argument(
        "--backends",
        type=shared.backends,
        default="reference,cpu",
        metavar="A,B",
        help="the first is the baseline (default: reference,cpu)",
    )
    parser.add_argument(
        "--level",
        choices=tuple(LEVELS),
        help="level of the comparison (default: train, every event, or what recordings allow; with --spread neuron-count)",
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
    parser.add_argument(
        "--mutation", action="store_true", help="report how many injected faults this image would reveal"
    )
    parser.add_argument(
        "--suggest-stimulus",
        type=Path,
        metavar="FOLDER",
        help="only name the images of a folder that reveal most faults",
    )
    shared.add_plan(
        parser,
        "run the backends in tiles; where the plan is exact, compare them with the first one's run of the whole image",
    )
    verify_certificate.add_options(parser)
    verify_recordings.add_options(parser)
    verify_proof.add_options(parser)
    verify_counters.add_options(parser)
    shared.add_workers(parser, "the images where --input names a folder")
    shared.add_json(parser)
    parser.set_defaults(execute=execute, modes=MODES)


def execute(arguments: argparse.Namespace) -> int:
    """Run, compare, explain, certify."""
    network = artifact.load(arguments.network)
    asked = arguments.level
    if arguments.level is None:
        arguments.level = (Level.NEURON_COUNT if arguments.spread else Level.TRAIN).label
    if arguments.check is not None:
        return verify_certificate.check(arguments, network, _compared)
    if arguments.counters is not None:
        return verify_counters.execute(arguments, network)
    if arguments.prove:
        return verify_proof.execute(arguments, network)
    if arguments.suggest_stimulus is not None:
        return _suggest(arguments, network)
    if arguments.probe_plan is not None:
        return _plan(arguments, network)
    if arguments.stream is not None:
        streams.check_one(arguments)
        return verify_stream.execute(arguments, network, LEVELS[arguments.level])
    if arguments.input is None and not arguments.trace:
        raise VerificationError("give --input FILE, the image for every backend, or --stream PATH, frames of a stream")
    key = verify_certificate.prepare(arguments)
    if verify_frames.holds_frames(arguments, network):
        return verify_frames.execute(arguments, network, None if asked is None else LEVELS[asked])
    if arguments.shuffle is not None:
        return _shuffled(arguments, network)
    if arguments.trace and asked is None and not arguments.spread:
        arguments.level = verify_recordings.choose_level(arguments, network).label
    if _is_folder(arguments):
        return verify_folder.execute(arguments, network, LEVELS[arguments.level])
    outcome, score = _compared(arguments, network)
    if arguments.json:
        show_verdict_json(arguments, outcome.verdict, score)
    else:
        show_verdict(outcome.verdict)
        if score is not None:
            show(score.line(outcome.verdict.asked))
    if arguments.certificate is not None:
        verify_certificate.write(arguments, outcome, score, key)
    elif outcome.verdict.exit_code == 0 and arguments.input is not None and not arguments.json:
        suggest_next("snn-deploy", "estimate", arguments.network, "--input", arguments.input, *_shown(arguments))
    return outcome.verdict.exit_code


def _shown(arguments: argparse.Namespace) -> tuple[str, ...]:
    """The options of the stimulus, for the next command."""
    crop = () if arguments.crop is None else ("--crop", "x".join(map(str, arguments.crop)))
    seed = ("--seed", str(arguments.seed)) if arguments.seed else ()
    return crop if arguments.noise == 0 else (*crop, "--noise", f"{arguments.noise:g}", *seed)


def _is_folder(arguments: argparse.Namespace) -> bool:
    """Whether every image of a folder is verified by itself, on one or many workers."""
    single = arguments.trace or arguments.certificate or arguments.mutation
    return arguments.input is not None and arguments.input.is_dir() and not single


def _compared(arguments: argparse.Namespace, network: Network) -> tuple[Outcome, MutationScore | None]:
    session = Session(
        backends=_engines(arguments, network),
        level=LEVELS[arguments.level],
        traces=tuple(arguments.trace),
        share=arguments.share,
        readout=verify_recordings.readout_of(arguments),
        spread=arguments.spread,
    )
    outcome = session.verify(_stimuli(arguments, network), progress)
    if not arguments.mutation:
        return outcome, None
    if len(outcome.stimuli) > 1:
        raise VerificationError(
            f"--mutation goes with one image or batch; {arguments.input} was {len(outcome.stimuli)}"
        )
    with progress("mutation score") as report:
        score = score_mutants(outcome.network, outcome.payloads, progress=report)
    return replace(outcome, verdict=add_score(outcome.verdict, score)), score


def _engines(arguments: argparse.Namespace, network: Network) -> tuple[str | Backend, ...]:
    """What runs: the backends, or under ``--plan`` the backends in tiles, after the first one as it is if that must be equal."""
    plan = shared.planned(arguments, network)
    if plan is None:
        return tuple(arguments.backends)
    whole = arguments.backends[:1] if plan.exact else ()
    return (*whole, *(shared.load_engine(name, plan) for name in arguments.backends))


def _stimuli(arguments: argparse.Namespace, network: Network) -> Stimuli:
    """The images that ``--input`` names, a file or a folder; without it, those that the first recording holds."""
    if arguments.input is None:
        return read_stimuli(network, arguments.trace[0])
    if arguments.input.is_dir():
        return Stimuli.of_folder(network, verify_folder.folder_images(arguments, network))
    sized, payloads = shared.stimulus(arguments, network)
    return Stimuli.of_payloads(sized, payloads, str(arguments.input))


def _shuffled(arguments: argparse.Namespace, network: Network) -> int:
    """Counts under other schedules, run by the first of the backends."""
    network, payloads = shared.stimulus(arguments, network)
    verdict = compare_schedules(network, payloads, load_backend(arguments.backends[0]), range(arguments.shuffle))
    if arguments.json:
        show_verdict_json(arguments, verdict)
    else:
        show_verdict(verdict)
    return verdict.exit_code


def _plan(arguments: argparse.Namespace, network: Network) -> int:
    """Name the next population to record, or the culprit: at most about log2(n) recordings."""
    plan = ProbePlan.of(network)
    shown = {label: name for name, label in labels(plan.order).items()}  # as tables spell them
    for answer in arguments.probe_plan:
        name, _, outcome = answer.rpartition("=")
        if outcome not in ("equal", "different"):
            raise VerificationError(f"{answer!r} is not an answer; write POPULATION=equal or POPULATION=different")
        known = name if name in plan.order else shown.get(name, name)
        plan = plan.answer(known, equal=outcome == "equal")
    if arguments.json:
        show_json("verify-probe-plan", {"culprit": plan.culprit, "next": plan.next})
    elif plan.culprit is not None:
        show(f"culprit: {plan.culprit}")
    else:
        show(f"record next: {plan.next or 'nothing is left'}")
    return 0


def _suggest(arguments: argparse.Namespace, network: Network) -> int:
    """Name the images of a folder whose middles together reveal the most faults."""
    paths = images.list_image_paths(arguments.suggest_stimulus)
    height, width = arguments.crop or find_largest_size(network, *SUGGESTED_SIZE) or network.input.shape[1:]
    noisy = []
    for path in paths:
        image = images.center_crop(
            images.read_image(path, network.input.shape[0], network.picture), height, width, str(path)
        )
        noisy.append(
            images.add_noise(image, arguments.noise, arguments.seed, network.picture) if arguments.noise > 0 else image
        )
    part, payloads = prepare_stimulus(network, np.concatenate(noisy), str(arguments.suggest_stimulus))
    with progress("mutation score") as report:
        score = score_mutants(part, payloads, progress=report)
    level = LEVELS[arguments.level]
    chosen = [str(paths[index]) for index in suggest_stimulus(score, level, SUGGESTED)]
    if arguments.json:
        show_json("verify-suggest-stimulus", {"images": chosen, "share": score.share(level)})
    else:
        for name in chosen:
            show(name)
        show(score.line(level))
    return 0 if chosen else 2

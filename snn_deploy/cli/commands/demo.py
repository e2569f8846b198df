"""``snn-deploy demo``: the whole job on an embedded model and a real photograph."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from snn_deploy.activity.counting import count_activity
from snn_deploy.backend.integer_ann import compute_integer_counts
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.cli import arguments as shared
from snn_deploy.cli.commands.estimate import OPTIONAL as ACTIVITY_OPTIONAL
from snn_deploy.cli.commands.estimate import show_energy
from snn_deploy.cli.modes import Mode, Modes
from snn_deploy.conversion.convert import convert, open_float_probe
from snn_deploy.conversion.options import Options
from snn_deploy.cost.energy import estimate
from snn_deploy.data import images
from snn_deploy.data.calibration import load_calibration_images
from snn_deploy.data.metrics import gain_db, psnr_db
from snn_deploy.display.console import note, progress, show, show_json, suggest_next, verbose
from snn_deploy.display.conversion_tables import OPTIONAL as CONVERSION_OPTIONAL
from snn_deploy.display.conversion_tables import population_table
from snn_deploy.display.picture import write_comparison
from snn_deploy.display.plain_table import PlainTable
from snn_deploy.display.tables import activity_table
from snn_deploy.display.verdict_table import show_verdict
from snn_deploy.errors import ModelError, ReportError
from snn_deploy.files import write
from snn_deploy.network import artifact
from snn_deploy.network.network import Network
from snn_deploy.targets.load import load_target
from snn_deploy.verification import Level, Session, Stimuli, Verdict
from snn_deploy.verification import record as verdict_record

MODEL = "denoiser_s25.onnx"
SIGMA = 25.0
BACKENDS = ("reference", "cpu", "lava")
LEFT_OUT = {"lava": "lava"}
"""Backends that the demo does without where the module of their extra is absent; it says so, and compares the others."""

MODES = Modes((Mode("in any mode", "out levels crop target seed json"),))


def add(verbs: Any) -> None:
    """Declare the verb."""
    parser = verbs.add_parser(
        "demo",
        description="Convert the embedded denoiser, run a noisy photograph, compare backends, estimate its energy. "
        "Without the extra lava it says that Lava is not compared, and compares the others.",
        epilog="example: snn-deploy demo --out out/demo",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("out/demo"), help="folder for pictures and model (default: out/demo)"
    )
    parser.add_argument(
        "--levels",
        type=shared.whole_in("levels"),
        default=127,
        metavar="N",
        help="largest count per neuron (default: 127)",
    )
    parser.add_argument(
        "--crop", type=shared.size, default=(64, 64), metavar="HxW", help="part that all backends run (default: 64x64)"
    )
    parser.add_argument("--target", default="loihi2", help="device of the energy estimate (default: loihi2)")
    parser.add_argument("--seed", type=shared.whole(0), default=0, help="seed of noise and patches (default: 0)")
    shared.add_json(parser)
    parser.set_defaults(execute=execute, modes=MODES)


def embedded_model(name: str = MODEL) -> Path:
    """A trained model of this project: packaged beside the code, or in a checkout's ``models``."""
    package = Path(__file__).parents[2]
    for folder in (package / "models", package.parent / "models"):
        if (folder / name).is_file():
            return folder / name
    raise ModelError(f"{name}: the trained model is neither in the package nor in a checkout's models folder")


def execute(arguments: argparse.Namespace) -> int:
    """Convert, run, compare, estimate; status 0 only when all backends fired the same spikes."""
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReportError(f"{arguments.out}: cannot be made: {error.strerror or error}") from error
    target = load_target(arguments.target)
    model = embedded_model()
    clean = images.load_photograph("camera", 1)
    noisy = images.add_noise(clean, SIGMA, arguments.seed)
    size = clean.shape[2], clean.shape[3]
    calibration = load_calibration_images(None, 1, SIGMA, arguments.seed)
    with progress("converting the model"):
        converted = convert(model, calibration, Options(levels=arguments.levels), size)
    network = converted.conversion.network
    artifact.save(network, arguments.out / "denoiser.snn")
    if verbose() and not arguments.json:
        show(population_table(converted.conversion), silent=("dead",), optional=CONVERSION_OPTIONAL)

    restored_float = next(iter(open_float_probe(model, size)(noisy).values()))
    payloads = quantize_images(network, noisy)
    whole = shared.run("cpu", network, payloads)
    restored = whole.values(network).astype(np.float32)
    with progress("the integer network, for comparison"):
        integers = compute_integer_counts(network, payloads)
    differing = sum(int(np.count_nonzero(counts != whole.counts[name])) for name, counts in integers.items())
    verdict, missing = _compared(network, noisy, arguments.crop)
    activity = count_activity(network, whole)
    energy = estimate(network, activity, target)
    pictures = {"noisy": noisy, "float": restored_float, "spiking": restored}
    scores = {name: float(psnr_db(picture, clean)) for name, picture in pictures.items()}
    if arguments.json:
        counts = {"counts_differing_from_the_integer_network": differing, "not_run": missing}
        judged = {"verdict": verdict_record(verdict), "energy": energy.record()}
        show_json("demo", {"psnr_db": scores, **counts, **judged})
    else:
        show_verdict(verdict)
        show(activity_table(activity), optional=ACTIVITY_OPTIONAL)
        show_energy(energy)
        pixels = f"{clean.shape[2]}x{clean.shape[3]}"
        show(
            tabulate_quality(
                f"scikit-image's camera, {pixels}, sigma {SIGMA:g}, seed {arguments.seed}", scores, differing
            )
        )
    for name, picture in pictures.items():
        images.write_image(arguments.out / f"{name}.png", picture)
    write_comparison(arguments.out / "comparison.png", clean, pictures)
    copied = arguments.out / "denoiser.onnx"
    write(copied, model.read_bytes())
    note(f"wrote {arguments.out}/: noisy.png float.png spiking.png comparison.png denoiser.onnx denoiser.snn")
    if not arguments.json:
        suggest_next("snn-deploy", "inspect", copied)
    if differing or verdict.exit_code == 1:
        return 1
    failed = [name for name in missing if name not in LEFT_OUT or find_spec(LEFT_OUT[name]) is not None]
    return 2 if failed else verdict.exit_code


def _compared(network: Network, noisy: images.Image, crop: tuple[int, int]) -> tuple[Verdict, dict[str, str]]:
    """Every event of every population on all backends, on the middle of the image; Lava would take minutes for all.

    Also the backends that are not installed, and why.
    """
    note(f"comparing {', '.join(BACKENDS)} on the middle {crop[0]}x{crop[1]} pixels (the whole image runs on cpu)")
    stimuli = Stimuli.of_images(network, images.center_crop(noisy, *crop, "the photograph"), "--crop")
    outcome = Session(BACKENDS, Level.STATE, skip_unavailable=True).verify(stimuli, progress)
    for name, reason in outcome.unavailable.items():
        note(f"{name} is not compared: {reason}")
    return outcome.verdict, dict(outcome.unavailable)


def tabulate_quality(title: str, psnr_db: Mapping[str, float], differing: int) -> PlainTable:
    """PSNR of the three images, and the check against the integer network."""
    table = PlainTable(
        title=title, caption=f"{differing} of the whole image's counts differ from the integer network's"
    )
    table.add_column("image")
    table.add_column("PSNR", justify="right")
    table.add_column("to the float network", justify="right")
    table.add_row("noisy", f"{psnr_db['noisy']:.3f} dB", "")
    table.add_row("float network", f"{psnr_db['float']:.3f} dB", "")
    gain = round(gain_db(psnr_db["spiking"], psnr_db["float"]), 3) + 0.0  # not -0.000
    table.add_row("spiking network", f"{psnr_db['spiking']:.3f} dB", f"{gain:+.3f} dB")
    return table

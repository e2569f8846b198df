"""Arguments that several verbs share, and what they mean."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

from snn_deploy.arrays import Float32, Int64
from snn_deploy.backend.protocol import Backend, Record, Run
from snn_deploy.backend.registry import list_backends, load_backend, run_backend
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.cli.modes import Mode
from snn_deploy.conversion.convert import input_scale
from snn_deploy.conversion.options import CHOICES, FEW_LEVELS, PRESETS, RANGES, Options, preset, training_preset
from snn_deploy.data import array_file, event_file, images, picture_file
from snn_deploy.data.payload_file import holds_payloads, read_payloads
from snn_deploy.data.stimulus import prepare_stimulus
from snn_deploy.display.console import note, progress
from snn_deploy.errors import ReportError, StimulusError
from snn_deploy.network.network import Network
from snn_deploy.network.picture_scale import PictureScale
from snn_deploy.planning.plan import Plan, open_plan
from snn_deploy.planning.planned import PlannedBackend
from snn_deploy.shapes import Size


def size(text: str) -> Size:
    """``HxW`` (or one number for a square) as (H, W)."""
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdecimal() and 0 < int(part) <= picture_file.MAX_SIDE for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; write HEIGHTxWIDTH, for example 64x64")
    return int(parts[0]), int(parts[-1])


def whole(low: int, high: int = 2**31 - 1) -> Callable[[str], int]:
    """Reads an integer from ``low`` to ``high``."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not an integer from {low} to {high}")
        return value

    return read


def whole_in(option: str) -> Callable[[str], int]:
    """Reads an integer in the range of this option of a conversion."""
    low, high = RANGES[option]
    return whole(int(low), int(high))


def real(low: float, high: float) -> Callable[[str], float]:
    """Reads a number from ``low`` to ``high``."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low:g} to {high:g}")
        return value

    return read


def backends(text: str) -> tuple[str, ...]:
    """Different installed backends, separated by commas; the first is the baseline."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in list_backends():
            raise argparse.ArgumentTypeError(
                f"{name!r} is not an installed backend; choose from {', '.join(list_backends())}"
            )
    if not names or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text!r}: name different backends, separated by commas")
    return names


def indices(text: str) -> slice:
    """``FIRST-LAST`` (or one number) as a slice, both ends included."""
    first, _, last = text.partition("-")
    if not first.isdigit() or not (last or first).isdigit() or int(last or first) < int(first):
        raise argparse.ArgumentTypeError(f"{text!r} is not a range; write FIRST-LAST, for example 25-29")
    return slice(int(first), int(last or first) + 1)


def check_suffix(path: Path, *allowed: str) -> None:
    """:class:`ReportError` where the name of an output promises another format than the one that is written."""
    special = path.exists() and not path.is_file()  # a device or pipe has no format of its own
    if path.suffix.lower() not in allowed and not special:
        raise ReportError(f"{path}: ends in {path.suffix or 'no suffix'}; use {' or '.join(allowed)}")


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def add_backend(parser: argparse.ArgumentParser) -> None:
    """``--backend``."""
    parser.add_argument(
        "--backend", choices=list_backends(), default="cpu", help="backend that runs the network (default: cpu)"
    )


def add_workers(parser: argparse.ArgumentParser, what: str) -> None:
    """``--workers`` and ``--scheduler``: where ``what`` is computed (:mod:`snn_deploy.workers`)."""
    group = parser.add_argument_group("workers")
    group.add_argument(
        "--workers", type=whole(1, 1024), default=1, metavar="N", help=f"local processes that share {what} (default: 1)"
    )
    group.add_argument(
        "--scheduler", metavar="ADDRESS", help="use the workers of a running Dask scheduler, as tcp://host:8786"
    )


def _add_noise(group: argparse._ArgumentGroup, what: str) -> None:
    group.add_argument(
        "--noise",
        type=real(0, 1000),
        default=0.0,
        metavar="SIGMA",
        help="Gaussian noise of SIGMA/255 added to images (default: 0)",
    )
    group.add_argument("--seed", type=whole(0), default=0, help=f"seed of {what} (default: 0)")


def add_conversion(parser: argparse.ArgumentParser, *, calibration: bool = True) -> None:
    """The options of a conversion; fields that are not given keep the preset's value."""
    group = parser.add_argument_group("conversion")
    start = group.add_mutually_exclusive_group()
    start.add_argument("--preset", choices=tuple(PRESETS), default="exact", help="starting point (default: exact)")
    start.add_argument(
        "--neuron",
        choices=tuple(kind for kind in CHOICES["neuron"] if kind not in ("multi-threshold", "netx")),
        help="build from Lava's own processes only, with this neuron (the preset of that name)",
    )
    start.add_argument(
        "--for",
        choices=("akida",),
        help="numbers that fit the layers of BrainChip's Akida 2 (the preset of that name); what that costs is told",
    )
    group.add_argument(
        "--levels", type=whole_in("levels"), metavar="N", help="exact mode: largest count per neuron (default 127)"
    )
    group.add_argument("--steps", type=whole_in("steps"), metavar="T", help="rate mode: time steps")
    group.add_argument(
        "--thresholds", type=whole_in("thresholds"), metavar="n", help="rate mode: binary thresholds per neuron"
    )
    units = (
        ("", "")
        if calibration
        else (
            f" (default: per channel at {FEW_LEVELS} levels and fewer)",
            " (default: the preset's, of spiking-unet mmse)",
        )
    )
    group.add_argument(
        "--normalization",
        choices=CHOICES["normalization"],
        help=f"one scale per source, per convolution input, or per channel{units[0]}",
    )
    scale = f"how the activation range is chosen{units[1]}"
    group.add_argument("--scale", choices=CHOICES["scale"], help=scale)
    if calibration:
        group.add_argument(
            "--rounding",
            choices=CHOICES["rounding"],
            help="weights so that their errors cancel on calibration images (second-order), or each to the nearest",
        )
    group.add_argument(
        "--theta",
        choices=CHOICES["theta"],
        help="what a threshold may be; any integer helps at 6 bits and fewer, on targets that can divide",
    )
    group.add_argument("--weight-bits", type=whole_in("weight_bits"), metavar="BITS", help="bits of a weight, 2 to 8")
    group.add_argument(
        "--stream",
        action="store_const",
        const=True,
        help="exact mode: leave room in 24 bits for every change between two frames, so that the network can run streams",
    )
    if calibration:
        _add_calibration(group)
        add_picture_scale(parser)
    _add_noise(group, "noise and patches")


def _add_calibration(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--calibration",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="images on which activations are measured: files (.png, .tif, .npy, .npz, ...) and folders"
        " (default: photographs that scikit-image brings)",
    )


def add_picture_scale(parser: argparse.ArgumentParser) -> None:
    """``--range``, ``--mean``, ``--std``: how pictures become what a model reads."""
    group = parser.add_argument_group("input")
    group.add_argument(
        "--range",
        type=value_range,
        metavar="LOW..HIGH",
        help="what black and white are for the model, as 0..255 or, with =, --range=-1..1 (default: as its file tells, else 0..1)",
    )
    group.add_argument(
        "--mean",
        type=numbers,
        metavar="M,...",
        help="subtracted, in units of the range; one number, or one per channel",
    )
    group.add_argument(
        "--std", type=numbers, metavar="S,...", help="divides, after --mean; one number, or one per channel"
    )


def value_range(text: str) -> tuple[float, float]:
    """``LOW..HIGH`` as two finite numbers."""
    low, dots, high = text.partition("..")
    try:
        span = float(low), float(high)
    except ValueError:
        span = math.nan, math.nan
    if not dots or not all(map(math.isfinite, span)) or not span[0] < span[1]:
        raise argparse.ArgumentTypeError(f"{text!r} is not a range; write LOW..HIGH, for example 0..255")
    return span


def numbers(text: str) -> tuple[float, ...]:
    """Finite numbers, separated by commas."""
    try:
        values = tuple(float(word) for word in text.split(","))
    except ValueError:
        values = (math.nan,)
    if not all(map(math.isfinite, values)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers; write 0.485,0.456,0.406 for example")
    return values


def picture_scale(arguments: argparse.Namespace, model: Path) -> PictureScale:
    """How pictures become what ``model`` reads; said where its file tells another range than 0..1."""
    scale = input_scale(model, arguments.range, arguments.mean, arguments.std)
    if arguments.range is None and (scale.low, scale.high) != (0.0, 1.0):
        note(
            f"{model.name} reads pictures as {scale.low:g}..{scale.high:g}, says its input; --range gives another range"
        )
    return scale


def options_of(arguments: argparse.Namespace, *, training: bool = False) -> Options:
    """The options that :func:`add_conversion` parsed; those to train from where ``training``."""
    return (training_preset if training else preset)(_start(arguments), **given_options(arguments))


def _start(arguments: argparse.Namespace) -> str:
    """The preset that was chosen: by its name, by the name of its neuron, or by that of what it is for."""
    return str(arguments.neuron or getattr(arguments, "for") or arguments.preset)  # a keyword of Python


def given_options(arguments: argparse.Namespace) -> dict[str, str | int]:
    """Those of them that the user gave, by the names of their fields."""
    names = "levels steps thresholds normalization scale rounding theta weight_bits stream fuse_upsampling leaky"
    values = {name: getattr(arguments, name, None) for name in names.split()}
    return {name: value for name, value in values.items() if value is not None}


def conversion_modes(options: str, exact: str = "") -> tuple[Mode, Mode]:
    """Modes of a verb with :func:`add_conversion`: ``options`` act, and in exact mode ``exact``; what has no budget does not."""
    common = f"{options} preset neuron for normalization scale theta weight_bits"
    return (
        Mode("in exact mode, which --preset, --neuron or --for chooses", f"{common} levels stream {exact}", _is_exact),
        Mode("in rate mode, which --preset, --neuron or --for chooses", f"{common} steps thresholds"),
    )


def _is_exact(arguments: argparse.Namespace) -> bool:
    return preset(_start(arguments)).mode == "exact"


def add_stimulus(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """The image that a network is shown."""
    group = parser.add_argument_group("stimulus")
    group.add_argument(
        "--input",
        type=Path,
        required=required,
        metavar="FILE",
        help="image, TIFF of several pages, or .npy (batch, C, H, W): floats as the network reads them, integers as pictures, int64"
        " as payloads",
    )
    group.add_argument("--crop", type=size, metavar="HxW", help="use the middle of the image only")
    _add_noise(group, "the noise")


def stimulus(arguments: argparse.Namespace, network: Network) -> tuple[Network, Int64]:
    """The network at the image's size, and the input payloads of the (noisy) image.

    A file may hold payloads themselves, or events, which are those of every step of a window.
    """
    if _holds_events(arguments):
        _refuse_changes(arguments, "events")
        return network, quantize_images(network, _read_windows(arguments, network))
    if holds_payloads(arguments.input):
        _refuse_changes(arguments, "payloads, int64")
        sized, payloads = read_payloads(network, arguments.input)
        note(
            f"{arguments.input}: int64, taken as input payloads and not as pixels; save pixels as uint8, uint16 or floats"
        )
        return sized, payloads
    if array_file.holds_windows(arguments.input):
        _refuse_changes(arguments, "an image for every step")
        windows = array_file.read_windows(arguments.input, network.input.shape[0], network.picture)
        return prepare_stimulus(network, windows, str(arguments.input))
    _, noisy = clean_and_noisy(arguments, network)
    return prepare_stimulus(network, noisy, str(arguments.input))


def _holds_events(arguments: argparse.Namespace) -> bool:
    return arguments.input.suffix.lower() in event_file.SUFFIXES and event_file.holds_events(arguments.input)


def _refuse_changes(arguments: argparse.Namespace, held: str) -> None:
    if arguments.crop is not None or arguments.noise > 0:
        raise StimulusError(f"{arguments.input}: holds {held}; --crop and --noise are for images")


def _read_windows(arguments: argparse.Namespace, network: Network) -> Float32:
    """The events of ``--input`` by step and window."""
    if network.mode != "rate":
        raise StimulusError(
            f"{arguments.input}: holds events, and {network.name} is in exact mode, which reads frames one after the other; give "
            "the file as --stream"
        )
    duration = getattr(arguments, "bin", None)
    if duration is None:
        raise StimulusError(
            f"{arguments.input}: holds events; run, verify and estimate take it, with --bin TIME, the duration of a step"
        )
    channels, *size = network.input.shape
    return event_file.read_windows(arguments.input, channels, (size[0], size[1]), duration, network.steps)


def clean_and_noisy(arguments: argparse.Namespace, network: Network) -> tuple[images.Image, images.Image]:
    """The image of the command line, cropped, without and with its noise."""
    image = images.read_images(arguments.input, network.input.shape[0], network.picture)
    if arguments.crop is not None:
        height, width = arguments.crop
        image = images.center_crop(image, height, width, str(arguments.input))
    if arguments.noise == 0:
        return image, image
    return image, images.add_noise(image, arguments.noise, arguments.seed, network.picture)


def add_plan(parser: argparse.ArgumentParser, what: str) -> None:
    """``--plan``: what :func:`planned` reads."""
    parser.add_argument(
        "--plan", type=Path, metavar="FILE.json", help=f"{what} as a plan says: tiles, groups of layers"
    )


def planned(arguments: argparse.Namespace, network: Network) -> Plan | None:
    """The plan of ``--plan``, checked to be of ``network``, as it stands in its file; ``None`` without the option."""
    return None if arguments.plan is None else open_plan(arguments.plan, network)


def load_engine(name: str, plan: Plan | None) -> Backend:
    """The backend called ``name``, which executes ``plan`` where there is one."""
    backend = load_backend(name)
    return backend if plan is None else PlannedBackend(backend, plan)


def run(
    name: str,
    network: Network,
    payloads: Int64,
    record: Record = Record.COUNTS,
    *,
    bar: bool = True,
    plan: Plan | None = None,
) -> Run:
    """One run, by ``plan`` if one is given, with a progress bar (rich draws one at a time: ``bar`` is off inside another)."""
    backend = load_engine(name, plan)
    if not bar:
        return run_backend(backend, network, payloads, record)
    with progress(f"{name}: {network.name}, {network.input.shape[1]}x{network.input.shape[2]}") as report:
        return run_backend(backend, network, payloads, record, report)

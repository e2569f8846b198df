"""Public functions on files and folders: inspect a model, score and fine-tune on data, write bundles and reports.

``import snn_deploy as sd`` offers all of them, beside those of :mod:`snn_deploy.api`.

Examples
--------
>>> import snn_deploy as sd
>>> print(sd.inspect("models/denoiser_s25.onnx", size=(64, 64)))
30 nodes: 28 mapped, 2 folded, 0 host, 0 refused
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from snn_deploy.api import Calibration, Image, SpikingNetwork, list_numbers, list_sources
from snn_deploy.arrays import Float32, Int64
from snn_deploy.backend.protocol import Emitter
from snn_deploy.backend.registry import load_backend, split_names
from snn_deploy.conversion.convert import calibration_size, input_channels, input_scale, input_size
from snn_deploy.conversion.options import Options, training_preset
from snn_deploy.data import images as files
from snn_deploy.data.calibration import load_calibration_images
from snn_deploy.data.datasets import list_entries
from snn_deploy.data.frame_samples import FrameSample, FrameSamples
from snn_deploy.data.frames import Frames
from snn_deploy.data.stimulus import prepare_stimulus, quantize_dead_zone
from snn_deploy.display.watching import watched
from snn_deploy.errors import (
    BackendUnavailableError,
    ModelError,
    ReportError,
    StimulusError,
    VerificationError,
    suggest_extras,
)
from snn_deploy.evaluation.evaluate import Evaluation, FloatPredictor, Predictor, SpikingPredictor, Task
from snn_deploy.evaluation.evaluate import evaluate as score
from snn_deploy.evaluation.stream import StreamEvaluation
from snn_deploy.evaluation.stream import evaluate_stream as score_frames
from snn_deploy.exchange.foreign import SUFFIXES, inspect_foreign
from snn_deploy.exchange.integer_onnx import write_onnx
from snn_deploy.exchange.netx_write import write_net
from snn_deploy.exchange.nir_write import write_nir
from snn_deploy.files import write
from snn_deploy.finetuning.export import serialize_model
from snn_deploy.frontend.ledger import Ledger
from snn_deploy.frontend.onnx import (
    approximate_activations,
    describe_change,
    describe_constants,
    fix_inputs,
    own_channels,
)
from snn_deploy.frontend.onnx import freeze_norm as fix_norms
from snn_deploy.frontend.onnx import inspect as list_nodes
from snn_deploy.frontend.onnx.file import load as load_model
from snn_deploy.network import artifact
from snn_deploy.network.streaming import prepare_stream
from snn_deploy.planning.emission import emit_plan
from snn_deploy.planning.plan import Plan, open_plan
from snn_deploy.targets.load import load_target
from snn_deploy.verification import Level

if TYPE_CHECKING:
    from snn_deploy.finetuning.training import Tuned
    from snn_deploy.report import Contents

WRITERS = {"onnx": write_onnx, "net": write_net, "nir": write_nir}
"""Forms that are one file."""


def inspect(model: Any, size: tuple[int, int] | None = None, *, example: Image | None = None) -> Ledger:
    """What becomes of every node of ``model``: mapped, folded, host or refused; printing it says why.

    ``model``: an ONNX, ``.net`` or ``.nir`` file, an ``onnx.ModelProto``, or a ``torch.nn.Module`` with an ``example`` image.
    ``size`` (H, W) of the images to come, by default the model's own, else 128 x 128.
    :class:`~snn_deploy.errors.ModelError` for what is not a model.
    """
    given = Path(model) if isinstance(model, str | Path) else serialize_model(model, example)
    if isinstance(given, Path) and given.suffix in SUFFIXES:
        return inspect_foreign(given, size=size)
    return list_nodes(given, size or input_size(given))


@dataclass(frozen=True, eq=False)
class Prepared:
    """A changed ``model`` (``onnx.ModelProto``) for :func:`snn_deploy.convert`; in words what was changed, and what it changes."""

    model: Any
    remarks: tuple[str, ...]

    def __repr__(self) -> str:
        return f"Prepared({'; '.join(self.remarks)})"

    def __str__(self) -> str:
        return "\n".join(self.remarks)


def prepare_model(
    model: Any,
    calibration: Calibration = None,
    *,
    constants: Mapping[str, float | Sequence[float]] | None = None,
    freeze_norm: bool = False,
    approximate: bool = False,
    noise: float = 0.0,
    seed: int = 0,
    size: tuple[int, int] | None = None,
    span: tuple[float, float] | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    example: Image | None = None,
) -> Prepared:
    """What ``convert --constant``, ``--freeze-norm`` and ``--approximate`` do before they convert, in this order.

    ``constants`` fill inputs beside the image, by name, with one number or one for each entry; ``freeze_norm`` fixes the
    statistics of instance normalization, and ``approximate`` (experimental) replaces smooth activations inside by up to three
    ReLUs each, both fitted to the images of ``calibration``, which are cut and scaled as :func:`snn_deploy.convert` does.
    :class:`~snn_deploy.errors.ModelError` where there is nothing of the kind to change.
    """
    given: Path | bytes = Path(model) if isinstance(model, str | Path) else serialize_model(model, example)
    remarks: list[str] = []
    if constants:
        given = fix_inputs(given, constants)
        remarks.append(describe_constants(constants))
    if freeze_norm or approximate:
        scale, patch = input_scale(given, span, list_numbers(mean), list_numbers(std)), calibration_size(given, size)
        source, channels = list_sources(calibration), own_channels(given)
        images = np.concatenate(load_calibration_images(source, channels, noise, seed, patch, scale))
    if freeze_norm:
        frozen = fix_norms(given, images)
        given = frozen.model
        remarks.append(f"froze {len(frozen.nodes)} InstanceNormalization node(s); {describe_change(frozen.loss)}")
    if approximate:
        made = approximate_activations(given, images)
        given, worst = made.model, max(fit.error for _, fit in made.fits)
        remarks.append(
            f"{len(made.fits)} activation(s) replaced by ReLUs, each within {worst:.2%}; {describe_change(made.loss)}"
        )
    if not remarks:
        raise ModelError("nothing to prepare; give constants, freeze_norm or approximate")
    return Prepared(load_model(given).model, tuple(remarks))


def evaluate(
    network: SpikingNetwork | str | Path,
    data: str | Path,
    task: Task,
    *,
    backend: str = "cpu",
    noise: float = 0.0,
    seed: int = 0,
    tile: tuple[int, int] | None = None,
    crop: int | None = None,
    target: str | Path | None = None,
    workers: int = 1,
) -> Evaluation:
    """Scores of ``network``, or of a float model (.onnx), on the images of ``data``, a folder or a table.

    ``task``: ``denoise`` (PSNR, SSIM) or ``segment`` (mIoU, Dice, ...); what ``data`` may look like is on the page
    "Your own data". Noise of ``noise / 255`` is added to image i with seed ``seed + i``. Larger images are cut into tiles of
    ``tile`` (H, W). ``crop``: only the middle square of this side. ``target`` adds energy and latency.
    :class:`~snn_deploy.errors.StimulusError` for a folder that holds none.
    """
    predictor: Predictor
    if isinstance(network, SpikingNetwork):
        device = None if target is None else load_target(target)
        predictor = SpikingPredictor(network.network, load_backend(backend), tile, None, device)
        channels = network.network.input.shape[0]
    else:
        model = Path(network)
        predictor = FloatPredictor(model, input_scale(model, None, None, None))
        channels = input_channels(model, input_size(model))
    entries = list_entries(Path(data), task)
    square = None if crop is None else (crop, crop)
    with watched(f"evaluate {Path(data).name}") as report:
        return score(
            predictor, entries, task, channels, sigma=noise, seed=seed, crop=square, workers=workers, progress=report
        )


def evaluate_stream(
    network: SpikingNetwork,
    frames: str | Path | Iterable[Image],
    task: Task,
    *,
    references: Iterable[Float32 | Int64] | None = None,
    model: str | Path | None = None,
    backend: str = "cpu",
    noise: float = 0.0,
    seed: int = 0,
    crop: tuple[int, int] | None = None,
    chosen: slice = slice(None),
    bin: float | None = None,  # noqa: A002  # what it is called
    dead_zone: float = 0.0,
    hold: int = 0,
) -> StreamEvaluation:
    """Scores and operations of ``network`` on every frame of a stream, states carried over, and on the sequence.

    ``frames``: a path as of ``snn-deploy evaluate --stream``, a data set with references among them; or float arrays (1, C, H, W),
    one after the other, as the network reads them, and their ``references``: pictures (1, C, H, W) from 0 to 1 for ``denoise``,
    label maps (H, W) of integers for ``segment``. ``model``, the float network (.onnx), is compared with, too. ``noise``, ``seed``,
    ``crop`` (H, W), the range ``chosen`` and ``bin``, the time of a frame of events, are those of a path. ``dead_zone`` and
    ``hold`` are those of :meth:`SpikingNetwork.stream <snn_deploy.api.SpikingNetwork.stream>`.
    :class:`~snn_deploy.errors.StimulusError` for a frame that nothing is there to compare with.
    """
    net, total = network.network, None
    samples: Iterable[FrameSample]
    if isinstance(frames, str | Path):
        if references is not None:
            raise StimulusError("references go with arrays; a path brings its own, as a data set has them")
        first, last, size = chosen.start or 0, chosen.stop, (net.input.shape[1], net.input.shape[2])
        path = Frames(Path(frames), net.input.shape[0], crop, noise, seed, net.picture, first, last, bin, size)
        read = FrameSamples(path, task)
        samples, total = read, read.number
    elif (noise, crop, chosen, bin) != (0.0, None, slice(None), None):
        raise StimulusError(
            "noise, crop, chosen and bin are those of a path; prepare arrays as the network shall see them"
        )
    else:
        samples = _pair(frames, references)
    with watched(f"evaluate {net.name}, frames") as report:
        return score_frames(
            net,
            load_backend(backend),
            samples,
            task,
            model=None if model is None else Path(model),
            dead_zone=quantize_dead_zone(net, dead_zone),
            hold=hold,
            total=total,
            progress=report,
        )


def _pair(frames: Iterable[Image], references: Iterable[Float32 | Int64] | None) -> Iterator[FrameSample]:
    """Arrays with what they are judged by, if anything."""
    if references is None:
        yield from (FrameSample(f"frame {number}", seen) for number, seen in enumerate(frames))
        return
    for number, (seen, wanted) in enumerate(zip(frames, references, strict=True)):
        yield FrameSample(f"frame {number}", seen, wanted)


def finetune(
    model: str | Path,
    data: str | Path,
    task: Task,
    out: str | Path,
    *,
    options: Options | str = "exact",
    noise: float = 0.0,
    seed: int = 0,
    iterations: int = 800,
    batch: int = 8,
    patch: int = 64,
    rate: float = 2e-3,
    validation: float = 0.1,
    loss: Literal["float", "data"] = "float",
    operations: float | None = None,
    device: str = "cpu",
) -> Tuned:
    """Convert ``model`` with ``options`` and train its network's integers on ``data``; needs PyTorch (extra ``train``).

    Writes the network to ``out`` (.snn), and returns it with the checks on the share ``validation`` of the images; ``data`` must
    never be the test set. ``loss``: what outputs should be near to, those of the ``float`` model, for which any images will do, or
    the labels or clean images of the ``data``. ``rate`` is Adam's learning rate, as a share of the largest weight; ``patch`` the
    side of the patches, of which ``batch`` make a training step. ``operations``: the most synaptic operations per multiplication of
    the plain conversion, by fewer events, weights and channels; ``Tuned.is_met`` says whether that was reached.
    ``options`` may name a preset; that of the published neuron has units by least square error (``scale="mmse"``) here.
    :class:`~snn_deploy.errors.BackendUnavailableError` without PyTorch, ``ReportError`` where ``out`` cannot be written.
    """
    try:
        from snn_deploy.finetuning.data import Data, list_training
        from snn_deploy.finetuning.training import Schedule
        from snn_deploy.finetuning.training import finetune as train
    except ImportError as error:
        raise BackendUnavailableError(f"fine-tuning needs torch: {error}; {suggest_extras('train')}") from error
    source, path = Path(model), Path(out)
    if path.suffix != ".snn" or not path.parent.is_dir():
        raise ReportError(f"{path}: name a .snn file in a folder that exists")
    chosen = training_preset(options) if isinstance(options, str) else options
    entries = list_training(Path(data), task)
    drawn = Data.of(entries, task, own_channels(source), validation, noise, patch, seed)
    schedule = replace(Schedule(iterations), batch=batch, rate=rate, seed=seed, loss=loss, operations=operations)
    with watched("finetune") as report:
        tuned = train(
            source,
            drawn.scaled(input_scale(source, None, None, None)),
            chosen,
            schedule,
            device=device,
            checkpoint=path.with_suffix(".checkpoint"),
            report=lambda done, total, _: None if report is None else report(done, total),
        )
    artifact.save(tuned.network, path)
    return tuned


def emit(
    network: SpikingNetwork,
    path: str | Path,
    to: Literal["lava", "sanafe", "onnx", "net", "nir"] = "lava",
    *,
    images: Image | None = None,
    plan: str | Path | Plan | None = None,
    checked: bool = True,
    stream: bool = False,
    hold: int = 0,
) -> Path:
    """Write ``network`` for others: a Lava bundle or SANA-FE's files (folders), integer ONNX, ``.net`` or NIR.

    None of them needs this project. ``images`` (B, C, H, W; one for SANA-FE) become a folder's input, and decide its size.
    ``plan``, its file or value: a folder of bundles, one for each group of layers, and a program that runs the image in tiles.
    ``checked``: the rules of Loihi 2 are checked for a bundle, too. ``stream``: a bundle whose images are the frames of one stream
    (``images`` are those of its self-check), which hold changes of ``hold`` counts back.
    :class:`~snn_deploy.errors.BackendUnavailableError` where the backend is missing, and the writers' own errors for a network
    that the form cannot hold.
    """
    place, chosen, stimulus = Path(path), network.network, None
    opened = None if plan is None else open_plan(plan, network.network)
    if (stream or hold) and (not stream or to != "lava" or opened is not None):
        raise BackendUnavailableError(
            "a stream is written as a Lava bundle, without a plan; hold acts in one: emit(stream=True, to='lava')"
        )
    if images is not None:
        chosen, stimulus = prepare_stimulus(chosen, images)
    if stream:
        chosen = prepare_stream(chosen, hold)
    if opened is not None and to not in WRITERS:
        emit_plan(opened, chosen, stimulus, load_backend(to), place, load_backend("reference"), checked=checked)
        return place
    if to in WRITERS:
        if opened is not None:
            raise BackendUnavailableError(f"a plan cannot be written as {to}; choose lava")
        WRITERS[to](chosen, place)
        return place
    backend = load_backend(to)
    if not isinstance(backend, Emitter):
        raise BackendUnavailableError(f"backend {to} cannot write a bundle")
    backend.emit(chosen, place, stimulus, checked=checked)
    return place


def write_report(
    network: SpikingNetwork,
    path: str | Path,
    image: Image,
    *,
    model: str | Path | None = None,
    noise: float = 0.0,
    seed: int = 0,
    backend: str = "cpu",
    backends: str | Sequence[str] = ("reference", "cpu"),
    level: str = "train",
    target: str | Path = "loihi2",
    curve: bool = False,
    stream: StreamEvaluation | None = None,
) -> Contents:
    """Run ``image`` (1, C, H, W), compare ``backends`` on it, estimate its energy, and write it all as one HTML file.

    ``noise / 255`` is added to the image, which is then the clean one. ``model``, the float model, adds its output, the loss of
    every layer, the operators and, with ``curve``, quality over the levels, which takes six conversions; ``stream``, which
    :func:`evaluate_stream` returns, curves over frames. Returns what the report shows: its ``verdict``, ``energy``, ``mapping``
    and ``losses``.
    :class:`~snn_deploy.errors.ReportError` where the file cannot be written or the model is another network's.
    """
    from snn_deploy.report import render_page  # needs Jinja2, which the other functions do without
    from snn_deploy.report.collect import collect_contents
    from snn_deploy.report.request import Request

    labels = {known.label: known for known in Level}
    if level not in labels:
        raise VerificationError(f"level {level!r} is unknown; there are {', '.join(labels)}")
    picture = network.network.picture
    request = Request(
        network.network,
        image,
        image if noise == 0 else files.add_noise(image, noise, seed, picture),
        source="the image",
        artifact=network.network.name,
        noise=noise,
        seed=seed,
        model=None if model is None else Path(model),
        curve=curve,
        backend=backend,
        backends=split_names(backends),
        level=labels[level],
        target=target,
        stream=stream,
    )
    contents = collect_contents(request, watched)
    write(Path(path), render_page(contents))
    return contents

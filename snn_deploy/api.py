"""The public functions, for scripts and notebooks; ``import snn_deploy as sd`` offers all of them.

Examples
--------
>>> import numpy as np
>>> import snn_deploy as sd
>>> photo = np.random.default_rng(0).random((1, 1, 32, 32), np.float32)
>>> net = sd.convert("models/denoiser_s25.onnx", calibration=[photo], size=(32, 32))
>>> net
SpikingNetwork(denoiser_s25: exact mode, 16 populations, images (1, 32, 32), 16 steps)
>>> run = net.run(photo, backend="reference")
>>> run.output.shape
(1, 1, 32, 32)
>>> sd.verify(net, photo).exit_code
0
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from snn_deploy.activity.counting import count_activity
from snn_deploy.arrays import Float32, Float64, Int64
from snn_deploy.backend.protocol import Record, Run
from snn_deploy.backend.registry import load_backend, split_names
from snn_deploy.backend.stream_file import load_state
from snn_deploy.conversion import convert as pipeline
from snn_deploy.conversion.choose import Bench, choose
from snn_deploy.conversion.convert import Converted
from snn_deploy.conversion.findings import Findings, examine
from snn_deploy.conversion.options import Options, preset
from snn_deploy.cost.energy import estimate as energy_of
from snn_deploy.cost.estimates import EnergyEstimate
from snn_deploy.cost.loads import choose_record
from snn_deploy.data import images
from snn_deploy.data.calibration import load_calibration
from snn_deploy.data.image_stream import ImageStream
from snn_deploy.data.result_files import ResultFiles
from snn_deploy.data.stimulus import prepare_stimulus, quantize_dead_zone
from snn_deploy.display.watching import watched
from snn_deploy.errors import BackendUnavailableError, ConversionError, VerificationError
from snn_deploy.finetuning.export import serialize_model
from snn_deploy.network import artifact
from snn_deploy.network.network import Network
from snn_deploy.network.streaming import prepare_stream
from snn_deploy.planning.hardware import choose_hardware
from snn_deploy.planning.plan import Plan, open_plan
from snn_deploy.planning.planned import PlannedBackend
from snn_deploy.planning.weigh import Option, Preference, choose_option, weigh
from snn_deploy.targets.load import load_target
from snn_deploy.verification import Level, Trace, Verdict
from snn_deploy.verification.proof import Proof, prove_backend
from snn_deploy.verification.session import Session
from snn_deploy.verification.stimuli import Stimuli
from snn_deploy.verification.traces.recordings import Readout

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

Image = Float32
Calibration = str | Path | Image | Sequence[str | Path | Image] | None


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """What a network did with a batch: ``run`` holds spikes, ``outputs`` the real values a user wants, by name.

    Each is float64 (B, C, H, W), after the host's functions (sigmoid, softmax, ...).
    """

    network: Network
    run: Run
    outputs: Mapping[str, Float64]

    @property
    def output(self) -> Float64:
        """The first of ``outputs``, for networks that have only one."""
        return self.outputs[self.network.outputs[0].name]

    def save(self, path: str | Path, *, labels: bool = False, colors: bool = False) -> tuple[Path, ...]:
        """Write every output as ``.npy`` or image, named as by ``snn-deploy run --out``; returns the files.

        ``labels``: the class of every pixel; ``colors``: label images with a palette.
        :class:`~snn_deploy.errors.ReportError` where an output cannot be written so, and then none is.
        """
        files = ResultFiles(Path(path), self.network, self.output.shape[0], labels, colors)
        return tuple(written.path for written in files.write(self.run))

    @property
    def counts(self) -> Mapping[str, Int64]:
        """Spike counts (B, C, H, W) int64 of every population, by name."""
        return self.run.counts

    @property
    def events(self) -> Mapping[str, Int64]:
        """Messages (B, C, H, W) int64 that every neuron sent, by name of the population."""
        return self.run.events

    def __repr__(self) -> str:
        total = sum(int(events.sum()) for events in self.events.values())
        return f"Result({self.network.name} on {self.run.backend}: output {self.output.shape}, {total:,} events)"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from snn_deploy.display.columns import fit
        from snn_deploy.display.tables import run_table

        yield fit(run_table(self.network, self.run), options.max_width, silent=("saturated",), optional=("engine",))

    def _repr_html_(self) -> str | None:
        return _html(self)


@dataclass(frozen=True, eq=False, repr=False)
class SpikingNetwork:
    """A spiking network; it takes images of any size that its pooling allows.

    With a mean over the whole image, or resizing that aligns the corners, it takes only the size that it was converted for.
    """

    network: Network
    findings: Findings | None = None
    """What :func:`convert` lost, in the unit of the task, which layers cost it, and what would help."""

    def run(
        self,
        images: Image,
        backend: str = "cpu",
        record: Record | str = Record.COUNTS,
        plan: str | Path | Plan | None = None,
    ) -> Result:
        """Run real images (B, C, H, W), float; a few values outside the calibrated range are clipped.

        In ``rate`` mode (B, T, C, H, W), too: an image for each of the T steps of the window. ``record``: counts, trains or states.

        ``plan``, of :func:`plan` or its file: in tiles. :class:`~snn_deploy.errors.StimulusError` for a shape that does not
        fit, ``PlanError`` for a plan of another network or image size, ``BackendError`` where the backend fails.
        """
        chosen = None if plan is None else open_plan(plan, self.network)
        sized, payloads = prepare_stimulus(self.network, images)
        run = _run(sized, payloads, backend, Record.of(record), chosen)
        return Result(sized, run, run.read_outputs(sized))

    def stream(
        self, backend: str = "cpu", resume: str | Path | None = None, *, dead_zone: float = 0.0, hold: int = 0
    ) -> Stream:
        """A stream of frames with states carried over, from rest or from the states saved in the file ``resume``.

        ``dead_zone``: values that differ by at most ``dead_zone / 255`` of the way from black to white from what was sent of
        them last are not sent; the result is exactly that of the frame that was sent. ``hold``: neurons do not send changes
        of at most so many counts, which saves operations and costs quality.

        :class:`~snn_deploy.errors.NetworkError` for a network of rate mode; ``OverflowProofError`` where 24 bits do not hold
        every change from one frame to any other: convert with ``Options(stream=True)``.
        """
        width = quantize_dead_zone(self.network, dead_zone)
        if resume is None:
            prepare_stream(self.network, hold)
            return Stream(self.network, load_backend(backend), width, hold=hold)
        network, state = load_state(Path(resume), self.network, hold)
        return Stream(network, load_backend(backend), width, state)

    def estimate(
        self, images: Image, target: str | Path = "loihi2", backend: str = "cpu", *, streamed: bool = False
    ) -> EnergyEstimate:
        """Joules and seconds per image on ``target`` (a name or a TOML file), with bands and sources.

        One at a time, or ``streamed``: the next image enters before the one before has left the last layer.
        """
        sized, payloads = prepare_stimulus(self.network, images)
        run = _run(sized, payloads, backend, choose_record(sized, payloads.shape[0]))
        return energy_of(sized, count_activity(sized, run), load_target(target), streamed=streamed)

    def read_image(self, path: str | Path) -> Image:
        """The picture or array at ``path`` as float32 (B, C, H, W), in the channels and the range that the network reads."""
        return images.read_images(Path(path), self.network.input.shape[0], self.network.picture)

    def save(self, path: str | Path) -> str:
        """Write the artifact (.snn); returns its SHA-256."""
        return artifact.save(self.network, Path(path))

    def __repr__(self) -> str:
        net = self.network
        return (
            f"SpikingNetwork({net.name}: {net.mode} mode, {len(net.populations)} populations, "
            f"images {net.input.shape}, {net.duration} steps)"
        )

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from snn_deploy.display.columns import fit
        from snn_deploy.display.tables import network_table

        yield fit(network_table(self.network), options.max_width, optional=("unit", "sources"))

    def _repr_html_(self) -> str | None:
        return _html(self)


class Stream(ImageStream):
    """Frames one after the other, of which only the changes are computed; made by :meth:`SpikingNetwork.stream`.

    The first frame decides the size of all. After an error a stream cannot go on; begin another one.
    """

    def push(self, frame: Image, record: Record = Record.COUNTS) -> Result:
        """Run the next frame, float (B, C, H, W), B streams side by side.

        Counts and outputs of the result are those of the same network for this frame alone; its events are those that the
        change from the frame before took. :class:`~snn_deploy.errors.StimulusError` for a frame of another size.
        """
        run = self.run(frame, record)
        return Result(self.network, run, run.read_outputs(self.network))


def _run(network: Network, payloads: Int64, backend: str, record: Record, plan: Plan | None = None) -> Run:
    engine = load_backend(backend) if plan is None else PlannedBackend(load_backend(backend), plan)
    with watched(f"{backend}: {network.name}") as report:
        return engine.run(network, payloads, record, report)


def load(path: str | Path) -> SpikingNetwork:
    """Read an artifact (.snn); :class:`~snn_deploy.errors.ArtifactError` for a damaged one."""
    return SpikingNetwork(artifact.load(Path(path)))


def convert(
    model: Any,
    calibration: Calibration = None,
    options: Options | str | None = None,
    *,
    size: tuple[int, int] | None = None,
    noise: float = 0.0,
    seed: int = 0,
    span: tuple[float, float] | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    fixed: bool = False,
    example: Image | None = None,
) -> SpikingNetwork:
    """Convert a ``model``: an ONNX file, an ``onnx.ModelProto``, or a ``torch.nn.Module``, which is traced on ``example``.

    ``calibration``: files and folders of images, float arrays (B, C, H, W), or ``None`` for scikit-image's photographs;
    patches of them, with Gaussian noise of ``noise / 255``, show how large activations get. ``span`` is what black and white
    stand for, (0, 255) say, by default what the model's file tells, else (0, 1); ``mean``, in its units, is subtracted, and
    ``std`` divides; arrays of floats are taken as they are, and pictures and integers brought to this scale. ``options`` may
    be the name of a preset, such as ``"spiking-unet"``. Without :class:`Options`, and unless ``fixed``, the loss is measured
    (``findings``), and in exact mode others than the preset's are tried where much is lost. ``size`` (H, W): of the images to come,
    by default the model's own, else 128 x 128. Raises :class:`~snn_deploy.errors.ModelError`,
    ``UnsupportedModelError`` (every node without a rule, at once) or ``ConversionError``.
    """
    if size is not None and (not isinstance(size, Sequence) or len(size) != 2):
        raise ConversionError(f"size is {size!r}; give (height, width)")
    path = Path(model) if isinstance(model, str | Path) else serialize_model(model, example)
    patch = pipeline.calibration_size(path, size)
    chosen = preset(options) if isinstance(options, str) else options
    source = list_sources(calibration)
    picture = pipeline.input_scale(path, span, list_numbers(mean), list_numbers(std))
    channels = pipeline.input_channels(path, patch or pipeline.input_size(path))
    loaded = load_calibration(source, channels, noise, seed, patch, picture)
    with watched(f"converting {path.name if isinstance(path, Path) else 'the model'}") as report:
        converted = pipeline.convert(path, loaded.seen, chosen, size, progress=report, picture=picture)
    usual = chosen or Options()
    if fixed or isinstance(options, Options):
        return SpikingNetwork(converted.conversion.network)
    statistics = converted.conversion.statistics
    bench = Bench(path, loaded.seen, picture, statistics, loaded.held_back, loaded.clean, form=usual.form)
    return _choose(bench, converted, usual)


def _choose(bench: Bench, converted: Converted, options: Options) -> SpikingNetwork:
    """The conversion that loses least on held-back images; ``converted`` without the cpu backend, which measures it."""
    try:
        backend = load_backend("cpu")
    except BackendUnavailableError:
        return SpikingNetwork(converted.conversion.network)
    with watched("measuring what is lost") as report:
        choice = choose(bench, backend, converted, options, progress=report)
    with watched("looking for what would help") as report:
        findings = examine(bench, backend, choice, progress=report)
    return SpikingNetwork(choice.converted.conversion.network, findings)


def list_sources(calibration: Calibration) -> list[Path | Image] | None:
    """Files, folders and arrays of ``calibration``; :class:`ConversionError` for anything else."""
    if not isinstance(calibration, str | Path | np.ndarray | Sequence | None):
        raise ConversionError(f"calibration is {type(calibration).__name__}; give files, folders or arrays of images")
    given = [calibration] if isinstance(calibration, str | Path | np.ndarray) else calibration
    return None if given is None else [Path(each) if isinstance(each, str) else each for each in given]


def list_numbers(given: float | Sequence[float] | None) -> tuple[float, ...] | None:
    """One number, or one for each channel, as floats."""
    return None if given is None else tuple(float(value) for value in np.atleast_1d(np.asarray(given, np.float64)))


def verify(
    network: SpikingNetwork,
    images: Image,
    backends: str | Sequence[str] = ("reference", "cpu"),
    level: str | Level | None = None,
    *,
    traces: Sequence[str | Path | Trace] = (),
    spread: bool = False,
    share: float = 1.0,
    mark: int | None = None,
    bits: int | None = None,
    dt: float | None = None,
) -> Verdict:
    """Verify that ``backends``, and recordings of a chip (``traces``), show the same spikes on ``images`` (B, C, H, W).

    The first backend is the baseline. ``level``: output-count, layer-count, neuron-count, train (every event) or state
    (every membrane too). The verdict's ``exit_code`` is 0 equal, 1 different, 2 not compared; at levels train and state
    its ``story`` says which population introduced the first error and its ``cause`` which mistake explains that. The
    default is train; neuron-count with ``spread``.

    ``traces`` are files (.npz, .nir, SANA-FE's .csv or a folder of these) or :class:`Trace` values, whose batches follow
    the images. ``spread``: they are two or more recordings of one chip that is not deterministic, judged by how much they
    differ from each other; the verdict may then be "within spread" (exit code 2). ``share``: part of each population that
    must have been probed. ``mark``: membrane that a read-out shows at a spike (Loihi: 128); ``bits``: words were read as
    unsigned; ``dt``: length of a step in NIRData with event times.
    :class:`~snn_deploy.errors.VerificationError` for a recording that is damaged, or of another network or other images.
    """
    labels = {known.label: known for known in Level}
    if isinstance(level, str) and level not in labels:
        raise VerificationError(f"level {level!r} is unknown; there are {', '.join(labels)}")
    usual = Level.NEURON_COUNT if spread else Level.TRAIN
    asked = usual if level is None else labels[level] if isinstance(level, str) else level
    paths = (Path(trace) if isinstance(trace, str) else trace for trace in traces)
    session = Session(split_names(backends), asked, tuple(paths), share, Readout(mark, bits, dt), spread=spread)
    return session.verify(Stimuli.of_images(network.network, images), watched).verdict


def prove(network: SpikingNetwork, backend: str = "cpu") -> Proof:
    """Prove that ``backend`` computes the counts of ``network`` for all inputs, not only for images that were run.

    The proof's ``exit_code`` is 0 proved, 1 refuted by an example, 2 open; its ``obligations`` say why.
    """
    with watched(f"proving {backend}: {network.network.name}") as report:
        return prove_backend(network.network, load_backend(backend), report)


def plan(
    network: SpikingNetwork,
    images: Image,
    *,
    chips: int | None = None,
    cores: int | None = None,
    board: str | None = None,
    target: str | Path = "loihi2",
    max_loss: float = 0.0,
    prefer: Preference = "traffic",
    clean: Image | None = None,
    backend: str = "cpu",
) -> tuple[Plan, tuple[Option, ...]]:
    """How ``network`` runs on images like ``images`` (B, C, H, W) in tiles that the hardware at hand holds.

    One chip by default, or ``chips``, ``cores`` or a ``board`` of ``target``. Returns the chosen plan and all options: cost,
    error, and loss in dB against the ``clean`` pictures. The chosen one has an output error of at most ``max_loss`` (0 to 1)
    of the output's variation, and least of what ``prefer`` names: ``traffic`` of the host, time (``speed``) or ``energy``.
    :class:`~snn_deploy.errors.PlanError` where no tile fits, all lose more, or the network sees the whole image.
    """
    device = load_target(target)
    hardware = choose_hardware(device, chips=chips, cores=cores, board=board)
    sized, payloads = prepare_stimulus(network.network, images)
    with watched(f"plans of {network.network.name}") as report:
        options = weigh(network.network, sized, payloads, device, hardware, load_backend(backend), clean, report)
    return choose_option(options, max_loss, prefer).finished, options


def read_image(path: str | Path, channels: int = 1) -> Image:
    """The image at ``path`` as float32 (1, C, H, W) in [0, 1]; a TIFF of B pages as (B, C, H, W).

    :meth:`SpikingNetwork.read_image` knows the channels and the range that a network reads.
    """
    return images.read_images(Path(path), channels)


def _html(shown: SpikingNetwork | Result) -> str | None:
    """What a notebook shows; without rich it falls back to ``repr``."""
    try:
        from snn_deploy.display.notebook import html
    except ModuleNotFoundError:
        return None
    return html(shown)


if "IPython" in sys.modules:
    with suppress(ModuleNotFoundError):
        from snn_deploy.display.notebook import offer_tables

        offer_tables()

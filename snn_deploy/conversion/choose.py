r"""Options by measurement: where the usual ones lose much, others are tried, and those that lose least are kept.

No rule for levels and scales is best for every network, but a loss is cheap to measure once activations are known. A conversion
whose error on held-back images is at most :data:`ENOUGH` is kept as it is. Otherwise the stages of :data:`STAGES` follow, from what
helps most networks to what helps few. A candidate is kept if its error is at most :data:`GAIN` times that of the best before it,
and the next stage changes the one that was kept; an error of at most :data:`ENOUGH` ends the search.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from itertools import count

import numpy as np

from snn_deploy.backend.protocol import Backend, Progress
from snn_deploy.conversion.calibrate import Statistics
from snn_deploy.conversion.convert import Converted, Model, convert
from snn_deploy.conversion.layer_cost import LayerCost, measure_costs
from snn_deploy.conversion.layer_levels import LayerLevels, allot_levels
from snn_deploy.conversion.layers import group_layers
from snn_deploy.conversion.loss import Loss, Truth, measure_loss
from snn_deploy.conversion.lower import Conversion
from snn_deploy.conversion.options import RANGES, Options
from snn_deploy.conversion.task_loss import Measure
from snn_deploy.data.images import Images
from snn_deploy.errors import ConversionError, NetworkError
from snn_deploy.frontend.onnx import read
from snn_deploy.graph.ops import LeakyRelu
from snn_deploy.network import bounds
from snn_deploy.network.picture_scale import PictureScale
from snn_deploy.passes import Form, normal_form
from snn_deploy.shapes import Size

ENOUGH = 0.015
"""Error at which nothing else is tried: 1.5 % of the output's variation cost the shipped denoisers 0.03 to 0.05 dB."""

ENOUGH_DB = 0.04
"""Lost PSNR in dB at which nothing else is tried, where clean images are known."""

GAIN = 0.9
"""A candidate must lose less than this share of what the best one before it loses, so that no choice hangs on chance."""

CLIPPING_GAIN = 0.5
"""The same for a percentile, which clips the largest activations: what that costs on images to come, four cannot show."""

COST_IMAGES = 4
"""Images on which the costs of layers are measured."""

Changes = Mapping[str, str | int | float | bool]

SCALES: tuple[Changes, ...] = (
    {"scale": "max"},
    {"scale": "percentile"},
    {"normalization": "channel-wise"},
    {"normalization": "channel-wise", "scale": "max"},
)

BY_COST: tuple[Changes, ...] = ({"layer_levels": 0.004}, {"layer_levels": 0.0015})
"""More levels for layers whose rounding costs more at the output than this part of its variation, and no more for others.

Sixteen layers of 0.4 % each are the 1.5 % of :data:`ENOUGH` together.
"""

STAGES: tuple[tuple[Changes, ...], ...] = (
    ({"levels": 255}, *BY_COST, {"levels": 1023}),
    ({"theta": "integer"},),
    SCALES,
    ({"equalization": True},),
)
"""What is changed, stage by stage; thresholds only of weights of fewer than 8 bits, which alone gain much by them."""


@dataclass(frozen=True)
class Trial:
    """Options, and the loss of the network converted with them, or the reason why it was refused."""

    options: Options
    loss: Loss | None
    refusal: str = ""

    @property
    def error(self) -> float:
        """The output's error; infinite where the options were refused."""
        return math.inf if self.loss is None else self.loss.error

    @property
    def is_enough(self) -> bool:
        """Whether PSNR, where it was measured, loses at most :data:`ENOUGH_DB`; elsewhere whether the error is small."""
        task = None if self.loss is None else self.loss.task
        if task is None or task.expected_db is None:
            return self.error <= ENOUGH
        return max(task.value, task.expected_db) <= ENOUGH_DB


@dataclass(frozen=True, eq=False)
class Attempt:
    """A trial, and the conversion that was measured; ``None`` where the options were refused."""

    trial: Trial
    converted: Converted | None


@dataclass(frozen=True, eq=False)
class Choice:
    """What was converted in the end, the trial that it is of, all trials, the first as asked for, and the reason."""

    converted: Converted
    trial: Trial
    trials: tuple[Trial, ...]
    reason: str


@dataclass(frozen=True, eq=False)
class Bench:
    """What candidates are converted from and measured against.

    ``picture`` and ``statistics`` are those of ``images``; conversion does not see the ``held_back`` ones of the same size, which
    are ``clean`` without their noise. ``measure_by`` is the measure of the task, where the images do not tell it; ``form`` is
    that of the layers in ``statistics``. Candidates of another form have other layers, which are measured when they come.
    """

    model: Model
    images: Images
    picture: PictureScale
    statistics: Mapping[str, Statistics]
    held_back: Images
    clean: Images | None = None
    measure_by: Measure | None = None
    form: Form = Options().form

    @property
    def truth(self) -> Truth:
        """The float network's values on the images held back, of the layers of :attr:`form`."""
        return self.truth_in(self.form)

    def truth_in(self, form: Form) -> Truth:
        """The float network's values on the images held back, of the layers of ``form``."""
        if form not in self._truths:
            clean, picture, measure = self.clean, self.picture, self.measure_by
            self._truths[form] = Truth.of(self.model, self.held_back, clean, picture, measure, form)
        return self._truths[form]

    @cached_property
    def has_slopes(self) -> bool:
        """Whether some activation of the model is a LeakyReLU or PReLU that may take one population or two."""
        nodes = read(self.model, self._size).graph.nodes
        return any(isinstance(node.op, LeakyRelu) and np.any(node.op.slope > 0) for node in nodes)

    @cached_property
    def _truths(self) -> dict[Form, Truth]:
        return {}

    def convert(self, options: Options, size: Size | None = None) -> Converted:
        """The model with ``options`` for ``size``, by default that of the images."""
        known = self.statistics if options.form == self.form else None
        return convert(self.model, self.images, options, size or self._size, known, picture=self.picture)

    @property
    def _size(self) -> Size:
        _, _, height, width = self.images[0].shape
        return height, width

    def fit(self, converted: Converted, options: Options) -> Conversion:
        """The conversion ``converted``, made with ``options``, at the size of the held-back images whatever its own is."""
        conversion = converted.conversion
        try:
            return replace(conversion, network=conversion.network.at_size(*self._size))
        except NetworkError:  # something in it is made pixel by pixel
            return self.convert(options).conversion

    def measure(self, converted: Converted, options: Options, backend: Backend) -> Loss:
        """The loss of ``converted`` on the held-back images."""
        return measure_loss(self.fit(converted, options), self.truth_in(options.form), backend)

    def measure_costs(self, converted: Converted, options: Options) -> tuple[LayerCost, ...]:
        """What every layer of ``converted``, made with ``options``, costs on images of the calibration."""
        graph = normal_form(read(self.model, self._size).graph, options.form)
        conversion = replace(self.fit(converted, options), layers=group_layers(graph))
        return measure_costs(conversion, graph, self.images[:: -(-len(self.images) // COST_IMAGES)])

    def attempt(self, options: Options, backend: Backend) -> Attempt:
        """Convert with ``options`` for the size of the images, and measure."""
        try:
            converted = self.convert(options)
            return Attempt(Trial(options, self.measure(converted, options, backend)), converted)
        except ConversionError as error:
            return Attempt(Trial(options, None, str(error)), None)

    def enlarge(self, converted: Converted, options: Options, size: Size) -> Converted:
        """``converted``, made with ``options`` for the size of the images, for images of ``size``."""
        if size == self._size:
            return converted
        conversion, imported = converted.conversion, read(self.model, size)
        try:
            network = conversion.network.at_size(*size)
        except NetworkError:
            return self.convert(options, size)
        graph = normal_form(imported.graph, options.form)
        layers = replace(group_layers(graph), name=conversion.layers.name)
        return Converted(imported, replace(conversion, network=network, layers=layers, bounds=bounds.prove(network)))


def choose(
    bench: Bench,
    backend: Backend,
    converted: Converted,
    options: Options,
    *,
    given: Collection[str] = (),
    search: bool = False,
    progress: Progress | None = None,
) -> Choice:
    """The conversion with the least loss for the size of ``converted``, which was made with ``options``.

    Fields that are ``given`` are not changed. ``search`` goes through all stages, however little is lost. Where there was a
    choice, the network's ``config`` tells the reason.
    """
    first = Trial(options, bench.measure(converted, options, backend))
    stages = tuple(_free_stages(options, given, search=search))
    if not stages:
        return Choice(converted, first, (first,), "options as given")

    costs = cache(lambda: bench.measure_costs(converted, options))

    def allot(allowed: float) -> LayerLevels:
        source = converted.conversion.network.input.name
        return allot_levels([each for each in costs() if each.name != source], options.levels, allowed)

    trials, kept = [first], None
    for attempt in _compare(bench, backend, first, stages, allot, search=search, progress=progress):
        trials.append(attempt.trial)
        kept = attempt.converted if choose_best(trials) is attempt.trial else kept
    best = choose_best(trials)
    if kept is None:
        tried = "" if len(trials) == 1 else f"; none of {len(trials) - 1} others loses much less"
        return _chosen(converted, first, trials, f"{first.error:.2%} error with the options as given{tried}")
    _, height, width = converted.conversion.network.input.shape
    other = bench.enlarge(kept, best.options, (height, width))
    changes = describe(best.options, options)
    return _chosen(other, best, trials, f"{changes}: {best.error:.2%} error instead of {first.error:.2%}")


def _chosen(converted: Converted, trial: Trial, trials: Sequence[Trial], reason: str) -> Choice:
    """The choice, whose reason the network's ``config`` keeps."""
    network = converted.conversion.network
    named = replace(network, config={**network.config, "choice": reason})
    kept = replace(converted, conversion=replace(converted.conversion, network=named))
    return Choice(kept, trial, tuple(trials), reason)


def has_free_options(options: Options) -> bool:
    """Whether others are tried: in exact mode, with this project's neuron. Other networks are asked for as they are."""
    return not options.is_rate and options.neuron == "multi-threshold"


def _free_stages(options: Options, given: Collection[str], *, search: bool) -> Iterator[tuple[Changes, ...]]:
    """Stages whose changes touch nothing that is ``given``; those of scales alone where the network is another's."""
    kept = {
        *given,
        *(("levels",) if options.device == "akida" else ()),
        *(("layer_levels",) if "levels" in given or options.device == "akida" else ()),
        *(("theta",) if options.weight_bits == RANGES["weight_bits"][1] else ()),
    }
    for stage in STAGES if has_free_options(options) else (SCALES,) if search else ():
        left = tuple(changes for changes in stage if not kept & set(changes))
        if left:
            yield left


def _compare(
    bench: Bench,
    backend: Backend,
    first: Trial,
    stages: Sequence[Sequence[Changes]],
    allot: Callable[[float], LayerLevels],
    *,
    search: bool,
    progress: Progress | None,
) -> Iterator[Attempt]:
    """Candidates of all ``stages``, each changed from what was best before its stage; ``allot`` gives levels to layers."""
    numbers, total, best = count(1), sum(map(len, stages)), first
    for stage in stages:
        start = best
        for changes in stage:
            if best.is_enough and not search:
                return
            if progress is not None:
                progress(next(numbers), total)
            if changes in BY_COST:
                levels = {"layer_levels": allot(float(changes["layer_levels"]))}
                attempt = _changed(bench, backend, first.options, levels)
            else:
                attempt = _changed(bench, backend, start.options, changes)
            if attempt is not None:
                yield attempt
                best = choose_best((best, attempt.trial))


def _changed(
    bench: Bench, backend: Backend, options: Options, changes: Changes | Mapping[str, LayerLevels]
) -> Attempt | None:
    """The trial of ``options`` with ``changes``; ``None`` where nothing changes or the two do not combine."""
    try:
        changed = replace(options, **changes)
    except ConversionError:
        return None
    return None if changed == options else bench.attempt(changed, backend)


def choose_best(trials: Sequence[Trial]) -> Trial:
    """The trial that the stages end with: each better than the best before it by :data:`GAIN`, the first of all else."""
    best = trials[0]
    for trial in trials[1:]:
        clips = trial.options.scale == "percentile" != best.options.scale
        best = trial if trial.error < (CLIPPING_GAIN if clips else GAIN) * best.error else best
    return best


def describe(options: Options, base: Options) -> str:
    """What ``options`` change of ``base``: ``levels 255, scale max``."""
    before, after = asdict(base), asdict(options)
    changed = [f"{name.replace('_', ' ')} {after[name]}" for name in after if after[name] != before[name]]
    if options.layer_levels != base.layer_levels:
        counts = [levels for _, levels in options.layer_levels]
        changed = [each for each in changed if not each.startswith("layer levels ")]
        changed.append(f"levels of {len(counts)} layers up to {max(counts, default=0)}")
    return ", ".join(changed) or "as given"

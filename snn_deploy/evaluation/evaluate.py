"""Task scores of a network over many images: predictors, tiling, scores, activity and energy.

A *predictor* maps one image (1, C, H, W) to a :class:`Prediction`. Spiking networks and float models are both
predictors, so their scores are computed by the same code. Large images are split into overlapping tiles; each pixel is
taken from the tile in which it is farthest from the border. Images are padded by reflection to a size that the network
supports, and the result is cropped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from snn_deploy.activity.activity import Activity
from snn_deploy.activity.counting import count_activity
from snn_deploy.arrays import Float64, Int64
from snn_deploy.backend.protocol import Backend, Progress, Record
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.conversion.calibrate import ActivationProbe
from snn_deploy.conversion.convert import open_float_probe
from snn_deploy.cost.energy import estimate
from snn_deploy.cost.loads import choose_record
from snn_deploy.data import images
from snn_deploy.data.curve import count_odds, find_odds, measure_area
from snn_deploy.data.images import Image
from snn_deploy.data.metrics import (
    ClassScore,
    Labels,
    count_label_pairs,
    score_classes,
    score_restoration,
    score_segmentation,
)
from snn_deploy.data.sample import Entry, Sample
from snn_deploy.data.stimulus import is_fixed
from snn_deploy.data.tiles import cut_windows
from snn_deploy.errors import NetworkError, SnnDeployError, StimulusError
from snn_deploy.frontend.onnx import portable
from snn_deploy.mapping.fit import Mapping, map_network
from snn_deploy.network.host import apply_host, choose_classes, count_classes, put_channels_first
from snn_deploy.network.network import Network
from snn_deploy.network.picture_scale import PictureScale
from snn_deploy.shapes import Size
from snn_deploy.targets.load import Target
from snn_deploy.workers import gather

Task = Literal["denoise", "segment"]

TASKS: tuple[Task, ...] = ("denoise", "segment")

MULTIPLES = (1, 2, 4, 8, 16, 32, 64)
"""Multiples to which an image's sides are padded, in this order, until the network supports the size."""


OVERLAP = 32
"""Pixels by which neighboring tiles overlap, or half of a tile that is smaller than twice that."""


@dataclass(frozen=True)
class Cost:
    """Cost of one or more images: events, synaptic operations, MACs of the same connections, joules and seconds.

    ``energy_j`` is all of it, ``static_j`` the leakage in it; ``latency_s`` of images one at a time. They are ``None``
    where they were not estimated.
    """

    events: float
    synaptic_operations: float
    macs: float
    energy_j: float | None = None
    static_j: float | None = None
    latency_s: float | None = None


def average_costs(costs: Sequence[Cost], images: int) -> Cost:
    """The mean of ``images`` images whose parts cost ``costs``."""
    return Cost(
        sum(cost.events for cost in costs) / images,
        sum(cost.synaptic_operations for cost in costs) / images,
        sum(cost.macs for cost in costs) / images,
        _average([cost.energy_j for cost in costs], images),
        _average([cost.static_j for cost in costs], images),
        _average([cost.latency_s for cost in costs], images),
    )


def _average(values: Sequence[float | None], images: int) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / images if len(known) == len(values) else None


@dataclass(frozen=True, eq=False)
class Prediction:
    """Values (1, C, H, W) float64 after the host functions named in ``hosted``, of a read-out of ``channels``.

    ``cost`` is ``None`` for a float model, in which nothing is counted.
    """

    values: Float64
    hosted: tuple[str, ...]
    channels: int
    cost: Cost | None = None
    picture: PictureScale = images.PLAIN

    @property
    def restored(self) -> Float64:
        """The values as a picture from 0 to 1, by ``picture``, the scale of the network's input."""
        return self.picture.as_picture(self.values, self.hosted)

    def labels(self) -> tuple[Labels, int]:
        """The class (H, W) int64 of every pixel (:func:`~snn_deploy.network.host.choose_classes`), and their number."""
        return choose_classes(self.hosted, self.values)[0], count_classes(self.channels, self.hosted)

    def odds(self) -> Float64 | None:
        """Log-odds (H, W) of class 1 of two, where the output tells them (:func:`~snn_deploy.data.curve.find_odds`)."""
        return find_odds(self.hosted, self.values)


Predictor: TypeAlias = Callable[[Image], Prediction]


@dataclass(frozen=True)
class Score:
    """Scores of one image, by metric."""

    image: str
    scores: dict[str, float]


@dataclass(frozen=True)
class Evaluation:
    """Scores of every image, of all together and of every class, and the mean cost of one image; ``None`` for a float model."""

    task: Task
    images: tuple[Score, ...]
    overall: dict[str, float]
    cost: Cost | None
    classes: tuple[ClassScore, ...] = ()

    def __repr__(self) -> str:
        return f"Evaluation({self})"

    def __str__(self) -> str:
        """The scores of all images together."""
        scores = ", ".join(f"{name} {value:.4g}" for name, value in self.overall.items())
        return f"{self.task}, {len(self.images)} image(s): {scores}"


class SpikingPredictor:
    """A spiking network on a backend; larger images are split into tiles of ``tile`` (H, W). ``target`` adds energy."""

    def __init__(
        self,
        network: Network,
        backend: Backend,
        tile: tuple[int, int] | None = None,
        overlap: int | None = None,
        target: Target | None = None,
    ) -> None:
        self._network, self._backend, self._target = network, backend, target
        self._tile = tile or ((network.input.shape[1], network.input.shape[2]) if is_fixed(network) else None)
        self._overlap = min(OVERLAP, min(self._tile or (2 * OVERLAP,)) // 2) if overlap is None else overlap
        self._sized: dict[tuple[int, int], Network] = {network.input.shape[1:]: network}
        self._mappings: dict[tuple[int, int], Mapping] = {}

    def __call__(self, image: Image) -> Prediction:
        """Run every tile of a picture from 0 to 1."""
        network = self._network
        image = network.picture.apply(image)
        costs = []
        values: Float64 | None = None
        for window in cut_windows((image.shape[2], image.shape[3]), self._tile, self._overlap):
            tile_values, spent = self._run(np.ascontiguousarray(image[:, :, window.read[0], window.read[1]]))
            costs.append(spent)
            if values is None:
                values = np.zeros((1, tile_values.shape[1], *image.shape[2:]))
            values[:, :, window.write[0], window.write[1]] = tile_values[:, :, window.keep[0], window.keep[1]]
        if values is None:
            raise StimulusError("the image is empty")
        functions = network.outputs[0].host
        hosted, shown = put_channels_first(functions, apply_host(functions, values))
        return Prediction(shown, hosted, values.shape[1], average_costs(costs, 1), network.picture)

    def _run(self, tile: Image) -> tuple[Float64, Cost]:
        height, width = tile.shape[2:]
        network = self._at(self._accepted(height, width))
        rows, columns = (need - have for need, have in zip(network.input.shape[1:], (height, width), strict=True))
        record = Record.COUNTS if self._target is None else choose_record(network, 1)
        run = self._backend.run(network, quantize_images(network, _padded(tile, rows, columns)), record)
        values = run.values(network)
        if values.shape[2:] != network.input.shape[1:]:
            raise NetworkError(
                f"output {values.shape[2:]} for an image {network.input.shape[1:]}; the sizes must be equal"
            )
        activity = count_activity(network, run)
        return values[:, :, :height, :width], self._price(network, activity)

    def _price(self, network: Network, activity: Activity) -> Cost:
        """What ``activity`` counts, and its joules and seconds on the target, if one is given; each size is mapped once."""
        counted = Cost(activity.events, activity.synaptic_operations, activity.macs)
        target, size = self._target, network.input.shape[1:]
        if target is None:
            return counted
        if target.kind == "chip" and size not in self._mappings:
            self._mappings[size] = map_network(network, target)
        priced = estimate(network, activity, target, mapping=self._mappings.get(size))
        if priced.static_j is None or priced.timing is None:
            return replace(counted, energy_j=priced.total_j.value)
        latency_s = priced.timing.latency_s.value
        return replace(counted, energy_j=priced.total_j.value, static_j=priced.static_j.value, latency_s=latency_s)

    def _accepted(self, height: int, width: int) -> tuple[int, int]:
        """The smallest supported size of :data:`MULTIPLES`, else the network's own, that contains (height, width)."""
        own = self._network.input.shape[1:]
        sizes = [(-(-height // multiple) * multiple, -(-width // multiple) * multiple) for multiple in MULTIPLES]
        refusal: SnnDeployError | None = None
        for size in [*sizes, *([own] if own[0] >= height and own[1] >= width else [])]:
            try:
                self._at(size)
            except SnnDeployError as error:
                refusal = error
            else:
                return size
        raise NetworkError(
            f"{self._network.name}: does not support a size near {height}x{width} ({refusal}); use tiles of a supported size"
        )

    def _at(self, size: tuple[int, int]) -> Network:
        if size not in self._sized:
            self._sized[size] = self._network.at_size(*size)
        return self._sized[size]


class FloatPredictor:
    """The float model, a file or its bytes, computed by onnxruntime at each image's size."""

    def __init__(self, model: Path | bytes, picture: PictureScale = images.PLAIN) -> None:
        self._model, self._picture = model, picture
        self._probes: dict[tuple[int, int], tuple[tuple[int, int], ActivationProbe]] = {}

    def __reduce__(self) -> tuple[type[FloatPredictor], tuple[bytes, PictureScale]]:
        """Pickles the bytes of the file, which other machines may lack, without the sessions."""
        return FloatPredictor, (portable(self._model), self._picture)

    def __call__(self, image: Image) -> Prediction:
        """Run the whole image, padded to a size that the model supports."""
        height, width = image.shape[2:]
        if (height, width) not in self._probes:
            self._probes[height, width] = self._accepted(height, width)
        size, probe = self._probes[height, width]
        given = self._picture.apply(_padded(image, size[0] - height, size[1] - width))
        hosted, planes = put_channels_first(probe.host, next(iter(probe(given).values())))
        values = planes[:, :, :height, :width].astype(np.float64)
        return Prediction(values, hosted, probe.channels, picture=self._picture)

    def _accepted(self, height: int, width: int) -> tuple[tuple[int, int], ActivationProbe]:
        refusal: SnnDeployError | None = None
        for multiple in MULTIPLES:
            size = -(-height // multiple) * multiple, -(-width // multiple) * multiple
            try:
                return size, open_float_probe(self._model, size)
            except SnnDeployError as error:
                refusal = error
        name = self._model if isinstance(self._model, Path) else "the model"
        raise StimulusError(f"{name}: does not support a size near {height}x{width}: {refusal}")


def _padded(image: Image, rows: int, columns: int) -> Image:
    """``image`` with ``rows`` and ``columns`` reflected at its bottom and right."""
    mode: Literal["symmetric", "edge"] = "symmetric" if rows <= image.shape[2] and columns <= image.shape[3] else "edge"
    return np.pad(image, ((0, 0), (0, 0), (0, rows), (0, columns)), mode=mode)


def evaluate(
    predictor: Predictor,
    entries: Sequence[Entry],
    task: Task,
    channels: int,
    *,
    sigma: float = 0.0,
    seed: int = 0,
    crop: Size | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Score ``predictor`` on ``entries``.

    Noise of ``sigma / 255`` is added to image i with seed ``seed + i``, not clipped. ``crop`` keeps the middle
    (H, W). PSNR and SSIM are means over images; segmentation scores are those of all pixels together.
    ``workers`` processes, or those of ``scheduler``, do it (:func:`snn_deploy.workers.gather`); their number does
    not change the results.
    """
    if not entries:
        raise StimulusError("no images to evaluate; give at least one")
    read = (entry.read(channels) for entry in entries)
    samples = enumerate(sample if crop is None else sample.crop(crop) for sample in read)
    scoring = _Scoring(predictor, task, sigma, seed)
    results = gather(scoring, samples, len(entries), scheduler=scheduler, workers=workers, progress=progress)
    scores = tuple(result.score for result in results)
    pairs = [result.pairs for result in results if result.pairs is not None]
    classes: tuple[ClassScore, ...] = ()
    if pairs:
        together = np.sum(pairs, axis=0)
        overall, classes = score_segmentation(together), score_classes(together)
        odds = [result.odds for result in results if result.odds is not None]
        overall |= _area(np.sum(odds, axis=0)) if len(odds) == len(results) else {}
    else:
        overall = {name: float(np.mean([result.scores[name] for result in scores])) for name in scores[0].scores}
    costs = [result.cost for result in results if result.cost is not None]
    return Evaluation(task, scores, overall, average_costs(costs, len(results)) if costs else None, classes)


@dataclass(frozen=True, eq=False)
class _Scored:
    """One image: its score, its cost, and for segmentation its confusion matrix, and its odds of class 1 of two."""

    score: Score
    cost: Cost | None
    pairs: Int64 | None = None
    odds: Int64 | None = None


@dataclass(frozen=True, eq=False)
class _Scoring:
    """Scores one image; a value that can be pickled for workers."""

    predictor: Predictor
    task: Task
    sigma: float
    seed: int

    def __call__(self, numbered: tuple[int, Sample]) -> _Scored:
        """Predict one numbered sample and compare it with its target."""
        index, sample = numbered
        if self.sigma and sample.target is not None:
            raise StimulusError(f"{sample.name}: has a clean image of its own; leave the noise out")
        image = images.add_noise(sample.image, self.sigma, self.seed + index) if self.sigma else sample.image
        prediction = self.predictor(image)
        if self.task == "denoise":
            return _Scored(Score(sample.name, score_restoration(prediction.restored, _truth(sample))), prediction.cost)
        if sample.labels is None:
            raise StimulusError(f"{sample.name}: no label map; segmentation needs one")
        classes, number = prediction.labels()
        pairs, odds = count_label_pairs(classes, sample.labels, number), prediction.odds()
        counted = None if odds is None else count_odds(odds, sample.labels)
        scores = score_segmentation(pairs) | ({} if counted is None else _area(counted))
        return _Scored(Score(sample.name, scores), prediction.cost, pairs, counted)


def _area(counts: Int64) -> dict[str, float]:
    """The area under the curve as a score, where both classes occur."""
    area = measure_area(counts)
    return {} if area is None else {"auc": area}


def _truth(sample: Sample) -> Image:
    return sample.image if sample.target is None else sample.target

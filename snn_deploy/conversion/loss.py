r"""Conversion loss, layer by layer.

The spiking network runs on images that its calibration did not see, and every layer is compared with the float network's:

.. math:: e_l = \sqrt{\sum (\hat a_l - a_l)^2 / \sum a_l^2}

with :math:`\hat a_l` the counts times their unit. The error of the outputs is relative to their variation, :math:`a_l - \bar a_l`
below the line with the mean of each channel, because a mean that all images share makes an error no smaller. Two further
figures give the error of the layer's own levels if its inputs were exact: clipping at the largest count, and rounding to the
nearest count. Where the error of a layer rises but both of these are small, its weights cause it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from snn_deploy.arrays import Float32
from snn_deploy.backend.protocol import Backend
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.conversion.calibrate import ActivationProbe
from snn_deploy.conversion.layers import LEVELLED, group_layers
from snn_deploy.conversion.lower import Conversion
from snn_deploy.conversion.task_loss import Measure, Task, TaskLoss
from snn_deploy.data.images import PLAIN, Images
from snn_deploy.frontend.onnx import read
from snn_deploy.network.network import Population
from snn_deploy.network.picture_scale import PictureScale
from snn_deploy.passes import USUAL, Form, normal_form

IMAGES = 4
"""Images that a loss is measured on."""


@dataclass(frozen=True)
class LayerLoss:
    """Relative RMS errors of one layer: ``error`` against the float network, the others if its inputs were exact."""

    name: str
    error: float
    clipping: float
    rounding: float


@dataclass(frozen=True)
class Loss:
    """Every layer's loss, in the network's order, and the error of all outputs together, relative to their variation."""

    layers: tuple[LayerLoss, ...]
    error: float
    task: TaskLoss | None = None
    """The loss of the first output in the unit of its task."""

    @property
    def snr_db(self) -> float:
        """The output's signal-to-noise ratio against the float network's, in dB."""
        return -20 * math.log10(self.error) if self.error else math.inf

    def name_costliest(self, count: int = 3) -> tuple[tuple[LayerLoss, str], ...]:
        """The layers whose own levels err most, the worst first, and whether by ``clipping`` or ``rounding``."""
        own = [layer for layer in self.layers if layer.clipping or layer.rounding]
        worst = sorted(own, key=lambda layer: -math.hypot(layer.clipping, layer.rounding))[:count]
        return tuple((layer, "clipping" if layer.clipping > layer.rounding else "rounding") for layer in worst)

    def layer(self, name: str) -> LayerLoss | None:
        """The loss of the layer called ``name``; ``None`` for the input."""
        return next((loss for loss in self.layers if loss.name == name), None)


@dataclass(frozen=True, eq=False)
class Truth:
    """The float network's values (B, C, H, W) float32 of every layer, image by image."""

    images: Images
    values: tuple[Mapping[str, Float32], ...]
    task: Task | None = None

    @classmethod
    def of(
        cls,
        model: Path | bytes,
        images: Images,
        clean: Images | None = None,
        picture: PictureScale = PLAIN,
        measure: Measure | None = None,
        form: Form = USUAL,
    ) -> Truth:
        """The values of ``model`` on the first :data:`IMAGES` of ``images``, each (B, C, H, W) float32 of one size.

        ``clean``, ``picture`` and ``measure`` tell what the first output is (:class:`~snn_deploy.conversion.task_loss.Task`).
        """
        chosen = images[:IMAGES]
        ((height, width),) = {image.shape[2:] for image in chosen}
        graph = normal_form(read(model, (height, width)).graph, form)
        layers = group_layers(graph)
        probe = ActivationProbe(graph, [layer.name for layer in layers.layers])
        values = tuple(probe(image) for image in chosen)
        _, output, host = layers.outputs[0]
        expected = [each[output] for each in values]
        task = Task.of(host, expected, chosen, None if clean is None else clean[:IMAGES], picture, measure)
        return cls(chosen, values, task)

    @cached_property
    def powers(self) -> Mapping[str, float]:
        """Sums of the squares of every layer's values, over all images."""
        return {
            name: sum(float(np.square(each[name], dtype=np.float64).sum()) for each in self.values)
            for name in self.values[0]
        }


def measure_loss(conversion: Conversion, truth: Truth, backend: Backend) -> Loss:
    """The loss of ``conversion`` on the images of ``truth``, for whose size it was made."""
    network, names = conversion.network, [layer.name for layer in conversion.layers.layers]
    errors, powers = dict.fromkeys(names, 0.0), truth.powers
    steps = network.input_steps
    outputs = [value for _, value, _ in conversion.layers.outputs]
    shown = []
    for image, expected in zip(truth.images, truth.values, strict=True):
        run = backend.run(network, quantize_images(network, image))
        for name in names:
            values = run.counts[name] * (network.population(name).unit[:, None, None] / steps)
            if name == outputs[0]:
                shown.append(values.copy())
            values -= expected[name]
            errors[name] += float(np.square(values, out=values).sum())
    layers = [LayerLoss(name, _relative(errors[name], powers[name]), *_levels(conversion, name)) for name in names]
    variation = sum(_variation([values[name] for values in truth.values]) for name in outputs)
    error = _relative(sum(errors[name] for name in outputs), variation)
    return Loss(tuple(layers), error, None if truth.task is None else truth.task.lose(shown, error))


def _variation(maps: Sequence[Float32]) -> float:
    """Square deviations of ``maps`` (B, C, H, W) from the mean of each channel over all of them."""
    values = np.concatenate(maps).astype(np.float64)
    return float(np.square(values - values.mean((0, 2, 3), keepdims=True)).sum())


def _levels(conversion: Conversion, name: str) -> tuple[float, float]:
    """Relative errors of clipping and rounding to the layer's own levels; zeros where it has no levels."""
    layer, population = conversion.layers.layer(name), conversion.network.population(name)
    if layer.kind not in LEVELLED:
        return 0.0, 0.0
    statistics, network = conversion.statistics[name], conversion.network
    steps = network.input_steps
    low, high = limit_counts(population, steps)
    quantum = (conversion.scales.unit[name] / steps)[:, None]
    centers = np.broadcast_to(statistics.centers, statistics.histogram.shape)
    inside = np.clip(centers, low * quantum, high * quantum)
    rounded = np.rint(inside / quantum) * quantum
    power = float((statistics.histogram * np.square(centers)).sum())
    clipping = float((statistics.histogram * np.square(centers - inside)).sum())
    rounding = float((statistics.histogram * np.square(inside - rounded)).sum())
    return _relative(clipping, power), _relative(rounding, power)


def limit_counts(population: Population, steps: int) -> tuple[int, int]:
    """Least and largest count of a run of ``steps`` steps."""
    low, high = population.count_range or tuple(limit * steps for limit in population.payload_range)
    return low, high


def _relative(error: float, power: float) -> float:
    """The root of ``error / power``; infinity for an error where all expected values are zero."""
    if power == 0:
        return 0.0 if error == 0 else math.inf
    return math.sqrt(error / power)

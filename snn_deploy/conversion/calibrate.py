"""Statistics of every layer's activations over the calibration images, measured by onnxruntime on the float graph.

Two passes over the images: ranges first, then histograms of ``BINS`` equal bins per channel, so memory does not
grow with the number of images. Percentiles and mean square errors are computed from the histograms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from snn_deploy.arrays import Float32, Float64, Int64
from snn_deploy.conversion.layers import Layers
from snn_deploy.data.images import Images
from snn_deploy.errors import ConversionError, StimulusError
from snn_deploy.frontend.onnx import session, to_onnx
from snn_deploy.graph.graph import Graph
from snn_deploy.graph.limits import MAX_CALIBRATION_BYTES

BINS = 8192
"""Bins of a histogram; a percentile is exact to 1 / 8192 of the layer's range."""

KEPT_BYTES = 2**29
"""Bytes of activations that are kept from the first look at the images to the second."""


@dataclass(frozen=True, eq=False)
class Statistics:
    """Activations: ``histogram`` (C, BINS) int64 over ``edges`` (BINS + 1,), ``mean`` (C,), mean square ``power`` (C,)."""

    edges: Float64
    histogram: Int64
    mean: Float64
    power: Float64

    def __post_init__(self) -> None:
        for name in ("edges", "mean", "power"):
            if not np.all(np.isfinite(getattr(self, name))):
                raise ConversionError(
                    f"statistics: {name} holds NaN or infinity; measure them again with finite images"
                )

    @property
    def centers(self) -> Float64:
        """Middle of each bin; 0 for the bin that contains 0, since most of its values are exact zeros after a ReLU."""
        low, high = self.edges[:-1], self.edges[1:]
        return np.where((low <= 0) & (high > 0), 0.0, (low + high) / 2)

    @property
    def extent(self) -> float:
        """Largest magnitude, to one bin; 0 where all values are 0."""
        if not self.power.any():
            return 0.0
        occupied = np.flatnonzero(self.histogram.any(axis=0))
        return float(max(abs(self.edges[occupied[0]]), abs(self.edges[occupied[-1] + 1])))

    def channel(self, index: int) -> Statistics:
        """Statistics of one channel."""
        channel = slice(index, index + 1)
        return Statistics(self.edges, self.histogram[channel], self.mean[channel], self.power[channel])


def percentile(statistics: Sequence[Statistics], percent: float, *, zeros: bool) -> float:
    """Percentile of the magnitudes of all values together; ``zeros`` says whether exact zeros count."""
    values = np.concatenate(
        [np.abs(np.where(part.edges[:-1] >= 0, part.edges[1:], part.edges[:-1])) for part in statistics]
    )
    counts = np.concatenate([part.histogram.sum(0) for part in statistics])
    if not zeros:
        first_bins = np.concatenate([(part.edges[:-1] <= 0) & (part.edges[1:] > 0) for part in statistics])
        counts = np.where(first_bins, 0, counts)
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(counts[order])
    if cumulative[-1] == 0:
        return 0.0
    return float(values[order][np.searchsorted(cumulative, percent / 100 * cumulative[-1])])


class ActivationProbe:
    """Runs the float graph and returns the values of chosen layers; one onnxruntime session, one image at a time.

    ``host``: functions of the host that the first output has passed, ``channels``: of its read-out before them.
    """

    def __init__(self, graph: Graph, values: Sequence[str], threads: int = 1) -> None:
        self._session = session(to_onnx(graph, values).SerializeToString(), threads)
        (self._input,) = (value.name for value in self._session.get_inputs())
        self._names = [output.name for output in self._session.get_outputs()]
        self._shape = graph.input_shape
        readout, self.host = graph.split_host(graph.outputs[0][1])
        self.channels = graph.shapes[readout][0]

    def __call__(self, image: Float32) -> dict[str, Float32]:
        """Values (B, C, H, W) by name, outputs included; :class:`StimulusError` for an image of another shape."""
        if image.shape[1:] != self._shape:
            raise StimulusError(f"image {image.shape}: the network expects (batch, {', '.join(map(str, self._shape))})")
        if not np.all(np.isfinite(image)):
            raise StimulusError("an image for the float network holds NaN or infinity; replace these values")
        values = self._session.run(self._names, {self._input: np.ascontiguousarray(image, np.float32)})
        return dict(zip(self._names, values, strict=True))


def calibrate(
    graph: Graph, layers: Layers, images: Images, done: Callable[[], None] | None = None
) -> dict[str, Statistics]:
    """Statistics of the input and of every layer that is not an output, over ``images`` (each (B, C, H, W) float32).

    ``done`` is called twice for each image. :class:`ConversionError` where more memory would be needed than
    :data:`~snn_deploy.graph.limits.MAX_CALIBRATION_BYTES`.
    """
    if not images:
        raise ConversionError("calibration needs at least one image")
    _check_memory(layers, max(image.shape[0] for image in images))
    done = done or _nothing
    names = [layer.name for layer in layers.layers if layer.kind != "output"]
    probe = ActivationProbe(graph, names)
    ranges = dict.fromkeys((layers.input, *names), (0.0, 0.0))
    kept: dict[int, list[tuple[str, Float32]]] = {}
    room = KEPT_BYTES
    for number, image in enumerate(images):
        observed = _observe(probe, layers.input, names, image)
        size = sum(value.nbytes for _, value in observed)
        if size <= room:  # a copy is cheaper than computing it again
            kept[number], room = observed, room - size
        for name, value in observed:
            if not np.all(np.isfinite(value)):
                raise ConversionError(
                    f"{name}: its activations overflow float32 on a calibration image; scale the image or the weights down"
                )
            low, high = ranges[name]
            ranges[name] = (min(low, float(value.min())), max(high, float(value.max())))
        done()
    edges = {name: _edges(low, high) for name, (low, high) in ranges.items()}
    histograms: dict[str, Int64] = {}
    sums: dict[str, Float64] = {}
    squares: dict[str, Float64] = {}
    totals: dict[str, int] = {}
    for number, image in enumerate(images):
        for name, value in kept.pop(number, None) or _observe(probe, layers.input, names, image):
            channels = value.shape[1]
            flat = np.moveaxis(value, 1, 0).reshape(channels, -1).astype(np.float64)
            sums[name] = sums.get(name, np.zeros(channels)) + flat.sum(1)
            squares[name] = squares.get(name, np.zeros(channels)) + np.square(flat).sum(1)
            totals[name] = totals.get(name, 0) + flat.shape[1]
            low, high = edges[name][0], edges[name][-1]
            flat -= low  # in place: these arrays are large
            flat *= BINS / (high - low)
            bins = flat.astype(np.int64)
            np.clip(bins, 0, BINS - 1, out=bins)
            bins += np.arange(channels)[:, None] * BINS
            counts = np.bincount(bins.ravel(), minlength=channels * BINS).reshape(channels, BINS)
            histograms[name] = histograms.get(name, np.zeros_like(counts)) + counts
        done()
    return {
        name: Statistics(edges[name], histograms[name], sums[name] / totals[name], squares[name] / totals[name])
        for name in ranges
    }


def _check_memory(layers: Layers, batch: int) -> None:
    """Histograms (int64) of all channels, maps (float32) of all layers, and the largest of these as float64 and int64."""
    shapes = [layers.input_shape, *(layer.shape for layer in layers.layers if layer.kind != "output")]
    channels, sizes = sum(shape[0] for shape in shapes), [math.prod(shape) for shape in shapes]
    histograms = 8 * BINS * (channels + 2 * max(shape[0] for shape in shapes))
    needed = histograms + batch * (4 * sum(sizes) + 24 * max(sizes))
    if needed > MAX_CALIBRATION_BYTES:
        raise ConversionError(
            f"calibration needs {needed / 2**30:.1f} GiB for histograms of {channels} channels and {sum(sizes)} values of "
            f"every image; at most {MAX_CALIBRATION_BYTES / 2**30:g} GiB are used; give smaller images, or a narrower model"
        )


def _nothing() -> None:
    pass


def _edges(low: float, high: float) -> Float64:
    """Equal bins over ``[low, high]`` with an edge at 0; over [0, 1] for a layer that is 0, or as good as, on every image."""
    if high - low < np.finfo(np.float32).tiny:
        return np.linspace(0.0, 1.0, BINS + 1)
    if low == 0 or high <= 0:
        return np.linspace(low, high, BINS + 1)
    width = (high - low) / (BINS - 1)
    first = -np.ceil(-low / width) * width
    edges: Float64 = first + width * np.arange(BINS + 1)
    return edges


def _observe(
    probe: ActivationProbe, input_name: str, names: Sequence[str], image: Float32
) -> list[tuple[str, Float32]]:
    values = probe(image)
    return [(input_name, image), *((name, values[name]) for name in names)]

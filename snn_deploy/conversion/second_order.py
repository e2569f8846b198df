r"""Second-order rounding: each weight is rounded so that it makes up for the errors of those rounded before.

The current of an output channel is :math:`\sum_k w_k n_k` over the counts n of its inputs (source channel and tap). Integers
q instead of the weights w, both in steps of the weights' grid, change its mean, which bias correction subtracts, and add the
variance

.. math:: e^T \Sigma e = \lVert R e \rVert^2, \qquad e = w - q, \quad \Sigma = \mathrm{Cov}(n) = R^T R

with R upper triangular (Cholesky). Rounding to the nearest minimizes every :math:`|e_k|` as if inputs were uncorrelated, but
neighbouring pixels never are. Instead, weights are rounded from the last to the first, each with what it owes to the
errors so far:

.. math:: q_k = \mathrm{clip}\Big(\mathrm{rint}\big(w_k + \sum_{l>k} R_{kl} e_l / R_{kk}\big), -q_{max}, q_{max}\Big)

This is GPTQ (Frantar et al., arXiv 2210.17323, section 3) in the form of Babai's nearest plane, which needs no inverse; both
are one algorithm with the inputs in opposite order (Chen et al., arXiv 2507.18553). Inputs with the largest variance are
rounded first. A weight of 0 stays 0, so that no synapse appears. All plain convolutions into a layer are rounded together; a
transposed one as if each output pixel received one tap, a resampling, whose few weights all channels share, to the nearest.

Counts are those of exact inputs: taking them from the network of the layers already rounded changed the loss by no more
than another sample of images does. They are taken at :data:`POSITIONS` pixels drawn with a fixed seed, and the covariance is
shrunk towards its diagonal (Ledoit and Wolf, J. Multivariate Anal. 88, 2004) the more, the fewer pixels there are for the
inputs. With the diagonal alone, what remains is rounding to the nearest.

Counts are integers, so their sums of products are exact in float64, in any order of summation. LAPACK's Cholesky gives other
bits with other numbers of threads; :func:`factorize` does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from snn_deploy.arrays import Float32, Float64, Int64
from snn_deploy.conversion.calibrate import ActivationProbe
from snn_deploy.conversion.layers import RELAYS, Layer, Layers
from snn_deploy.conversion.normalize import Scales
from snn_deploy.conversion.options import Options
from snn_deploy.conversion.quantize import round_to_nearest
from snn_deploy.data.images import Images
from snn_deploy.graph.graph import Graph
from snn_deploy.graph.ops import Conv, ConvTranspose, Resample

IMAGES = 8
"""Most calibration images that counts are taken from."""

VALUES = 2**26
"""Most values of all layers that are held at once (256 MiB); larger networks use fewer images, but at least one."""

POSITIONS = 4096
"""Pixels of a layer at which counts are taken."""

DIAGONAL, SPARSE = 0.01, 0.1
"""Share of the covariance that its diagonal replaces: ``DIAGONAL``, and ``SPARSE`` for each input per pixel."""

BLOCK = 1152
"""Most inputs whose errors make up for each other; time grows with the square of it."""

PANEL = 32
"""Rows that :func:`factorize` eliminates before it updates the rest."""


@dataclass(frozen=True, eq=False)
class Group:
    """Weights that are rounded together: ``rows`` (output channels) of the connections ``members``, side by side.

    ``columns`` (K,) of these weights, the input with the least variance first, and the ``factor`` R (K, K) of their covariance.
    """

    members: tuple[int, ...]
    rows: slice
    columns: Int64
    factor: Float64


@dataclass(frozen=True, eq=False)
class SecondOrder:
    """The :data:`~snn_deploy.conversion.quantize.Rounding` of one layer; ``transposed`` tells of each of its connections."""

    transposed: tuple[bool, ...]
    groups: tuple[Group, ...]

    @classmethod
    def of(cls, layer: Layer, counts: Mapping[str, Float32], *, centered: bool) -> SecondOrder:
        """The rounding for the ``counts`` (B, H, W, C) of the sources of ``layer``, by name, at one size of the image.

        ``centered``: bias correction takes the mean error away. A relay, whose weights are integers, has no groups.
        """
        ops = {index: layer_input.op for index, layer_input in enumerate(layer.inputs)}
        convolutions = {index: op for index, op in ops.items() if not isinstance(op, Resample)}
        groups: list[Group] = []
        for members in _rounded_together(convolutions) if layer.kind not in RELAYS else ():
            parts = [
                sample_inputs(convolutions[member], counts[layer.inputs[member].source], layer.shape[1:])
                for member in members
            ]
            groups += _factorize_groups(members, np.concatenate(parts, axis=2), layer.shape[0], centered=centered)
        return cls(tuple(isinstance(op, ConvTranspose) for op in ops.values()), tuple(groups))

    def __call__(self, weights: Sequence[Float64], exponents: Sequence[int], limit: int) -> list[Float64]:
        """Integers of at most ``limit`` for ``weights`` (C_out, I, taps), in steps of ``2**exponents`` of one current."""
        rounded = round_to_nearest(weights, exponents, limit)
        for group in self.groups:
            flat = [_flatten(weights[member][group.rows], self.transposed[member]) for member in group.members]
            widths = [part.shape[1] for part in flat]
            ideal = np.concatenate(flat, axis=1)[:, group.columns]
            steps = np.repeat([2.0 ** exponents[member] for member in group.members], widths)[group.columns]
            whole = np.concatenate(
                [_flatten(rounded[member][group.rows], self.transposed[member]) for member in group.members], axis=1
            )
            whole[:, group.columns] = round_weights(ideal, group.factor * steps, limit)
            for member, part in zip(group.members, np.split(whole, np.cumsum(widths)[:-1], axis=1), strict=True):
                rounded[member][group.rows] = _unflatten(part, rounded[member][group.rows], self.transposed[member])
        return rounded


def _rounded_together(ops: Mapping[int, Conv | ConvTranspose]) -> list[tuple[int, ...]]:
    """Which connections make up for each other's errors: all plain convolutions, and every other one alone."""
    plain = tuple(index for index, op in ops.items() if isinstance(op, Conv) and op.groups == 1)
    together = [plain] if plain else []
    return together + [(index,) for index in ops if index not in plain]


def _factorize_groups(members: tuple[int, ...], samples: Float32, channels: int, *, centered: bool) -> list[Group]:
    """Groups of inputs of ``samples`` (P, groups, K), in blocks of at most :data:`BLOCK`."""
    groups = []
    _, count, inputs = samples.shape
    height = channels // count
    for group in range(count):
        for columns in np.array_split(np.arange(inputs), -(-inputs // BLOCK)):
            matrix = estimate_covariance(samples[:, group, columns].astype(np.float64), centered=centered)
            order = np.argsort(np.diagonal(matrix), kind="stable")
            factor = factorize(matrix[np.ix_(order, order)])
            groups.append(Group(members, slice(group * height, (group + 1) * height), columns[order], factor))
    return groups


def _flatten(weight: Float64, transposed: bool) -> Float64:
    """Weights (O, I, taps) as a matrix over what one output pixel reads: (O, I * taps), or transposed (O * taps, I)."""
    return weight.swapaxes(1, 2).reshape(-1, weight.shape[1]) if transposed else weight.reshape(len(weight), -1)


def _unflatten(matrix: Float64, like: Float64, transposed: bool) -> Float64:
    """The inverse of :func:`_flatten`, in the shape of ``like``."""
    outputs, inputs, taps = like.shape
    return matrix.reshape(outputs, taps, inputs).swapaxes(1, 2) if transposed else matrix.reshape(like.shape)


def observe_counts(
    graph: Graph, layers: Layers, images: Images, scales: Scales, options: Options
) -> dict[str, Float32]:
    """Counts (B, H, W, C) of a run, of the input and of every layer that is not an output, on some of ``images``.

    They are the float network's values in whole units, limited as the layer's neurons are.
    """
    names = [layer.name for layer in layers.layers if layer.kind != "output"]
    probe = ActivationProbe(graph, names)
    steps = options.run_steps
    tops = {layer.name: options.at(layer.name).level_budget for layer in layers.layers if layer.kind not in RELAYS}
    tops[layers.input] = options.input_levels * steps
    counts: dict[str, Float32] = {}
    chosen, first = _spread(images, layers), 0
    total = sum(len(image) for image in chosen)
    for image in chosen:
        values, last = {layers.input: image} | probe(image), first + len(image)
        for name in (layers.input, *names):
            exact = values[name] * (steps / scales.unit[name])[:, None, None]
            np.rint(exact, out=exact)
            top = tops.get(name, np.inf)
            np.clip(exact, -top, top, out=exact)
            _, channels, height, width = exact.shape
            if name not in counts:
                counts[name] = np.empty((total, height, width, channels), np.float32)
            counts[name][first:last] = np.moveaxis(exact, 1, 3)
        first = last
    return counts


def _spread(images: Images, layers: Layers) -> Images:
    """Some of ``images``, at equal distances, whose values of all layers are at most :data:`VALUES` together."""
    values = sum(int(np.prod(layer.shape)) for layer in layers.layers) * max(len(image) for image in images)
    count = max(1, min(IMAGES, len(images), VALUES // values))
    return [images[index * len(images) // count] for index in range(count)]


def sample_inputs(op: Conv | ConvTranspose, counts: Float32, size: tuple[int, int]) -> Float32:
    """Counts (P, groups, K) at pixels drawn from the map of ``size`` (H, W) that ``op`` makes of ``counts`` (B, H, W, C).

    K is (I, taps); for a transposed convolution it is I, at pixels of its input.
    """
    batch, height, width, _ = counts.shape
    transposed = isinstance(op, ConvTranspose)
    shape = (batch, height, width) if transposed else (batch, *size)
    total = int(np.prod(shape))
    drawn = np.sort(np.random.default_rng(0).choice(total, min(total, POSITIONS), replace=False))
    image, y, x = np.unravel_index(drawn, shape)
    if transposed:
        return counts[image, y, x].reshape(len(drawn), op.groups, -1)
    h, w = op.weight.shape[2:]
    v = y[:, None] * op.strides[0] + np.repeat(np.arange(h), w) * op.dilations[0] - op.pads[0]
    u = x[:, None] * op.strides[1] + np.tile(np.arange(w), h) * op.dilations[1] - op.pads[1]
    inside = (v >= 0) & (v < height) & (u >= 0) & (u < width)
    read = counts[image[:, None], np.clip(v, 0, height - 1), np.clip(u, 0, width - 1)] * inside[:, :, None]
    grouped = read.reshape(len(drawn), h * w, op.groups, -1).transpose(0, 2, 3, 1)
    return np.asarray(grouped.reshape(len(drawn), op.groups, -1), np.float32)


def estimate_covariance(samples: Float64, *, centered: bool) -> Float64:
    """Covariance (K, K) of ``samples`` (P, K), shrunk towards its diagonal; of second moments where not ``centered``.

    The variance of an input that never changes is set to 1: nothing depends on its error.
    """
    count, inputs = samples.shape
    moments: Float64 = (samples.T @ samples) / count
    if centered:
        mean = samples.sum(0) / count
        moments -= mean[:, None] * mean
    variance = np.diagonal(moments).copy()
    moments *= 1 - min(1.0, DIAGONAL + SPARSE * inputs / count)
    np.fill_diagonal(moments, np.where(variance > 0.5 / count, variance, 1.0))  # integers vary by more, or not at all
    return moments


def factorize(matrix: Float64) -> Float64:
    """R, upper triangular, with ``R.T @ R`` the positive definite ``matrix``; the same bits for any number of threads."""
    r, size = matrix.copy(), len(matrix)
    for start in range(0, size, PANEL):
        end = min(start + PANEL, size)
        for row in range(start, end):
            r[row, row:] /= np.sqrt(r[row, row])
            r[row + 1 : end, row + 1 :] -= r[row, row + 1 : end, None] * r[row, None, row + 1 :]
        panel = np.ascontiguousarray(r[start:end, end:].T)
        r[end:, end:] -= np.einsum("ik,jk->ij", panel, panel)
    upper: Float64 = np.triu(r)
    return upper


def round_weights(weight: Float64, factor: Float64, limit: int) -> Float64:
    """Integers (O, K) of at most ``limit`` for ``weight`` (O, K) in steps of its grid, from the last column to the first."""
    rounded, error = np.zeros_like(weight), np.zeros_like(weight)
    for k in range(weight.shape[1] - 1, -1, -1):
        owed = np.einsum("ol,l->o", error[:, k + 1 :], factor[k, k + 1 :]) / factor[k, k]
        nearest = np.clip(np.rint(weight[:, k] + owed), -limit, limit)
        rounded[:, k] = np.where(weight[:, k] == 0, 0.0, nearest)
        error[:, k] = weight[:, k] - rounded[:, k]
    return rounded

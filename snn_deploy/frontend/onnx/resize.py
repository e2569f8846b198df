"""Resize, Upsample."""

from __future__ import annotations

import numpy as np

from snn_deploy.arrays import Float64
from snn_deploy.frontend.onnx.axis_matrix import Attributes, axis_matrix
from snn_deploy.frontend.onnx.call import Call, Outcome, RefusedError, Wire
from snn_deploy.frontend.onnx.registry import operator
from snn_deploy.graph.limits import MAX_EXTENT
from snn_deploy.graph.ops import Nearest, Resample

EMPTY: tuple[float, ...] = ()
"""An input that is not given."""

PASSED_ON = (
    "mode",
    "coordinate_transformation_mode",
    "nearest_mode",
    "cubic_coeff_a",
    "exclude_outside",
    "extrapolation_value",
    "antialias",
)


@operator("Resize", 11, 13, 18, 19)
def resize(call: Call) -> Outcome:
    """Nearest, linear, cubic; any coordinate mode but tf_crop_and_resize; by scales or sizes; only height and width."""
    wire = call.any_wire(0)
    if call.text("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        raise RefusedError("crops while it resizes (tf_crop_and_resize); use Slice and another coordinate mode")
    if call.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise RefusedError("keeps the aspect ratio; only stretching is supported")
    scales = np.asarray(call.constant(2), np.float64).ravel() if call.has(2) else np.zeros(0)
    sizes = call.integer_constant(3) if call.has(3) else ()
    axes = tuple(call.attribute("axes") or range(len(wire.axes)))
    return _resized(call, wire, axes, tuple(scales), sizes, (EMPTY,))


@operator("Resize", 10)
@operator("Upsample", 9)
def upsample(call: Call) -> Outcome:
    """Nearest and linear, by constant scales of height and width."""
    scales = tuple(float(scale) for scale in call.real_constant(1).ravel())
    wire = call.any_wire(0)
    return _resized(call, wire, tuple(range(len(wire.axes))), scales, (), ())


def _resized(
    call: Call,
    wire: Wire,
    axes: tuple[int, ...],
    scales: tuple[float, ...],
    sizes: tuple[int, ...],
    before: tuple[tuple[float, ...], ...],
) -> Outcome:
    """``before`` are the inputs between the map and the scales."""
    given: tuple[float, ...] | tuple[int, ...] = scales or sizes
    if len(given) != len(axes):
        raise RefusedError(f"{len(given)} scales or sizes for {len(axes)} axes")
    kept: dict[str, float] = dict.fromkeys("NCHW", 1.0)
    if not scales:
        kept |= dict(zip(wire.axes, wire.extents(call.batch), strict=True))
    wanted = kept | {wire.axes[axis]: value for axis, value in zip(axes, given, strict=True)}
    if any(wanted[letter] != kept[letter] for letter in "NC"):
        raise RefusedError("resizes other axes than height and width")
    attributes = tuple((key, call.attribute(key)) for key in PASSED_ON if call.attribute(key) is not None)
    made: dict[tuple[int, float], Float64] = {}
    matrices = []
    for letter, extent in (("H", wire.shape[1]), ("W", wire.shape[2])):
        size = extent, wanted[letter]
        if size not in made:  # height and width are often alike
            made[size] = _matrix(call, *size, attributes, before if scales else None)
        matrices.append(made[size])
    repeat = tuple(_repeats(matrix) for matrix in matrices)
    if repeat == (1, 1):
        return call.folded(wire, "nothing: it changes nothing")
    if min(repeat) >= 1:
        return call.mapped(
            call.add(Nearest((repeat[0], repeat[1])), wire), "transposed synapses, or a population of copies"
        )
    return call.mapped(call.add(Resample(*matrices), wire), "fixed connections")


def _matrix(
    call: Call, extent: int, value: float, attributes: Attributes, before: tuple[tuple[float, ...], ...] | None
) -> Float64:
    """One axis times ``value``, the scales being the input behind those ``before``, or with ``None`` made as long."""
    target = value if before is None else value * extent
    if not 1 <= target <= 2 * MAX_EXTENT:
        raise RefusedError(f"makes {target} pixels out of {extent}")
    extents = extent, int(np.ceil(target)) + 1
    if before is None:
        inputs: tuple[tuple[float, ...], ...] = (EMPTY, EMPTY, (1, extent, int(value), 1))
    else:
        inputs = (*before, (1.0, 1.0, float(value), 1.0))
    return axis_matrix(call, call.node.op_type, extents, attributes, inputs)


def _repeats(matrix: Float64) -> int:
    """How often each pixel is repeated, all alike; 0 where the matrix does anything else."""
    outputs, inputs = matrix.shape
    if outputs % inputs:
        return 0
    count = outputs // inputs
    return count if np.array_equal(matrix, np.eye(inputs).repeat(count, axis=0)) else 0

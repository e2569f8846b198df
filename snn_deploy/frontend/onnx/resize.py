"""Resize, Upsample."""

from __future__ import annotations

import numpy as np

from snn_deploy.arrays import Float64
from snn_deploy.frontend.onnx.axis_matrix import Attributes, axis_matrix
from snn_deploy.frontend.onnx.call import Call, Outcome, RefusedError, Wire
from snn_deploy.frontend.onnx.registry import operator
from snn_deploy.graph.limits import MAX_EXTENT
from snn_deploy.graph.ops import Nearest, Resample

PASSED_ON = (
    "mode",
    "coordinate_transformation_mode",
    "nearest_mode",
    "cubic_coeff_a",
    "exclude_outside",
    "extrapolation_value",
    "antialias",
)


@operator("Resize", 10, 11, 13, 18, 19)
def resize(call: Call) -> Outcome:
    """Nearest, linear, cubic; any coordinate mode but tf_crop_and_resize; by scales or sizes; only height and width."""
    wire = call.any_wire(0)
    if call.text("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        raise RefusedError("crops while it resizes (tf_crop_and_resize); use Slice and another coordinate mode")
    if call.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise RefusedError("keeps the aspect ratio; only stretching is supported")
    first = 1 if call.since == 10 else 2
    scales = np.asarray(call.constant(first), np.float64).ravel() if call.has(first) else np.zeros(0)
    sizes = call.integer_constant(3) if call.has(3) else ()
    axes = tuple(call.attribute("axes") or range(4))
    return _resized(call, wire, "Resize", axes, tuple(scales), sizes)


@operator("Upsample", 7, 9)
def upsample(call: Call) -> Outcome:
    """Nearest and linear, by constant scales of height and width."""
    wire = call.any_wire(0)
    scales = call.attribute("scales") if call.since == 7 else call.real_constant(1).ravel()
    return _resized(call, wire, "Upsample", (0, 1, 2, 3), tuple(float(scale) for scale in scales), ())


def _resized(
    call: Call, wire: Wire, operator_name: str, axes: tuple[int, ...], scales: tuple[float, ...], sizes: tuple[int, ...]
) -> Outcome:
    given: tuple[float, ...] | tuple[int, ...] = scales or sizes
    if len(given) != len(axes):
        raise RefusedError(f"{len(given)} scales or sizes for {len(axes)} axes")
    extents = wire.extents(call.batch)
    by_letter = {wire.axes[axis]: value for axis, value in zip(axes, given, strict=True)}
    for letter in "NC":
        wanted = by_letter.get(letter, 1 if scales else extents[wire.axes.index(letter)])
        if wanted != (1 if scales else extents[wire.axes.index(letter)]):
            raise RefusedError("resizes other axes than height and width")
    attributes = tuple((key, call.attribute(key)) for key in PASSED_ON if call.attribute(key) is not None)
    made: dict[tuple[int, float], Float64] = {}
    matrices = []
    for letter, extent in (("H", wire.shape[1]), ("W", wire.shape[2])):
        value = by_letter.get(letter, 1.0 if scales else extent)
        if (extent, value) not in made:  # height and width are often alike
            made[extent, value] = _matrix(call, operator_name, extent, attributes, value, bool(scales))
        matrices.append(made[extent, value])
    repeat = tuple(_repeats(matrix) for matrix in matrices)
    if repeat == (1, 1):
        return call.folded(wire, "nothing: it changes nothing")
    if min(repeat) >= 1:
        return call.mapped(
            call.add(Nearest((repeat[0], repeat[1])), wire), "transposed synapses, or a population of copies"
        )
    return call.mapped(call.add(Resample(*matrices), wire), "fixed connections")


def _matrix(call: Call, name: str, extent: int, attributes: Attributes, value: float, by_scale: bool) -> Float64:
    target = value * extent if by_scale else value
    if not 1 <= target <= 2 * MAX_EXTENT:
        raise RefusedError(f"makes {target} pixels out of {extent}")
    extents = extent, int(np.ceil(target)) + 1
    if name == "Upsample" and call.since == 7:
        return axis_matrix(call, name, extents, (*attributes, ("scales", (1.0, 1.0, float(value), 1.0))))
    scales = (1.0, 1.0, float(value), 1.0)
    if name == "Upsample" or call.since == 10:
        return axis_matrix(call, name, extents, attributes, (scales,))
    if by_scale:
        return axis_matrix(call, name, extents, attributes, ((), scales))
    return axis_matrix(call, name, extents, attributes, ((), (), (1, extent, int(value), 1)))


def _repeats(matrix: Float64) -> int:
    """How often each pixel is repeated, all alike; 0 where the matrix does anything else."""
    outputs, inputs = matrix.shape
    if outputs % inputs:
        return 0
    count = outputs // inputs
    return count if np.array_equal(matrix, np.eye(inputs).repeat(count, axis=0)) else 0

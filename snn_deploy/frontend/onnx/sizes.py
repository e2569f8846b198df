"""Sizes of images that a model may take where it refuses another one."""

from __future__ import annotations

from snn_deploy.shapes import Size


def list_near_sizes(size: Size) -> list[Size]:
    """Sizes whose sides are multiples of a power of two, the nearest first: of 2 below and above, of 4, and so on."""
    steps = [2**power for power in range(1, 7)]
    rounded = [(size[0] // step * step, size[1] // step * step) for step in steps]
    raised = [(-(-size[0] // step) * step, -(-size[1] // step) * step) for step in steps]
    return list(dict.fromkeys(other for pair in zip(rounded, raised, strict=True) for other in pair if other != size))

"""Sizes of images that a model may take where it refuses another one."""

from __future__ import annotations

from snn_deploy.shapes import Size


def list_near_sizes(size: Size) -> list[Size]:
    """Sizes whose sides are multiples of a power of two, the nearest first: of 2 below and above, of 4, and so on.

    What is 1 high, a line, stays so.
    """
    steps = [2**power for power in range(1, 7)]
    high = [1 if size[0] == 1 else step for step in steps]
    rounded = [(size[0] // rows * rows, size[1] // step * step) for rows, step in zip(high, steps, strict=True)]
    raised = [(-(-size[0] // rows) * rows, -(-size[1] // step) * step) for rows, step in zip(high, steps, strict=True)]
    return list(dict.fromkeys(other for pair in zip(rounded, raised, strict=True) for other in pair if other != size))

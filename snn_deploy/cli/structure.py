"""Options that say what of a model becomes one population."""

from __future__ import annotations

import argparse

from snn_deploy.conversion.options import CHOICES


def add_structure(parser: argparse.ArgumentParser) -> None:
    """``--fuse-upsampling`` and ``--leaky``."""
    group = parser.add_argument_group("structure")
    group.add_argument(
        "--fuse-upsampling",
        action="store_const",
        const=True,
        help="make one of a transposed convolution and the convolution that reads it: fewer operations, more weights",
    )
    group.add_argument(
        "--leaky",
        choices=CHOICES["leaky"],
        help="exact mode: populations of a LeakyReLU, one with a threshold of its own below zero (default) or two of ReLUs",
    )

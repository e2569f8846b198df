"""Public conformance kit: random networks over all options, and the suite that every backend must pass.

A third-party backend is tested with::

    from snn_deploy.testing import check_backend
    check_backend(MyBackend())
"""

from snn_deploy.testing.conformance import Conformance, check_backend, check_streams, fixed_cases
from snn_deploy.testing.drawing import draw_case, draw_frames, draw_network, draw_stimulus, draw_stream
from snn_deploy.testing.narrow import draw_narrow
from snn_deploy.testing.networks import (
    conformance_cases,
    random_plain,
    random_stimulus,
    random_two_sided,
    random_unet,
    special_cases,
)
from snn_deploy.testing.options import neuron_option_cases

__all__ = [
    "Conformance",
    "check_backend",
    "check_streams",
    "conformance_cases",
    "draw_case",
    "draw_frames",
    "draw_narrow",
    "draw_network",
    "draw_stimulus",
    "draw_stream",
    "fixed_cases",
    "neuron_option_cases",
    "random_plain",
    "random_stimulus",
    "random_two_sided",
    "random_unet",
    "special_cases",
]

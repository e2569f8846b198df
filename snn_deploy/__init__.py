"""Trained U-Nets, from ONNX to spiking networks with the same spikes on the simulator, in Lava and on Loihi.

>>> import snn_deploy as sd
>>> sd.__version__
'0.2.0'

Importing this costs nothing: every name is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snn_deploy.api import Result, SpikingNetwork, Stream, convert, load, plan, prove, read_image, verify
    from snn_deploy.backend.protocol import Backend, Record, Run
    from snn_deploy.conversion.options import Options, preset
    from snn_deploy.errors import ClippedInputWarning, SnnDeployError
    from snn_deploy.jobs import emit, evaluate, evaluate_stream, finetune, inspect, prepare_model, write_report
    from snn_deploy.network.network import Network
    from snn_deploy.targets.load import Target, load_target
    from snn_deploy.verification.comparison.levels import Level
    from snn_deploy.verification.comparison.verdict import Verdict
    from snn_deploy.verification.proof.obligation import Proof

__version__ = "0.2.0"

__all__ = [
    "Backend",
    "ClippedInputWarning",
    "Level",
    "Network",
    "Options",
    "Proof",
    "Record",
    "Result",
    "Run",
    "SnnDeployError",
    "SpikingNetwork",
    "Stream",
    "Target",
    "Verdict",
    "__version__",
    "convert",
    "emit",
    "evaluate",
    "evaluate_stream",
    "finetune",
    "inspect",
    "load",
    "load_target",
    "plan",
    "prepare_model",
    "preset",
    "prove",
    "read_image",
    "verify",
    "write_report",
]

_HOMES = {
    **dict.fromkeys(
        ("Result", "SpikingNetwork", "Stream", "convert", "load", "plan", "prove", "read_image", "verify"),
        "snn_deploy.api",
    ),
    **dict.fromkeys(("Backend", "Record", "Run"), "snn_deploy.backend.protocol"),
    **dict.fromkeys(("Options", "preset"), "snn_deploy.conversion.options"),
    **dict.fromkeys(("Target", "load_target"), "snn_deploy.targets.load"),
    "Level": "snn_deploy.verification.comparison.levels",
    "Network": "snn_deploy.network.network",
    "Proof": "snn_deploy.verification.proof.obligation",
    **dict.fromkeys(("ClippedInputWarning", "SnnDeployError"), "snn_deploy.errors"),
    "Verdict": "snn_deploy.verification.comparison.verdict",
    **dict.fromkeys(
        ("emit", "evaluate", "evaluate_stream", "finetune", "inspect", "prepare_model", "write_report"),
        "snn_deploy.jobs",
    ),
}
"""Where each public name lives."""


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'snn_deploy' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

"""The chip that SANA-FE simulates: its own description of Loihi, with as many input units a core as a network has clocks.

The description has 1024 in each of its 128 cores, and to build them takes longer than to simulate a small network. They take
no energy and no time there.
"""

from __future__ import annotations

import re
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any

from snn_deploy.files import write


def describe_chip(inputs: int) -> str:
    """SANA-FE's ``loihi.yaml`` with ``inputs`` input units in each core."""
    text = (files("sanafe.examples") / "loihi.yaml").read_text(encoding="utf-8")
    return re.sub(r"loihi_inputs\[0\.\.\d+\]", f"loihi_inputs[0..{inputs - 1}]", text)


def build_chip(sanafe: Any, inputs: int) -> Any:
    """The ``sanafe.Architecture`` of :func:`describe_chip`, which SANA-FE reads from files only."""
    with tempfile.TemporaryDirectory(prefix="snn-sanafe-") as folder:
        path = Path(folder) / "chip.yaml"
        write(path, describe_chip(inputs))
        return sanafe.load_arch(str(path))

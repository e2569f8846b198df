"""Parts that need Intel's lava-loihi, which is distributed to INRC members only: adapters, configuration, neuron model.

This module follows public code that drives a chip (lava-nc ``lava/networks/gradedvecnetwork.py``; lava-dl
``tests/lava/lib/dl/netx/test_hdf5_nx.py``). It has not run on a chip.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from lava.magma.core.process.ports.ports import OutPort
from lava.magma.core.run_configs import Loihi2HwCfg

MESSAGE_BITS = 24

HOOK = "chip_models"
"""Module beside ``run.py`` whose ``process_models()`` maps process classes to the team's own models for the chip."""


class ChipUnavailableError(Exception):
    """lava-loihi, or a model of the neuron, is missing."""


class Adapters:
    """Bridges between processes of the host and of the chip."""

    def __init__(self) -> None:
        if not _installed("lava.proc.embedded_io"):
            raise ChipUnavailableError(
                "target loihi2 needs Intel's lava-loihi (lava.proc.embedded_io, NcProcessModels and their compiler), "
                "which INRC members receive; only lava-nc is installed here: go to the machine with the chip, or use "
                "--target sim"
            )
        self._spike = importlib.import_module("lava.proc.embedded_io.spike")

    def to_chip(self, port: OutPort) -> OutPort:
        """The events of ``port`` of a host process, on the chip."""
        adapter = self._spike.PyToNxAdapter(shape=port.shape, num_message_bits=MESSAGE_BITS)
        port.connect(adapter.inp)
        return adapter.out

    def from_chip(self, port: OutPort) -> OutPort:
        """The events of ``port`` of a chip process, on the host: 24 bits, not yet sign-extended."""
        adapter = self._spike.NxToPyAdapter(shape=port.shape, num_message_bits=MESSAGE_BITS)
        port.connect(adapter.inp)
        return adapter.out


def make_run_configuration(*, stock: bool) -> Loihi2HwCfg:
    """Lava's hardware configuration with the models of the team's hook, which a ``stock`` network does not need."""
    models: dict[Any, Any] = importlib.import_module(HOOK).process_models() if _installed(HOOK) else {}
    if not models and not stock:
        raise ChipUnavailableError(
            f"no model of the neuron for the chip: {HOOK}.py beside run.py must return the team's NcProcessModels"
        )
    return Loihi2HwCfg(exception_proc_model_map=models)


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False

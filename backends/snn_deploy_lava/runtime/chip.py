"""What runs a graph on a chip: adapters between host and chip, and a named model for every process.

Adapters and models of the chip come from Intel's lava-loihi, which INRC members receive. This module follows public programs that
drive a chip: lava-dl ``tests/lava/lib/dl/netx/test_hdf5_nx.py``, ``tutorials/lava/lib/dl/netx``; lava-nc
``networks/gradedvecnetwork.py``. It has not run on a chip.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterable
from typing import Any

from lava.magma.core.process.ports.ports import OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.run_configs import Loihi2HwCfg

from snn_deploy_lava.runtime.chip_plan import INPUT_BITS, OUTPUT_BITS

HOOK = "chip_models"
"""Module beside ``run.py``: ``process_models()`` maps process classes to the team's own models, ``callback_fxs(steps)`` gives
profilers."""


class ChipUnavailableError(Exception):
    """lava-loihi, or a model of a process, is missing, or host and chip are joined as they cannot be."""


class Adapters:
    """Bridges between processes of the host and of the chip; ``processes`` are those built so far."""

    def __init__(self) -> None:
        if not _installed("lava.proc.embedded_io"):
            raise ChipUnavailableError(
                "target loihi2 needs Intel's lava-loihi (lava.proc.embedded_io, NcProcessModels and their compiler), "
                "which INRC members receive; only lava-nc is installed here: go to the machine with the chip, or use "
                "--target sim"
            )
        self._spike = importlib.import_module("lava.proc.embedded_io.spike")
        self.processes: list[AbstractProcess] = []

    def to_conv(self, port: OutPort, name: str) -> OutPort:
        """The events of ``port`` (X, Y, C) of a host process for ``Conv`` on the chip; payloads as they are (``spike_exp`` 0)."""
        adapter = self._spike.PyToN3ConvAdapter(shape=port.shape, num_message_bits=INPUT_BITS, spike_exp=0)
        return self._join(port, adapter, f"{name} to conv")

    def to_dense(self, port: OutPort, name: str) -> OutPort:
        """The events of ``port`` of a host process, flat, for ``Dense`` or ``Sparse`` on the chip."""
        flat = port.flatten()
        adapter = self._spike.PyToNxAdapter(shape=flat.shape, num_message_bits=OUTPUT_BITS)
        return self._join(flat, adapter, f"{name} to dense")

    def from_chip(self, port: OutPort, name: str) -> OutPort:
        """The events of ``port`` of a chip process, on the host: 24 bits, not yet sign-extended."""
        adapter = self._spike.NxToPyAdapter(shape=port.shape, num_message_bits=OUTPUT_BITS)
        return self._join(port, adapter, f"{name} read-out")

    def _join(self, port: OutPort, adapter: Any, name: str) -> OutPort:
        adapter.name = name
        port.connect(adapter.inp)
        self.processes.append(adapter)
        out: OutPort = adapter.out
        return out


def name_models(
    processes: Iterable[AbstractProcess], adapters: Iterable[AbstractProcess], host: dict[type, type]
) -> dict[type, type]:
    """A model for every class among ``processes``: of ``host``, of the team's hook, or what lava-loihi has for the chip.

    :class:`ChipUnavailableError` names the classes that have none, or whose model is one of the host.
    """
    team = load_hook("process_models")
    joined = {type(adapter) for adapter in adapters}
    users: dict[type, list[AbstractProcess]] = {}
    for process in processes:
        users.setdefault(type(process), []).append(process)
    named: dict[type, type] = {}
    faults: list[str] = []
    for kind, used in users.items():
        model: Any = host.get(kind) or team.get(kind) or _search(used[0], any_model=kind in joined)
        named[kind] = model
        if model is None:
            faults.append(f"{_label(kind, used)} has no model for the chip")
        elif kind in host and "fixed_pt" not in model.tags:
            faults.append(f"{_label(kind, used)} would send floats: its model {model.__name__} is not of fixed point")
        elif kind not in host and kind not in joined and not _runs_on_chip(model):
            faults.append(f"{_label(kind, used)} has model {model.__name__}, which runs on the host")
    if faults:
        raise ChipUnavailableError(
            "; ".join(faults)
            + f"; install a lava-loihi that has them, or return yours from process_models() in {HOOK}.py"
        )
    return named


def check_boundaries(
    processes: Iterable[AbstractProcess], adapters: Iterable[AbstractProcess], host: dict[type, type]
) -> None:
    """:class:`ChipUnavailableError` where host and chip meet without an adapter, or one stands before the wrong synapse."""
    bridges = {adapter: type(adapter).__name__ for adapter in adapters}
    faults = []
    for process in processes:
        sends_host = type(process) in host or bridges.get(process) == "NxToPyAdapter"
        for port in process.out_ports:
            for target in (end.process for end in port.get_dst_ports()):
                takes_host = type(target) in host or bridges.get(target, "NxToPyAdapter") != "NxToPyAdapter"
                if sends_host != takes_host:
                    faults.append(f"{process.name} to {target.name}: host and chip are joined without an adapter")
                wanted = "PyToN3ConvAdapter" if type(target).__name__ == "Conv" else "PyToNxAdapter"
                used = bridges.get(process, "NxToPyAdapter")
                if used not in ("NxToPyAdapter", wanted):
                    faults.append(
                        f"{process.name} to {target.name}: {used} stands before {type(target).__name__}, not {wanted}"
                    )
    if faults:
        raise ChipUnavailableError("; ".join(faults[:4]))


def load_hook(function: str, *arguments: Any) -> Any:
    """What ``function`` of the team's module returns; an empty dictionary without it."""
    if not _installed(HOOK):
        return {}
    hook = getattr(importlib.import_module(HOOK), function, None)
    return {} if hook is None else hook(*arguments)


def make_run_configuration(models: dict[type, type], callbacks: Iterable[Any] = ()) -> Loihi2HwCfg:
    """Lava's hardware configuration with ``models`` for all processes, and profilers."""
    return Loihi2HwCfg(exception_proc_model_map=models, callback_fxs=list(callbacks))


def _search(process: AbstractProcess, *, any_model: bool) -> Any:
    """The model that Lava's hardware configuration takes among those for the chip; ``None`` if there is none."""
    from lava.magma.compiler.compiler_graphs import ProcGroupDiGraphs
    from lava.magma.compiler.exceptions import NoProcessModelFound

    try:
        found = ProcGroupDiGraphs._find_proc_models(process)
    except NoProcessModelFound:
        return None
    fitting = [model for model in found if any_model or _runs_on_chip(model)]
    return Loihi2HwCfg().select(process, fitting) if fitting else None


def _runs_on_chip(model: Any) -> bool:
    """Whether ``Loihi2HwCfg`` would take it for the chip or its embedded processors (``_order_according_to_resources``)."""
    from lava.magma.core.model.c.model import CLoihiProcessModel
    from lava.magma.core.model.nc.model import AbstractNcProcessModel
    from lava.magma.core.model.sub.model import AbstractSubProcessModel
    from lava.magma.core.resources import Loihi2NeuroCore, NeuroCore

    if issubclass(model, (CLoihiProcessModel, AbstractSubProcessModel)):
        return True
    cores = {NeuroCore, Loihi2NeuroCore} & set(model.required_resources)
    return issubclass(model, AbstractNcProcessModel) and bool(cores)


def _label(kind: type, used: list[AbstractProcess]) -> str:
    return f"{kind.__name__} ({used[0].name}{f' and {len(used) - 1} more' if len(used) > 1 else ''})"


def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False

"""Files of other tools by their suffix: read as a network, or listed node by node with what becomes of each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from snn_deploy.errors import NetworkError
from snn_deploy.exchange.netx import read_net
from snn_deploy.exchange.nir import read_nir
from snn_deploy.frontend.ledger import Ledger, Row
from snn_deploy.network.network import Network
from snn_deploy.shapes import Size

SUFFIXES = (".net", ".nir")


def read_foreign(
    path: Path,
    *,
    steps: int | None = None,
    payloads: tuple[int, int] | None = None,
    size: Size | None = None,
    dt: float | None = None,
    together: bool = False,
) -> Network:
    """The network in ``path``; :class:`NetworkError` names the layer or node that cannot be read.

    ``payloads`` limits the input, ``size`` is the input's of a ``.net`` file that does not say it, ``dt`` the step of a NIR graph.
    ``together``: all layers of a ``.net`` file start in one step, as netx has it without ``reset_interval``.
    """
    if path.suffix.lower() == ".net":
        return read_net(path, steps=steps, input_limits=payloads, size=size, aligned=not together)
    if path.suffix.lower() == ".nir":
        return read_nir(path, steps=steps, input_limits=payloads, dt=dt)
    raise NetworkError(f"{path}: ends in {path.suffix or 'no suffix'}; {' and '.join(SUFFIXES)} files are read")


def inspect_foreign(path: Path, *, size: Size | None = None) -> Ledger:
    """What becomes of every node of ``path``; where one is refused, that one alone, since the shapes behind it are unknown."""
    try:
        network = read_foreign(path, size=size)
    except NetworkError as error:
        node, _, reason = str(error).partition(": ")
        kinds = dict(_list_nodes(path)) if path.suffix.lower() in SUFFIXES and path.is_file() else {}
        if node not in kinds:
            raise
        return Ledger((Row(node, kinds[node], "refused", reason),))
    return Ledger(tuple(_describe(network, name, kind) for name, kind in _list_nodes(path)))


def _describe(network: Network, name: str, kind: str) -> Row:
    populations = [item for item in network.populations if item.name == name or item.origin == (name,)]
    if populations:
        what = ", ".join(f"{item.name} {'x'.join(map(str, item.shape))}" for item in populations)
        kinds = dict.fromkeys(item.neuron.kind if item.neuron else "input" for item in populations)
        return Row(name, kind, "mapped", f"{what}: {', '.join(kinds)}")
    connections = [item.name for item in network.connections if name in item.origin]
    if connections:
        return Row(name, kind, "mapped", f"weights of {', '.join(connections)}")
    return Row(name, kind, "folded", "into its neighbours: it only reshapes, or names a result")


def _list_nodes(path: Path) -> Iterator[tuple[str, str]]:
    """Name and type of every layer or node of a file that was checked before."""
    import h5py

    with h5py.File(path, "r") as file:
        if path.suffix.lower() == ".net":
            for key in sorted(file["layer"], key=int):
                yield f"layer/{key}", _text(file["layer"][key]["type"][()])
        else:
            yield from _list_graph(file["node"], "")


def _list_graph(graph: Any, prefix: str) -> Iterator[tuple[str, str]]:
    for name, node in graph["nodes"].items():
        kind = _text(node["type"][()])
        if kind == "NIRGraph":
            yield from _list_graph(node, f"{prefix}{name}.")
        else:
            yield prefix + name, kind


def _text(value: Any) -> str:
    first = value[0] if getattr(value, "shape", ()) else value
    return first.decode() if isinstance(first, bytes) else str(first)

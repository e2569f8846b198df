"""What every reader of recordings checks: names of populations, and the memory that a recording asks for."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from snn_deploy.errors import VerificationError
from snn_deploy.network.network import Network
from snn_deploy.verification.traces.trace_file import PROBE_LIMIT


def check_size(where: object, samples: int, length: int, neurons: int) -> None:
    """:class:`VerificationError` where int64 arrays (samples, length, neurons) are too large: a wrong digit in a time, say."""
    needed = samples * length * neurons * np.dtype(np.int64).itemsize
    if needed > PROBE_LIMIT:
        raise VerificationError(
            f"{where}: {samples} x {length} steps x {neurons} neurons need {needed} bytes, {PROBE_LIMIT} are allowed"
        )


def match_names(network: Network, names: Collection[str]) -> dict[str, str]:
    """Populations by those of ``names`` that have dots where theirs have slashes, as names of files and attributes do.

    Names that the network has are left out, and so are those that fit none, or several.
    """
    known = [population.name for population in network.populations]
    dotted: dict[str, list[str]] = {}
    for name in known:
        dotted.setdefault(name.replace("/", ".").strip("."), []).append(name)
    found = {name: dotted.get(name.strip("."), []) for name in names if name not in known}
    return {name: places[0] for name, places in found.items() if len(places) == 1 and places[0] not in names}


def check_names(where: str, network: Network, names: Collection[str] | Mapping[str, object]) -> None:
    """:class:`VerificationError` where any of ``names`` is not a population of ``network``."""
    known = [population.name for population in network.populations]
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise VerificationError(
            f"{where}: {', '.join(unknown)} is not in network {network.name}; it has {', '.join(known)}"
        )

"""Whether compiled loops can be used here."""

from __future__ import annotations

from functools import cache
from types import ModuleType


@cache
def compiled_kernels() -> ModuleType | None:
    """The compiled loops over neurons, or ``None`` where numba is not installed or its compiler is switched off."""
    try:
        from numba.core import config

        from snn_deploy_cpu.kernels import threshold
    except ImportError:
        return None
    return None if config.DISABLE_JIT else threshold  # type: ignore[attr-defined]

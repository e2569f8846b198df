"""TODO."""

from __future__ import annotations

from functools import cache
from types import ModuleType

import numpy as np


@cache
def nobody() -> tuple[object, ...]:
    """No neurons."""
    nothing = np.empty(0, np.float32)
    return (nothing, nothing, False, 0, 1, np.empty((0, 0), np.uint8), nothing, nothing, 0.0, 0.0, 0.0)


@cache
def compiled_kernels() -> ModuleType | None:
    """The compiled kernels, or ``None`` where numba is not installed or its compiler is switched off."""
    try:
        from numba.core import config

        from snn_deploy_cpu.kernels import threshold as firing_numba
    except ImportError:
        return None
    return None if config.DISABLE_JIT else firing_numba  # type: ignore[attr-defined]

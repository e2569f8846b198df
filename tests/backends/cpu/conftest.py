"""Every instruction set that runs here, and none: how the same integers are computed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from snn_deploy_cpu.kernels.library import INSTRUCTION_SETS, VARIABLE, Kernels, load_kernels, select_kernels


@pytest.fixture(params=[*INSTRUCTION_SETS, "numpy"])
def instruction_set(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The kernels of this instruction set are selected, or for ``numpy`` none."""
    if request.param != "numpy" and load_kernels(request.param) is None:
        pytest.skip(f"no kernels for {request.param} here")
    monkeypatch.setenv(VARIABLE, request.param)
    select_kernels.cache_clear()
    yield request.param
    select_kernels.cache_clear()


@pytest.fixture(params=INSTRUCTION_SETS)
def kernels(request: pytest.FixtureRequest) -> Kernels:
    """The kernels of one instruction set."""
    found = load_kernels(request.param)
    if found is None:
        pytest.skip(f"no kernels for {request.param} here")
    return found

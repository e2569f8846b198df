"""The same spikes with the kernels of every instruction set, and without any; and which of them is selected."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from snn_deploy.errors import BackendUnavailableError
from snn_deploy.testing import check_backend, check_streams, conformance_cases, special_cases
from snn_deploy_cpu import CpuBackend
from snn_deploy_cpu.kernels import library
from snn_deploy_cpu.kernels.arguments import PayloadMaps, address_of
from snn_deploy_cpu.kernels.library import INSTRUCTION_SETS, VARIABLE, Kernels, load_kernels, select_kernels

FEW = (*conformance_cases(), *special_cases())


@pytest.mark.parametrize("options", [{}, {"sparse_below": 1.1, "direct": False}, {"sparse_below": 0.0, "direct": True}])
def test_conformance(instruction_set: str, options: dict[str, object]) -> None:
    found = check_backend(CpuBackend(**options), drawn=20, cases=FEW)  # type: ignore[arg-type]
    assert (len(found.equal), found.refused) == (len(FEW) + 20, {})


@pytest.mark.parametrize("options", [{}, {"sparse_below": 1.1, "direct": False}, {"sparse_below": 0.0, "direct": True}])
def test_streams(instruction_set: str, options: dict[str, object]) -> None:
    found = check_streams(CpuBackend(**options), drawn=8)  # type: ignore[arg-type]
    assert (len(found.equal), found.refused) == (8, {})


def test_the_package_has_kernels_here() -> None:
    assert load_kernels(INSTRUCTION_SETS[0]) is not None, "the kernels were not built; `make setup` does it"


def test_the_best_that_the_processor_has_is_selected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    select_kernels.cache_clear()
    least, best = load_kernels(INSTRUCTION_SETS[0]), select_kernels()
    if least is None or best is None:
        pytest.fail("no kernels")
    assert best.instruction_set == INSTRUCTION_SETS[least.supported]


def test_a_variable_selects_less(instruction_set: str) -> None:
    found = select_kernels()
    assert (found.instruction_set if found else "numpy") == instruction_set


def test_an_unknown_instruction_set_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "mmx")
    select_kernels.cache_clear()
    with pytest.raises(
        BackendUnavailableError, match=r"^SNN_DEPLOY_INSTRUCTION_SET=mmx: .*; choose baseline, .* or numpy$"
    ):
        select_kernels()
    select_kernels.cache_clear()


def test_a_package_without_kernels_goes_on_without(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(library, "library_path", lambda name: tmp_path / name)
    for path in (tmp_path / name for name in INSTRUCTION_SETS):
        assert load_kernels.__wrapped__(path.name) is None
        path.write_bytes(b"not a library")  # or one for another system
    assert load_kernels.__wrapped__(INSTRUCTION_SETS[0]) is None


def test_what_kernels_do_not_read_is_an_error(kernels: Kernels) -> None:
    x = np.zeros((1, 4, 4, 2), np.int16)
    with pytest.raises(ValueError, match="is not contiguous$"):
        address_of(x[:, ::2])
    with pytest.raises(ValueError, match="^payloads of int64; "):
        PayloadMaps.of(x.astype(np.int64))
    with pytest.raises(ValueError, match="^sums of int16 as int64; "):
        kernels.sum_pool(x, np.ones((1, 1, 2), np.int32), (1, 1), (1, 1), x.astype(np.int64))

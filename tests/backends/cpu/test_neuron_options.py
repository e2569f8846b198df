"""Every three neuron options against the specification, on every engine, with ``==``."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from snn_deploy.backend.protocol import Record, Run
from snn_deploy.testing import neuron_option_cases
from snn_deploy_cpu import CpuBackend
from snn_deploy_cpu.conv import autotune
from snn_deploy_cpu.neurons import multi_threshold
from snn_deploy_reference import ReferenceBackend

ENGINES: dict[str, dict[str, object]] = {
    "automatic": {},
    "int8": {"engine": "int8"},
    "f32": {"engine": "f32"},
    "f64": {"engine": "f64"},
    "sparse": {"sparse_below": 1.0, "direct": False},
    "direct": {"sparse_below": 0.0, "direct": True},
    "threads": {"threads": 2},
}

CASES = tuple(neuron_option_cases())


@cache
def expected_runs() -> tuple[Run, ...]:
    return tuple(ReferenceBackend().run(network, stimulus, Record.STATES) for _, network, stimulus in CASES)


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "numpy"])
@pytest.mark.parametrize("engine", ENGINES)
def test_every_three_options(engine: str, compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With membranes recorded and without: networks of a single step then keep none."""
    if not compiled:
        if engine in ("int8", "sparse", "direct"):
            pytest.skip("they are compiled kernels")
        for module in (multi_threshold, autotune):
            monkeypatch.setattr(module, "select_kernels", lambda: None)
    backend = CpuBackend(**ENGINES[engine])  # type: ignore[arg-type]
    for (options, network, stimulus), expected in zip(CASES, expected_runs(), strict=True):
        states, counts = (backend.run(network, stimulus, record) for record in (Record.STATES, Record.COUNTS))
        for field in ("counts", "events", "trains", "states"):
            for name, values in getattr(expected, field).items():
                where = f"{field} of {name} in {network.name}: {options}"
                np.testing.assert_array_equal(getattr(states, field)[name], values, err_msg=where)
                if field in ("counts", "events"):
                    np.testing.assert_array_equal(getattr(counts, field)[name], values, err_msg=where)
        assert states.saturations == counts.saturations == expected.saturations, options

"""How many threads the backend takes."""

import pytest

from snn_deploy.errors import BackendError
from snn_deploy_cpu import CpuBackend


@pytest.mark.parametrize(
    ("named", "threads"),
    [("3", 3), ("1024", 1024), ("1", 1), ("0", 1), ("", 1), ("four", 1), ("-2", 1), ("2,1", 1), ("99999", 1)],
)
def test_the_environment_names_threads(named: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", named)
    backend = CpuBackend()
    assert backend.__reduce__()[1][1] == threads
    assert CpuBackend(threads=2).__reduce__()[1][1] == 2
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert CpuBackend().__reduce__()[1][1] == 1
    kind, arguments = backend.__reduce__()
    assert kind(*arguments).__reduce__()[1][1] == threads  # in another process, whatever is named there


def test_less_than_one_thread_is_refused() -> None:
    with pytest.raises(BackendError, match="0 threads; at least 1 is needed"):
        CpuBackend(threads=0)

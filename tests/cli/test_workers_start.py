"""A worker that dies before the cluster is ready: one line and status 3, or 2 for ``verify``, which compared nothing."""

from pathlib import Path

import pytest

from tests.cli.conftest import Tool

distributed = pytest.importorskip("distributed", reason="needs the extra dask")


@pytest.mark.parametrize(("verb", "status"), [("evaluate", 3), ("verify", 2)])
def test_a_worker_that_dies_at_the_start(
    tool: Tool, network: Path, pictures: Path, verb: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(**_: object) -> None:
        raise RuntimeError("Cluster failed to start: Nanny failed to start.")

    monkeypatch.setattr(distributed, "LocalCluster", start)
    words = (
        ("--data", pictures, "--task", "denoise") if verb == "evaluate" else ("--input", pictures, "--crop", "16x16")
    )
    done = tool(verb, network, *words, "--workers", "2")
    assert (done.status, done.out) == (status, "")
    assert done.err == (
        f"snn-deploy {verb}: --workers 2: a worker ended before it was ready "
        "(Cluster failed to start: Nanny failed to start.); try fewer workers\n"
    )

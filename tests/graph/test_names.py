"""Fresh names: never a taken one, and as fast for the ten-thousandth as for the first."""

from __future__ import annotations

import time

from snn_deploy.graph.names import Names


def test_fresh_names_are_numbered_from_two() -> None:
    names = Names(["a", "a.2"])
    assert [names.fresh("a"), names.fresh("a"), names.fresh("b"), names.fresh("b")] == ["a.3", "a.4", "b", "b.2"]
    assert names.take("c") == "c"
    assert "c" in names
    assert names.fresh("c") == "c.2"


def test_many_of_one_name_take_no_longer() -> None:
    names, started = Names(), time.monotonic()
    assert len({names.fresh("a") for _ in range(100_000)}) == 100_000
    assert time.monotonic() - started < 5

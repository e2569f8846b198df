"""Sessions of onnxruntime: on one thread of the CPU, without messages of their own; and what is quoted of its errors."""

from __future__ import annotations

from typing import Any

import onnxruntime
import pytest

from snn_deploy.frontend.onnx import runtime
from snn_deploy.frontend.onnx.runtime import MOST, reason, session


@pytest.mark.parametrize("threads", [None, 3])
def test_sessions_take_as_many_threads_as_asked_for(threads: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Any] = []
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *given, **named: taken.extend([*given, named]))
    if threads is None:
        session(b"model")
    else:
        session(b"model", threads)
    model, options, named = taken
    assert (model, named) == (b"model", {"providers": ["CPUExecutionProvider"]})
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (threads or 1, 1)
    assert options.log_severity_level == runtime.FATAL == 4


@pytest.mark.parametrize(
    ("message", "quoted"),
    [
        ("no such\n   kernel", "no such kernel"),
        ("a " * 99 + "ab", "a " * 99 + "ab"),  # 200 characters
        ("b " + "a " * 99 + "ab", "... " + "a " * 98 + "ab"),
        ("x" * 300, "... " + "x" * 200),
        ("/places/in/its/source " * 20 + "the reason", "... " + "/places/in/its/source " * 8 + "the reason"),
    ],
)
def test_long_messages_are_quoted_from_their_end(message: str, quoted: str) -> None:
    assert MOST == 200
    assert reason(RuntimeError(message)) == quoted

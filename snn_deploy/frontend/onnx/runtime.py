"""Sessions of onnxruntime, which computes float networks; the core of the package does without it."""

from __future__ import annotations

from typing import Any

from snn_deploy.errors import BackendUnavailableError, suggest_extras

FATAL = 4
"""onnxruntime's own messages below this severity stay out of ours."""

MOST = 200
"""Characters of a message that are quoted, about."""


def session(model: bytes, threads: int = 1) -> Any:
    """An ``InferenceSession`` on the CPU; :class:`BackendUnavailableError` where onnxruntime is not installed."""
    try:
        import onnxruntime
    except ModuleNotFoundError as error:  # a plain ImportError may be Ctrl-C while it loads
        raise BackendUnavailableError(
            f"float networks are computed by onnxruntime, which is not installed: {suggest_extras('cpu')}"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = FATAL
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def reason(error: Exception) -> str:
    """What onnxruntime complains of, in one line; of a long message its end, for it begins with places in its own source."""
    words = " ".join(str(error).split())
    return words if len(words) <= MOST else f"... {words[-MOST:].split(' ', 1)[-1]}"

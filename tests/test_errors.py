"""The exception tree: complete, documented, one line each."""

import inspect
import re

import pytest

from snn_deploy import errors
from snn_deploy.errors import ClippedInputWarning, ModelError, SnnDeployError, UnsupportedModelError

TREE = [error for _, error in inspect.getmembers(errors, inspect.isclass) if issubclass(error, Exception)]


@pytest.mark.parametrize("error", TREE, ids=lambda error: error.__name__)
def test_every_error_is_ours_and_documented(error: type[Exception]) -> None:
    assert issubclass(error, SnnDeployError | ClippedInputWarning)
    assert re.search(rf"[ `]{error.__name__}[ `]", (errors.__doc__ or "").replace("\n", " "))
    assert error.__doc__


def test_an_unsupported_model_keeps_every_reason_on_one_line() -> None:
    error = UnsupportedModelError("net.onnx", ["enc/lstm: LSTM (opset 14)", "dec/if: If (opset 16)"])
    assert isinstance(error, ModelError)
    assert error.reasons == ("enc/lstm: LSTM (opset 14)", "dec/if: If (opset 16)")
    assert str(error) == "net.onnx: 2 node(s) cannot be mapped: enc/lstm: LSTM (opset 14); dec/if: If (opset 16)"

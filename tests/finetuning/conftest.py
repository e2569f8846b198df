"""A network small enough to train in a second."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.models import write_unet


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A U-Net of 300 weights, for what does not depend on the network."""
    return write_unet(tmp_path_factory.mktemp("small") / "small.onnx")

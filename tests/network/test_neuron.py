"""A kind of neuron that nothing knows, added as CONTRIBUTING.md says: the reference runs it, all others refuse it by name."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from snn_deploy.arrays import Int64
from snn_deploy.backend.integer_ann import compute_integer_counts
from snn_deploy.backend.registry import load_backend
from snn_deploy.errors import ArtifactError, BackendUnavailableError, ConversionError, NetworkError
from snn_deploy.exchange.integer_onnx import encode_onnx
from snn_deploy.network import artifact
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Network
from snn_deploy.network.neuron import Neuron, Reset, read_common_fields
from snn_deploy.network.record import Record, RecordReader
from snn_deploy.network.schedule import shuffle
from snn_deploy.testing import random_stimulus, random_unet


@dataclass(frozen=True, eq=False)
class Doubling(Neuron):
    """It sends twice what it receives, at once."""

    kind: ClassVar[str] = "doubling"
    section: ClassVar[str | None] = "doubling"
    is_schedule_free: ClassVar[bool] = False

    def charge(self, v: Int64, second: Int64, current: Int64) -> tuple[Int64, Int64]:
        return v + current, second

    def step(self, v: Int64, second: Int64, current: Int64) -> tuple[Int64, Int64, Int64]:
        payload = np.clip(2 * (v + current), self.payload_min, self.payload_max)
        return np.zeros_like(v), second + payload, payload

    def to_record(self) -> Record:
        return super().to_record() | {"doubling": {}}

    @classmethod
    def from_record(cls, record: RecordReader) -> "Doubling":
        return cls(**read_common_fields(record))


def doubled() -> Network:
    """The read-out doubles what reaches it."""
    network = random_unet(size=8, width=2)
    last = network.populations[-1]
    assert last.neuron is not None
    neuron = Doubling(last.neuron.theta, last.neuron.v0, -(2**20), 2**20, -(2**20), 2**20)
    return replace(network, populations=(*network.populations[:-1], replace(last, neuron=neuron)))


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    monkeypatch.setattr(artifact, "NEURON_KINDS", (*artifact.NEURON_KINDS, Doubling))
    return doubled()


def test_a_kind_without_a_place_in_files_is_refused() -> None:
    with pytest.raises(ArtifactError, match=r"^output: doubling neurons have no place in an \.snn file$"):
        artifact.encode(doubled())


def test_the_reference_runs_it_and_files_keep_it(network: Network) -> None:
    again = artifact.decode(artifact.encode(network))
    assert isinstance(again.populations[-1].neuron, Doubling)
    stimulus = random_stimulus(network)
    reference = load_backend("reference")
    plain = reference.run(random_unet(size=8, width=2), stimulus).counts["output"]
    assert np.any(plain)
    assert np.array_equal(reference.run(again, stimulus).counts["output"], 2 * plain)


@pytest.mark.parametrize("backend", ["cpu", "lava"])
def test_backends_refuse_it_by_name(network: Network, backend: str, tmp_path: Path) -> None:
    message = "^output: doubling neurons are not implemented.*; run the network on the reference backend$"
    with pytest.raises(BackendUnavailableError, match=message):
        load_backend(backend).run(network, random_stimulus(network))
    if backend == "lava":
        with pytest.raises(BackendUnavailableError, match=message):
            load_backend(backend).emit(network, tmp_path / "bundle", checked=False)  # type: ignore[attr-defined]


def test_what_holds_for_other_kinds_is_not_assumed(network: Network) -> None:
    with pytest.raises(NetworkError, match="^output: counts of doubling neurons are not those of an integer network$"):
        compute_integer_counts(network, random_stimulus(network))
    with pytest.raises(ConversionError, match="^output: counts that are not the floor .* cannot be written as ONNX$"):
        encode_onnx(network)
    with pytest.raises(
        NetworkError, match="^output: counts of doubling neurons depend on the schedule; keep it as it is$"
    ):
        shuffle(network, 0)


def test_channels_are_chosen_with_all_that_is_theirs() -> None:
    neuron = MultiThreshold(np.array([3, 5, 7]), np.array([0, 1, 2]), -9, 9)
    chosen = neuron.channels(np.array([2, 0]))
    assert (chosen.theta.tolist(), chosen.v0.tolist(), chosen.payload_max) == ([7, 3], [2, 0], 9)


@pytest.mark.parametrize(("reset", "limits"), [("subtract", (0, 9)), ("zero", (None, None))])
def test_records_name_the_reset_where_it_is_not_the_usual_one(
    reset: Reset, limits: tuple[int | None, int | None]
) -> None:
    neuron = MultiThreshold(np.array([3]), np.array([1]), -9, 9, *limits, reset=reset)
    assert ("reset" in neuron.to_record()) == (reset == "zero")
    assert neuron.to_record().get("reset", "subtract") == reset

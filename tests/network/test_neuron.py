"""A kind of neuron that nothing knows, added as CONTRIBUTING.md says: the reference runs it, all others refuse it by name."""

import importlib.util
from dataclasses import FrozenInstanceError, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from snn_deploy.arrays import Int64
from snn_deploy.backend.integer_ann import compute_integer_counts
from snn_deploy.backend.registry import load_backend
from snn_deploy.errors import ArtifactError, BackendUnavailableError, ConversionError, NetworkError
from snn_deploy.exchange.integer_onnx import encode_onnx
from snn_deploy.network import artifact
from snn_deploy.network.cuba_lif import CubaLif
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Network
from snn_deploy.network.neuron import Neuron, Reset, read_common_fields
from snn_deploy.network.record import Record, RecordReader
from snn_deploy.network.schedule import shuffle
from snn_deploy.network.sigma_delta import SigmaDelta
from snn_deploy.testing import random_stimulus, random_unet

needs_lava = pytest.mark.skipif(importlib.util.find_spec("lava") is None, reason="lava-nc is not installed")


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


@pytest.mark.parametrize("backend", ["cpu", pytest.param("lava", marks=needs_lava)])
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


def test_what_a_kind_does_not_say_of_itself_is_not_so(network: Network) -> None:
    """Whether it passes sums on, whether its numbers can be scaled: what a pass relies on is said by the kind, or not done."""
    (neuron,) = {id(each.neuron): each.neuron for each in network.populations if each.name == "output"}.values()
    if neuron is None:
        pytest.fail("the output has neurons")
    assert not neuron.relays
    assert not neuron.is_scalable


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


@pytest.mark.parametrize("missing", ["charge", "step", "from_record"])
def test_a_kind_without_a_step_or_a_record_is_no_kind(missing: str) -> None:
    methods = {name: vars(Doubling)[name] for name in ("charge", "step", "from_record") if name != missing}
    half = type("Half", (Neuron,), methods)
    with pytest.raises(TypeError, match=missing):
        half(np.array([1]), np.array([0]), -1, 1)


def numbers(*values: int) -> Int64:
    return np.array(values, np.int64)


USUAL: dict[str, Any] = {
    "theta": numbers(3, 5),
    "v0": numbers(0, 1),
    "payload_min": -9,
    "payload_max": 9,
    "count_min": -1,
    "count_max": 7,
}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"theta": numbers(1, STATE_MAX)}, None),
        ({"theta": numbers(3)}, r"theta \(1,\) and v0 \(2,\) must both be \(C,\)"),
        (
            {"theta": np.ones((1, 2), np.int64), "v0": np.ones((1, 2), np.int64)},
            r"theta \(1, 2\) and v0 .* must both be \(C,\)",
        ),
        ({"v0": numbers(-STATE_MAX, STATE_MAX)}, None),
        ({"v0": numbers(STATE_MAX + 1, 0)}, r"initial membranes must lie in \+-8388607"),
        ({"payload_min": -STATE_MAX, "payload_max": STATE_MAX}, None),
        ({"payload_min": 0, "payload_max": 1}, None),
        ({"payload_min": -STATE_MAX - 1}, r"payload limits .* must hold 0 and lie in \+-8388607"),
        ({"count_min": -STATE_MAX, "count_max": STATE_MAX}, None),
        ({"count_min": 0, "count_max": 1}, None),
        ({"count_min": None, "count_max": None}, None),
        ({"count_min": 1}, r"count limits 1\.\.7 must hold 0 and lie in \+-8388607"),
        ({"count_max": 0}, r"count limits -1\.\.0 must hold 0 and lie in \+-8388607"),
        ({"count_min": -STATE_MAX - 1}, r"count limits .* must hold 0 and lie in \+-8388607"),
        ({"count_max": STATE_MAX + 1}, r"count limits .* must hold 0 and lie in \+-8388607"),
        ({"reset": "zero"}, None),
        ({"reset": "half"}, "reset 'half' is neither 'subtract' nor 'zero'"),
    ],
)
def test_the_other_ends_of_limits(fields: dict[str, Any], message: str | None) -> None:
    if message is None:
        MultiThreshold(**(USUAL | fields))
    else:
        with pytest.raises(NetworkError, match=f"^{message}$"):
            MultiThreshold(**(USUAL | fields))


@pytest.mark.parametrize(
    ("fields", "counts", "relays"),
    [
        ({}, (-1, 7), False),
        ({"payload_min": 0}, (0, 7), False),
        ({"count_min": None, "count_max": None}, None, False),
        ({"theta": numbers(1, 1), "v0": numbers(0, 0)}, (-1, 7), True),
        ({"theta": numbers(1, 2), "v0": numbers(0, 0)}, (-1, 7), False),
        ({"theta": numbers(1, 1), "v0": numbers(0, 1)}, (-1, 7), False),
        ({"theta": numbers(1, 1), "v0": numbers(0, 0), "strict": True}, (-1, 7), False),
        ({"theta": numbers(1, 1), "v0": numbers(0, 0), "reset": "zero"}, (-1, 7), False),
    ],
)
def test_what_is_asked_of_every_kind(fields: dict[str, Any], counts: tuple[int, int] | None, relays: bool) -> None:
    neuron = MultiThreshold(**(USUAL | fields))
    assert (neuron.count_range, neuron.resting_count_range, neuron.relays) == (counts, counts, relays)
    assert neuron.quantizes
    assert not neuron.has_second_state
    assert neuron.is_schedule_free
    assert (neuron.section, neuron.is_stock, neuron.current_shift) == (None, False, 0)
    assert np.array_equal(neuron.quantum, neuron.theta)
    assert np.array_equal(neuron.membrane_bias, [0, 0])
    assert neuron.reach(numbers(3, 4)).tolist() == [3, 4]


@pytest.mark.parametrize("largest", [STATE_MAX, -STATE_MAX])
def test_offsets_of_lavas_neurons_lie_in_24_bits(largest: int) -> None:
    neuron = SigmaDelta.of(numbers(largest, 1), shift=2, payloads=(-9, 9))
    assert neuron.membrane_bias.tolist() == [largest, 1]
    assert neuron.channels(numbers(1)).membrane_bias.tolist() == [1]
    assert neuron.is_stock
    assert neuron.has_second_state
    with pytest.raises(NetworkError, match=r"^offsets \(2,\) must be \(2,\) and lie in \+-8388607$"):
        replace(neuron, offset=numbers(largest + largest // STATE_MAX, 1))
    with pytest.raises(NetworkError, match=r"^offsets \(1,\) must be \(2,\) and lie in \+-8388607$"):
        replace(neuron, offset=numbers(1))


@pytest.mark.parametrize(
    "neuron",
    [
        MultiThreshold(**USUAL),
        CubaLif.of(numbers(64), numbers(0), current_decay=4096, voltage_decay=0),
        SigmaDelta.of(numbers(0), shift=2, payloads=(-9, 9)),
    ],
)
def test_neurons_are_values(neuron: Neuron) -> None:
    for name in ("theta", "note"):
        with pytest.raises(FrozenInstanceError):
            setattr(neuron, name, numbers(1))

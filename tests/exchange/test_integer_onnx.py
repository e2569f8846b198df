"""The integer ONNX form: onnxruntime, which knows nothing of spikes, finds every spike count."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_deploy.arrays import Array
from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.errors import ArtifactError, ConversionError, OverflowProofError
from snn_deploy.exchange.integer_onnx import encode_onnx, write_onnx
from snn_deploy.network import artifact
from snn_deploy.network.kernels import ConvKernel, Kernel, SpatialKernel, TransposedKernel
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.schedule import align, shuffle
from snn_deploy.testing import random_stimulus, random_unet
from snn_deploy.verification import Level, Status, compare
from snn_deploy_onnx.backend import compute_counts

FLOATING = {onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16}

pair = st.tuples(st.integers(1, 3), st.integers(1, 3))


def one_layer(
    kernel: Kernel, shape: tuple[int, int, int], limit: int, *, exponent: int = 0, strict: bool = False
) -> Network:
    """Input straight into one layer with thresholds 1, 3, 100, ... and signed counts."""
    target = kernel.output_shape(shape)
    theta = np.resize([1, 3, 100, 64], target[0])
    neuron = MultiThreshold(theta, theta // 2, -100, 100, -100, 100, strict=strict)
    bias = np.arange(target[0]).reshape(-1, 1, 1) - 2
    zeros = np.zeros((shape[0], 1, 1), np.int64)
    return align(
        Network(
            "one",
            "exact",
            1,
            (
                Population("in", shape, None, zeros, np.ones(shape[0]), input_min=-limit, input_max=limit),
                Population("out", target, neuron, bias, np.ones(target[0])),
            ),
            (Connection("in->out", "in", "out", kernel, exponent),),
            (Output("out", "out"),),
        )
    )


def assert_equal_counts(network: Network, stimulus: Array) -> None:
    expected = load_backend("reference").run(network, stimulus).counts
    computed = compute_counts(encode_onnx(network), stimulus)
    assert set(computed) == set(expected)
    for name, counts in expected.items():
        assert np.array_equal(computed[name], counts), name


@pytest.mark.parametrize("seed", range(3))
def test_counts_of_unets(seed: int) -> None:
    network = random_unet("exact", seed)
    assert_equal_counts(network, random_stimulus(network, seed, 3))


def test_a_run_is_verified_like_that_of_any_backend() -> None:
    network = random_unet("exact", 0)
    stimulus = random_stimulus(network)
    expected, actual = (load_backend(name).run(network, stimulus) for name in ("reference", "onnx"))
    assert (actual.network, actual.stimulus) == (expected.network, expected.stimulus)
    for name, events in expected.events.items():
        assert np.array_equal(actual.events[name], events), name
        assert np.array_equal(actual.counts[name], expected.counts[name]), name
    assert load_backend("onnx").run(shuffle(network, seed=1), stimulus).events == {}
    verdict = compare(network, [expected, actual], Level.NEURON_COUNT)
    assert (verdict.status, verdict.reached) == (Status.EQUAL, Level.NEURON_COUNT)
    train = compare(network, [load_backend("reference").run(network, stimulus, Record.TRAINS), actual], Level.TRAIN)
    assert (train.status, train.reached) == (Status.NOT_COMPARED, Level.NEURON_COUNT)


def test_counts_do_not_depend_on_payloads_or_schedule() -> None:
    network = shuffle(random_unet("exact", 1, size=8, levels=15, payload=4), seed=5)
    assert_equal_counts(network, random_stimulus(network))


@pytest.mark.parametrize("kind", [ConvKernel, TransposedKernel])
@settings(deadline=None, max_examples=60)
@given(
    window=pair,
    strides=pair,
    pads=st.tuples(*[st.integers(-1, 2)] * 4),
    gaps=pair,
    groups=st.sampled_from([1, 2, 4]),
    limit=st.sampled_from([1, 127, 128, 300, 70000]),
    strict=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_every_geometry_and_range(
    kind: type[ConvKernel] | type[TransposedKernel],
    window: tuple[int, int],
    strides: tuple[int, int],
    pads: tuple[int, int, int, int],
    gaps: tuple[int, int],
    groups: int,
    limit: int,
    strict: bool,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    first, second = (8, 4 // groups) if kind is ConvKernel else (4, 8 // groups)
    most = 4 if limit == 70000 else 127
    kernel = kind(rng.integers(-most, most + 1, (first, second, *window)).astype(np.int8), strides, pads, gaps, groups)
    network = one_layer(kernel, (4, 9, 10), limit, strict=strict)
    assert_equal_counts(network, rng.integers(-limit, limit + 1, (2, 4, 9, 10)))


def test_pixel_maps_with_empty_and_long_rows() -> None:
    rng = np.random.default_rng(0)
    counts = np.array([0, 3, 1, 0, 2, 5])
    total = int(counts.sum())
    kernel = SpatialKernel(
        (4, 5),
        (2, 3),
        np.r_[0, np.cumsum(counts)],
        rng.integers(0, 20, total),
        rng.integers(-128, 128, total).astype(np.int8),
    )
    network = one_layer(kernel, (3, 4, 5), 255, exponent=3)
    assert_equal_counts(network, rng.integers(-255, 256, (2, 3, 4, 5)))


def test_every_operator_is_of_integers_and_standard() -> None:
    network = random_unet("exact", 0)
    model = onnx.shape_inference.infer_shapes(onnx.load_from_string(encode_onnx(network)), strict_mode=True)
    assert {opset.domain: opset.version for opset in model.opset_import} == {"": 17}
    values = [*model.graph.value_info, *model.graph.input, *model.graph.output]
    assert not [value.name for value in values if value.type.tensor_type.elem_type in FLOATING]
    assert not [constant.name for constant in model.graph.initializer if constant.data_type in FLOATING]
    assert [output.name for output in model.graph.output] == [population.name for population in network.populations[1:]]
    assert model.metadata_props[0].value == artifact.digest(network)


def test_the_file_is_the_same_each_time(tmp_path: Path) -> None:
    network = random_unet("exact", 0)
    write_onnx(network, tmp_path / "a.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == encode_onnx(network)
    with pytest.raises(ArtifactError, match=r"cannot be written: No such file or directory$"):
        write_onnx(network, tmp_path / "absent" / "a.onnx")


def test_what_depends_on_the_schedule_is_refused() -> None:
    with pytest.raises(ConversionError, match=r"counts of rate mode depend on the schedule; convert in exact mode$"):
        encode_onnx(random_unet("rate", 0))
    network = random_unet("exact", 0, size=8)
    growing = replace(
        network,
        steps=3,
        populations=tuple(
            population
            if population.neuron is None
            else replace(population, neuron=replace(population.neuron, payload_min=0))
            for population in network.populations
        ),
    )
    with pytest.raises(
        ConversionError,
        match=r"^enc1/a, .*, output: counts of neurons without negative payloads depend on the schedule; .* whole count$",
    ):
        encode_onnx(growing)


def test_the_proof_is_made_again() -> None:
    network = one_layer(ConvKernel(np.full((1, 1, 1, 1), 127, np.int8)), (1, 2, 2), 2**20)
    with pytest.raises(OverflowProofError, match=r"^out: worst case"):
        encode_onnx(network)

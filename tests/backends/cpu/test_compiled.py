"""The cpu backend's plan, read back from packed weights and coefficients, equals the network for all inputs, or is refuted."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from snn_deploy.backend.compiled_form import CompiledForm
from snn_deploy.errors import CompiledFormError, SnnDeployError
from snn_deploy.network.kernels import ConvKernel
from snn_deploy.network.multi_threshold import MultiThreshold
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.schedule import undelay
from snn_deploy.testing import conformance_cases, random_unet, special_cases
from snn_deploy.testing.drawing import draw_network
from snn_deploy.verification.proof import Outcome, prove_backend, prove_form
from snn_deploy_cpu import CpuBackend
from snn_deploy_cpu.compiled import read_plan
from snn_deploy_cpu.conv.operators import FloatConv
from snn_deploy_cpu.neurons.multi_threshold import ThresholdNeurons
from snn_deploy_cpu.plan import Engine, NeuronLayer, Plan, prepare
from tests.verification.proof.forms import with_fault

NUMBERS = (
    "comparison",
    "bias exponent up",
    "bias missing",
    "one bias off",
    "threshold doubled",
    "threshold off",
    "v0 missing",
    "payload clipped",
    "kernel flipped",
    "axes transposed",
    "channels reversed",
    "padding shifted",
    "weight bit dropped",
    "largest weight off",
    "weight exponent up",
    "weight exponent down",
    "skip missing",
)
"""Faults of numbers and synapses, with which a plan can be made: no event may come early."""


@pytest.fixture(scope="module")
def network() -> Network:
    return random_unet("exact", 0, size=8)


@pytest.mark.parametrize("engine", [None, "f32", "f64", "int8"])
def test_plans_of_every_engine_are_proved(engine: Engine | None) -> None:
    every = [network for cases in (conformance_cases(), special_cases()) for network, _ in cases]
    for network in every[::4] if engine else every[::2]:
        proof = prove_backend(network, CpuBackend(engine))
        assert proof.exit_code == 0, proof.line
        assert {each.kind for each in proof.obligations} == {
            "structure",
            "linear",
            "firing",
            "formats",
            "bounds",
            "schedule",
        }


def test_drawn_networks_of_every_neuron_are_proved() -> None:
    kinds: set[str] = set()
    for seed in range(36, 60):
        network = draw_network(Random(seed))
        proof = prove_backend(network, CpuBackend())
        assert proof.exit_code == 0, (seed, proof.line)
        kinds |= {each.neuron.kind for each in network.populations if each.neuron is not None}
    assert kinds == {"multi-threshold", "two-sided", "CUBA-LIF", "sigma-delta"}


def test_currents_are_bounded_neuron_by_neuron() -> None:
    """The least current of one channel and the least bias of another never meet: together they would leave float32."""
    weight = np.array([-127, 1], np.int8).reshape(2, 1, 1, 1)
    neuron = MultiThreshold(np.array([2**9, 2**9]), np.array([0, 0]), 0, 127, 0, 127)
    bias = np.array([0, -300_000]).reshape(2, 1, 1)
    network = Network(
        "channels",
        "exact",
        1,
        (
            Population("image", (1, 4, 4), None, np.zeros((1, 1, 1), np.int64), np.ones(1), input_max=127),
            Population("neurons", (2, 4, 4), neuron, bias, np.ones(2), start=1),
        ),
        (Connection("image -> neurons", "image", "neurons", ConvKernel(weight), 9, 1),),
        (Output("neurons", "neurons"),),
    )
    assert 127 * 127 * 2**9 + 300_000 > 2**23
    proof = prove_backend(network, CpuBackend())
    assert proof.exit_code == 0, proof.line


@pytest.mark.parametrize(
    "names",
    [
        ("up1", "dec"),
        pytest.param(("enc1/a", "enc1/b", "pool", "enc2", "down", "up2", "output"), marks=pytest.mark.slow),
    ],
    ids=["some", "others"],
)
@pytest.mark.parametrize("fault", NUMBERS)
def test_a_fault_is_refuted_without_a_stimulus(network: Network, fault: str, names: tuple[str, ...]) -> None:
    outcomes: Counter[Outcome] = Counter()
    for name in names:
        faulty = with_fault(network, name, fault)
        if faulty is None:
            continue
        try:
            form = CpuBackend().read_compiled(faulty)
        except SnnDeployError:
            continue
        proof = prove_form(network, form)
        outcomes[proof.outcome] += 1
        equivalent = {("pool", "kernel flipped"), ("pool", "axes transposed"), ("output", "payload clipped")}
        expected = Outcome.PROVED if (name, fault) in equivalent else Outcome.REFUTED
        assert proof.outcome is expected, (name, proof.line)
    assert outcomes[Outcome.REFUTED]


def planned(network: Network, name: str, engine: Engine | None = "f32") -> tuple[Plan, NeuronLayer]:
    """A plan of its own, and one of its layers."""
    plan = prepare(network, engine)
    (layer,) = (each for each in plan.layers if each.population.name == name)
    assert isinstance(layer, NeuronLayer)
    return plan, layer


def with_neurons(plan: Plan, layer: NeuronLayer, neurons: ThresholdNeurons) -> CompiledForm:
    """The form of ``plan`` with other neurons in ``layer``."""
    layers = tuple(replace(each, neurons=neurons) if each is layer else each for each in plan.layers)
    return read_plan(replace(plan, layers=layers))


def test_a_packed_weight_that_is_altered_is_refuted(network: Network) -> None:
    plan, layer = planned(network, "dec", "f64")
    operator = layer.inputs[0].operator
    assert isinstance(operator, FloatConv)
    operator._primitive._taps[0, 0, 0, 0, 0] += 1  # type: ignore[attr-defined]  # where NumPy's convolution keeps them
    refuted = prove_form(network, read_plan(plan)).of(Outcome.REFUTED)
    assert [each.subject for each in refuted] == ["enc1/b -> dec"]
    operator._primitive._taps[0, 0, 0, 0, 0] += 0.5  # type: ignore[attr-defined]
    with pytest.raises(CompiledFormError, match="^FloatConv: holds numbers that are not whole$"):
        read_plan(plan)


def test_altered_neurons_are_refuted_or_refused(network: Network) -> None:
    rate = random_unet("rate", 0, size=8)
    plan, layer = planned(rate, "dec")
    neurons = layer.neurons
    assert isinstance(neurons, ThresholdNeurons)
    hard = prove_form(rate, with_neurons(plan, layer, replace(neurons, reset_value=0.0)))
    assert "(reset differ)" in hard.of(Outcome.REFUTED)[0].reason
    rounding = replace(neurons.thresholds, rounding=0.5)
    assert "(strict differ)" in prove_form(rate, with_neurons(plan, layer, replace(neurons, thresholds=rounding))).line
    bias = neurons.bias + np.resize(np.arange(neurons.bias.size) == 0, neurons.bias.size)
    with pytest.raises(CompiledFormError, match="^dec: a tile does not repeat the numbers of its channels$"):
        with_neurons(plan, layer, replace(neurons, bias=bias))
    low = replace(
        neurons.thresholds, reciprocal=np.nextafter(neurons.thresholds.reciprocal, np.float32(0)) * np.float32(0.99)
    )
    with pytest.raises(CompiledFormError, match="in floats is not that of a division$"):
        with_neurons(plan, layer, replace(neurons, thresholds=low))


def test_networks_with_early_events_stay_open(network: Network) -> None:
    early = undelay(network)
    proof = prove_form(early, CpuBackend().read_compiled(network))
    schedule = proof.of(Outcome.OPEN)[-1]
    assert schedule.kind == "schedule"
    assert schedule.reason.endswith("and events arrive before their target's window")


def test_late_events_are_proved_by_their_delays(network: Network) -> None:
    late = replace(network, connections=tuple(replace(each, delay=each.delay + 1) for each in network.connections))
    assert prove_backend(late, CpuBackend()).exit_code == 0
    refuted = prove_form(late, CpuBackend().read_compiled(network)).of(Outcome.REFUTED)
    assert len(refuted) >= 2 * len(network.connections)  # each is missing after 1 step, and is found after 0

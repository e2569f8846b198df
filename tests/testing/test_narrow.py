"""Networks within 8 bits: legal, the same for the same random numbers, and of every kind."""

from __future__ import annotations

from random import Random

from snn_deploy.mapping.akida import plan_layers
from snn_deploy.network import artifact
from snn_deploy.network.bounds import prove
from snn_deploy.testing import draw_narrow


def test_they_fit_and_are_of_every_kind() -> None:
    kinds, maxima = set(), 0
    for seed in range(40):
        network = draw_narrow(Random(seed))
        prove(network)
        plan = plan_layers(network)
        assert plan.misfits == ()
        assert network.one_shot
        kinds |= {(layer.kind, layer.stride) for layer in plan.layers}
        maxima += len(plan.maxima)
    assert kinds >= {(kind, 1) for kind in ("conv", "depthwise", "transposed", "depthwise transposed")}
    assert kinds >= {("conv", 2), ("depthwise", 2)}
    assert maxima > 3


def test_a_seed_names_a_network() -> None:
    one, other = (artifact.digest(draw_narrow(Random(seed))) for seed in (3, 4))
    assert one == artifact.digest(draw_narrow(Random(3)))
    assert one != other

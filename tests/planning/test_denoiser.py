"""The shipped denoiser at 512x512 on one chip: planned, executed, and equal to the whole image in every neuron."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

import snn_deploy as sd
from snn_deploy.data.images import add_noise, load_photograph
from snn_deploy.planning.halo import Halo, find_cut

MODEL = Path(__file__).resolve().parents[2] / "models" / "denoiser_s25.onnx"


@pytest.mark.slow
def test_one_chip_denoises_a_photograph_exactly() -> None:
    for name in ("skimage", "onnxruntime"):
        pytest.importorskip(name, reason="conversion needs the extras cpu and report")
    net = sd.convert(MODEL, noise=25, fixed=True)
    assert find_cut(net.network).exact == Halo(23, 23)
    clean = load_photograph("camera", 1)
    noisy = add_noise(clean, 25.0, 0)
    begun = time.perf_counter()
    plan, options = sd.plan(net, noisy, chips=1, clean=clean)
    assert time.perf_counter() - begun < 120
    assert plan.exact
    assert len(plan.groups) > 1
    assert all(max(group.cores for group in option.cost.groups) <= 120 for option in options)
    whole, tiles = net.run(noisy), net.run(noisy, plan=plan)
    for name in whole.counts:
        assert np.array_equal(whole.counts[name], tiles.counts[name]), name
        assert np.array_equal(whole.events[name], tiles.events[name]), name
    lossy = [option for option in options if not option.plan.exact]
    assert all(option.loss_db is not None and 0 < option.loss_db < 1 for option in lossy)

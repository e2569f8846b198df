"""Plots of ``docs/reference/results.md``: quality over time steps, spike rate per layer, activations around normalization."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from results_page import UNITS, Parts, lines_of, loss
from results_studies import VARIANTS, Study

from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.conversion.calibrate import Statistics, calibrate, percentile
from snn_deploy.conversion.convert import convert
from snn_deploy.conversion.layers import group_layers
from snn_deploy.conversion.normalize import choose_scales
from snn_deploy.conversion.options import preset
from snn_deploy.data.images import Image
from snn_deploy.frontend.onnx import read
from snn_deploy.passes import normal_form

mpl.use("Agg")
from matplotlib import pyplot as plt

COLORS = {variant: f"C{index}" for index, variant in enumerate(VARIANTS)}
MARKERS = {
    "Spiking-UNet neuron, fine-tuned": "x",
    "Spiking-UNet neuron, MMSE, fine-tuned": "+",
    "exact, N = 63": "s",
    "exact, N = 127": "D",
}

MODEL = Path(__file__).resolve().parents[2] / "models/denoiser_s25.onnx"


def write_plots(folder: Path, parts: Parts, studies: Sequence[Study], noisy: Image) -> dict[str, str]:
    """All plots as PNG; returns caption by file name."""
    folder.mkdir(parents=True, exist_ok=True)
    captions = {}
    swept = [study for study in studies if lines_of(parts, study)]
    if swept:
        rows = -(-len(swept) // 2)
        figure, panels = plt.subplots(rows, 2, figsize=(9, 3.2 * rows), layout="constrained", squeeze=False)
        shown: dict[str, Any] = {}
        for axes, study in zip(panels.flat, swept, strict=False):
            _quality(axes, parts, study)
            shown |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        for axes in panels.flat[len(swept) :]:
            axes.set_axis_off()
        figure.legend(shown.values(), shown, loc="outside lower center", ncols=3, fontsize=8)
        captions["quality.png"] = (
            "Loss against the float network over time steps; dashed: the tolerance of the summary. Points at a hundredth of it "
            "stand for that loss or less, or a gain."
        )
        _save(figure, folder / "quality.png")
    for name, draw, caption in (
        ("rates.png", _rates, "Events per neuron and step, layer by layer."),
        (
            "units.png",
            _units,
            "Each connection's source, from the median of its non-zero activations to the 99.9 percentile, before and after "
            "normalization.",
        ),
    ):
        figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
        draw(axes, noisy)
        _save(figure, folder / name)
        captions[name] = caption
    return captions


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def _quality(axes: Any, parts: Mapping[str, Any], study: Study) -> None:
    floor = study.tolerance / 100
    for variant, points in lines_of(parts, study).items():
        losses = {step: max(loss(parts, study, part, study.crop), floor) for step, part in sorted(points.items())}
        axes.plot(*zip(*losses.items(), strict=True), marker="o", ms=3, label=variant, color=COLORS[variant])
    for row in study.crops:
        part = parts.get(study.key(row, study.crop))
        name = row.variant if row.training else row.name
        if part is not None and name in MARKERS:
            lost = max(loss(parts, study, part, study.crop), floor)
            axes.plot(row.steps, lost, MARKERS[name], ms=7, mfc="none", mew=1.5, color="black", label=name)
    axes.axhline(study.tolerance, color="grey", lw=0.8, ls="--")
    axes.set_title(study.title, fontsize=8)
    axes.set(yscale="log", xlabel="time steps T", ylabel=f"loss [{UNITS[study.metric]}]")
    axes.set_xscale("log", base=2)


def _rates(axes: Any, noisy: Image) -> None:
    graph = normal_form(read(MODEL, (noisy.shape[2], noisy.shape[3])).graph)
    fired = [layer.name for layer in group_layers(graph).layers if layer.kind == "relu"]
    for name, steps in (("multi-threshold", 4), ("spiking-unet", 16), ("if", 64), ("exact", 1)):
        options = preset(name) if name == "exact" else preset(name, steps=steps)
        network = convert(MODEL, [noisy], options).conversion.network
        run = load_backend("cpu").run(network, quantize_images(network, noisy))
        rates = [float(run.events[item].mean()) / network.steps for item in fired]
        axes.plot(range(1, len(fired) + 1), rates, marker="o", ms=3, label=f"{name}, T = {steps}")
    axes.set(xlabel="ReLU layer, from input to output", ylabel="events per neuron and step", ylim=(0, 1))
    axes.legend(fontsize=7)


def _units(axes: Any, noisy: Image) -> None:
    graph = normal_form(read(MODEL, (noisy.shape[2], noisy.shape[3])).graph)
    layers = group_layers(graph)
    statistics = calibrate(graph, layers, [noisy])
    connections = [item for layer in layers.layers for item in layer.inputs if item.source != layers.input]
    places = np.arange(len(connections))
    spans = np.array(
        [[_magnitude(statistics[connection.source], percent) for percent in (50, 99.9)] for connection in connections]
    )
    series = {"real values": spans}
    for name in ("connection-wise", "layer-wise"):
        scales = choose_scales(layers, statistics, preset("spiking-unet", normalization=name))
        units = np.array([4 * float(np.max(scales.assumed[connection.name])) for connection in connections])
        series[f"over lambda, {name}"] = spans / units[:, None]
    for index, (name, values) in enumerate(series.items()):
        x = places + 0.2 * (index - 1)
        axes.vlines(x, values[:, 0], values[:, 1], color=f"C{index}", lw=2, label=name)
        axes.plot(x, values[:, 1], "_", color=f"C{index}", ms=6)
    axes.axhline(1.0, color="grey", lw=0.8, ls="--")
    axes.set(xlabel="connection, in the order of the network", ylabel="values of its source", ylim=(0, None))
    axes.legend(fontsize=7)


def _magnitude(statistics: Statistics, percent: float) -> float:
    return percentile([statistics], percent, zeros=percent > 50)

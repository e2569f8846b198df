"""Plots of ``docs/results.md``: quality over time steps, spike rate per layer, activations before and after normalization."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np

from snn_deploy.backend import load_backend, stimulus_of
from snn_deploy.conversion.calibrate import Statistics, calibrate, percentile
from snn_deploy.conversion.layers import layers_of
from snn_deploy.conversion.normalize import choose_scales
from snn_deploy.conversion.options import preset
from snn_deploy.frontend.onnx import read
from snn_deploy.passes import normal_form
from snn_deploy.pipeline import convert
from snn_deploy.tasks.images import Image

mpl.use("Agg")
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from results import Job

MODEL = Path(__file__).resolve().parents[2] / "models/denoiser_s25.onnx"


def write_plots(folder: Path, parts: Mapping[str, Any], jobs: Mapping[str, Job], noisy: Image) -> dict[str, str]:
    """All plots as PNG; returns caption by file name."""
    folder.mkdir(parents=True, exist_ok=True)
    captions = {}
    for name, draw, caption in (
        ("quality.png", lambda axes: _quality(axes, parts, jobs), "Loss against the float network over time steps."),
        ("rates.png", lambda axes: _rates(axes, noisy), "Events per neuron and step, layer by layer."),
        (
            "units.png",
            lambda axes: _units(axes, noisy),
            "Each connection's source, from the median of what is not zero to the 99.9 percentile, before and after normalization.",
        ),
    ):
        figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
        draw(axes)
        figure.savefig(folder / name, dpi=110, metadata={"Software": None})
        plt.close(figure)
        captions[name] = caption
    return captions


def _quality(axes: Any, parts: Mapping[str, Any], jobs: Mapping[str, Job]) -> None:
    crops = {key: job for key, job in jobs.items() if key in parts and job.task == "denoise" and job.crop}
    float_db = next(parts[key]["overall"]["psnr_db"] for key, job in crops.items() if job.name == "float")
    lines: dict[str, list[tuple[int, float]]] = {}
    for key, job in crops.items():
        variant, _, steps = job.name.rpartition(", T = ")
        if variant:
            lines.setdefault(variant, []).append((int(steps), float_db - parts[key]["overall"]["psnr_db"]))
        elif job.name in ("exact, N = 63", "exact, N = 127"):
            axes.axhline(float_db - parts[key]["overall"]["psnr_db"], lw=0.8, ls=":", color="black")
            axes.annotate(job.name, (1, float_db - parts[key]["overall"]["psnr_db"]), fontsize=7)
    for variant, points in lines.items():
        axes.plot(*zip(*points, strict=True), marker="o", ms=3, label=variant)
    axes.axhline(0.1, color="grey", lw=0.8, ls="--")
    axes.set(xscale="log", yscale="log", xlabel="time steps T", ylabel="loss [dB]")
    axes.set_xscale("log", base=2)
    axes.legend(fontsize=7)


def _rates(axes: Any, noisy: Image) -> None:
    graph = normal_form(read(MODEL, (noisy.shape[2], noisy.shape[3])).graph)
    fired = [layer.name for layer in layers_of(graph).layers if layer.kind == "relu"]
    for name, steps in (("multi-threshold", 4), ("spiking-unet", 16), ("if", 64), ("exact", 1)):
        options = preset(name) if name == "exact" else preset(name, steps=steps)
        network = convert(MODEL, [noisy], options).conversion.network
        run = load_backend("cpu").run(network, stimulus_of(network, noisy))
        rates = [float(run.events[item].mean()) / network.steps for item in fired]
        axes.plot(range(1, len(fired) + 1), rates, marker="o", ms=3, label=f"{name}, T = {steps}")
    axes.set(xlabel="ReLU layer, from input to output", ylabel="events per neuron and step", ylim=(0, 1))
    axes.legend(fontsize=7)


def _units(axes: Any, noisy: Image) -> None:
    graph = normal_form(read(MODEL, (noisy.shape[2], noisy.shape[3])).graph)
    layers = layers_of(graph)
    statistics = calibrate(graph, layers, [noisy])
    connections = [item for layer in layers.layers for item in layer.synapses if item.source != layers.input]
    places = np.arange(len(connections))
    spans = np.array([[_magnitude(statistics[item.source], percent) for percent in (50, 99.9)] for item in connections])
    series = {"real values": spans}
    for name in ("connection-wise", "layer-wise"):
        scales = choose_scales(layers, statistics, preset("spiking-unet", normalization=name))
        units = np.array([4 * float(np.max(scales.assumed[item.name])) for item in connections])
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

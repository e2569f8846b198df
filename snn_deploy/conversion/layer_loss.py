"""What every layer of a run has lost against the float network on the same image, and whether it or its inputs err."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from snn_deploy.arrays import Float32, Float64
from snn_deploy.backend.protocol import Run
from snn_deploy.conversion.layers import LEVELLED, Layers
from snn_deploy.conversion.loss import LayerLoss, limit_counts
from snn_deploy.network.network import Network

NOTHING = 1e-6
"""Errors below it are those of float32."""


def measure_layers(
    network: Network, layers: Layers, run: Run, expected: Mapping[str, Float32]
) -> tuple[LayerLoss, ...]:
    """The loss of each of ``layers`` in ``run`` of ``network``, given the float network's values of the same image.

    ``expected`` (B, C, H, W) float32 by layer. Clipping and rounding are those of these values.
    """
    steps = network.input_steps
    losses = []
    for layer in layers.layers:
        population, values = network.population(layer.name), expected[layer.name].astype(np.float64)
        quantum = population.unit[:, None, None] / steps
        errors = [run.counts[layer.name] * quantum - values]
        if layer.kind in LEVELLED:
            low, high = limit_counts(population, steps)
            inside = np.clip(values, low * quantum, high * quantum)
            errors += [values - inside, inside - np.rint(inside / quantum) * quantum]
        error, clipping, rounding = (*(_relative(each, values) for each in errors), 0.0, 0.0)[:3]
        losses.append(LayerLoss(layer.name, error, clipping, rounding))
    return tuple(losses)


def _relative(error: Float64, values: Float64) -> float:
    power = float(np.square(values).sum())
    square = float(np.square(error).sum())
    return math.sqrt(square / power) if power else 0.0 if square == 0 else math.inf


def name_causes(losses: Sequence[LayerLoss], network: Network) -> dict[str, str]:
    """What makes most of the error of every layer, by its name: ``clipping``, ``rounding``, ``inputs``, ``weights`` or ``none``.

    Its own levels where they alone make half of it; else its inputs where one of them errs half as much; else its weights.
    """
    errors = {loss.name: loss.error for loss in losses}
    sources: dict[str, list[str]] = {loss.name: [] for loss in losses}
    for connection in network.connections:
        sources[connection.target].append(connection.source)
    causes = {}
    for loss in losses:
        if loss.error < NOTHING:
            causes[loss.name] = "none"
        elif math.hypot(loss.clipping, loss.rounding) >= loss.error / 2:
            causes[loss.name] = "clipping" if loss.clipping > loss.rounding else "rounding"
        else:
            inherited = any(errors.get(source, 0.0) >= loss.error / 2 for source in sources[loss.name])
            causes[loss.name] = "inputs" if inherited else "weights"
    return causes

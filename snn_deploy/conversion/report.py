"""Report of a conversion, connection by connection: scale, clipped share, dead channels, error of the weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from snn_deploy.arrays import Float64
from snn_deploy.conversion.calibrate import Statistics
from snn_deploy.conversion.choose import Choice
from snn_deploy.conversion.loss import IMAGES, LayerLoss, Loss
from snn_deploy.conversion.lower import Conversion
from snn_deploy.conversion.normalize import scale_op
from snn_deploy.graph.ops import Resample
from snn_deploy.network.kernels import ConvKernel, SpatialKernel, TransposedKernel


@dataclass(frozen=True)
class ConnectionReport:
    """One connection.

    ``unit``: least and greatest real value of one count of its source, over channels. ``clipped``: share of the source's
    calibration values with magnitudes beyond the largest count. ``dead``: channels of the source that never fired in
    calibration. ``weight_error``: root mean square error of the rounded weights over that of the weights.
    """

    name: str
    source: str
    target: str
    unit: tuple[float, float]
    clipped: float
    dead: int
    weight_error: float


def report_connections(conversion: Conversion) -> tuple[ConnectionReport, ...]:
    """A report for every connection, in the network's order."""
    reports = []
    for layer in conversion.layers.layers:
        for layer_input in layer.inputs:
            statistics = conversion.statistics[layer_input.source]
            unit = conversion.scales.unit[layer_input.source]
            reports.append(
                ConnectionReport(
                    layer_input.name,
                    layer_input.source,
                    layer.name,
                    (float(unit.min()), float(unit.max())),
                    measure_clipping(statistics, unit, _top(conversion, layer_input.source)),
                    int(np.count_nonzero(statistics.power == 0)),
                    _weight_error(conversion, layer_input.name, layer.name),
                )
            )
    return tuple(reports)


def measure_clipping(statistics: Statistics, unit: Float64, top: int) -> float:
    """Share of all values whose magnitude exceeds ``top + 1/2`` counts; bins count whole, by their middle."""
    limit = (top + 0.5) * np.broadcast_to(unit, (statistics.histogram.shape[0],))
    beyond = np.abs(statistics.centers)[None, :] > limit[:, None]
    return float(statistics.histogram[beyond].sum() / statistics.histogram.sum())


def _top(conversion: Conversion, source: str) -> int:
    """Largest count per step (``rate``) or of the run (``exact``) of population ``source``."""
    population = conversion.network.population(source)
    limits = population.count_range
    return population.payload_range[1] if conversion.network.mode == "rate" or limits is None else limits[1]


def _weight_error(conversion: Conversion, name: str, target: str) -> float:
    connection = next(candidate for candidate in conversion.network.connections if candidate.name == name)
    layer = conversion.layers.layer(target)
    layer_input = next(candidate for candidate in layer.inputs if candidate.name == name)
    kernel, population = connection.kernel, conversion.network.population(target)
    normalized = scale_op(layer_input.op, conversion.scales.assumed[name], conversion.scales.unit[target])
    if isinstance(normalized, Resample) or isinstance(kernel, SpatialKernel) or population.neuron is None:
        return 0.0  # a pixel map has no channels
    theta = conversion.scales.unit[target] / population.unit * population.neuron.quantum
    weight = normalized.weight
    error = _real(kernel, connection.exponent, theta) - weight
    size = float(np.square(weight).mean())
    return float(np.sqrt(np.square(error).mean() / size)) if size else 0.0


def _real(kernel: ConvKernel | TransposedKernel, exponent: int, theta: Float64) -> Float64:
    """Weights of ``kernel`` in counts of the target."""
    weight = kernel.weight.astype(np.float64) * 2.0**exponent
    if not isinstance(kernel, TransposedKernel):
        return weight / theta[:, None, None, None]
    inputs, per_group, *window = weight.shape
    grouped = weight.reshape(kernel.groups, inputs // kernel.groups, per_group, *window)
    real: Float64 = (grouped / theta.reshape(kernel.groups, 1, per_group, 1, 1)).reshape(weight.shape)
    return real


def record(conversion: Conversion, loss: Loss | None = None) -> dict[str, Any]:
    """A conversion for JSON: options, populations, connections and losses."""
    network = conversion.network
    headroom = {bound.population: round(bound.headroom_bits, 2) for bound in conversion.bounds}
    return {
        "name": network.name,
        "mode": network.mode,
        "steps": network.steps,
        "options": dict(network.config),
        "function_error": conversion.function_error,
        "loss": None if loss is None else {"error": loss.error, "images": IMAGES},
        "populations": [
            {
                "name": population.name,
                "shape": list(population.shape),
                "start": population.start,
                "unit": [float(population.unit.min()), float(population.unit.max())],
                "headroom_bits": headroom.get(population.name),
                "widened": conversion.scales.widened.get(population.name, 1.0),
                "dead_channels": conversion.scales.dead.get(population.name, 0),
                "loss": _layer_record(None if loss is None else loss.layer(population.name)),
            }
            for population in network.populations
        ],
        "connections": [asdict(report) for report in report_connections(conversion)],
    }


def _layer_record(loss: LayerLoss | None) -> dict[str, float | None] | None:
    if loss is None:
        return None
    return {name: value for name, value in asdict(loss).items() if name != "name"}


def record_choice(choice: Choice) -> dict[str, Any]:
    """How options were chosen, for JSON: what every trial changed of those as given, and what it lost."""
    given = choice.trials[0].options.record()
    trials = [
        {
            "changes": {name: value for name, value in trial.options.record().items() if value != given.get(name)},
            "error": None if trial.loss is None else trial.error,
            "refusal": trial.refusal or None,
        }
        for trial in choice.trials
    ]
    return {"reason": choice.reason, "trials": trials}

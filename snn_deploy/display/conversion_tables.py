"""Tables of a conversion: populations, connections, and what each candidate of a search loses."""

from __future__ import annotations

from snn_deploy.conversion.choose import Choice, describe
from snn_deploy.conversion.loss import IMAGES, LayerLoss, Loss
from snn_deploy.conversion.lower import Conversion
from snn_deploy.conversion.report import report_connections
from snn_deploy.display.plain_table import PlainTable
from snn_deploy.display.tables import thresholds_and_unit

OPTIONAL = ("unit", "start", "dead")
"""Columns that a narrow terminal can miss."""


SILENT = ("dead", "error", "clipping", "rounding")
"""Columns that are left out where they are empty."""


def trial_table(choice: Choice) -> PlainTable:
    """What the options as given and each of the others that were tried lose."""
    given = choice.trials[0].options
    table = PlainTable(
        title=f"options: output against the float network's, {IMAGES} images that calibration did not see",
        caption=f"chosen: {choice.reason}",
    )
    for heading in ("options", "error", "SNR dB", ""):
        table.add_column(heading, justify="right" if heading in ("error", "SNR dB") else "left")
    for trial in choice.trials:
        error, ratio = ("", "") if trial.loss is None else (f"{trial.loss.error:.3%}", f"{trial.loss.snr_db:.2f}")
        table.add_row(
            describe(trial.options, given), error, ratio, "chosen" if trial is choice.trial else trial.refusal
        )
    return table


def population_table(conversion: Conversion, loss: Loss | None = None) -> PlainTable:
    """Populations with their thresholds, scales and proved headroom, and what each has lost."""
    network = conversion.network
    headroom = {bound.population: bound.headroom_bits for bound in conversion.bounds}
    title = f"{network.name}: {network.mode} mode, {len(network.populations)} populations, {network.duration} steps"
    caption = f"normalization changes the function by {conversion.function_error:.1e}; headroom: bits left of 24"
    if loss is not None:
        caption += (
            f"\nerror: relative RMS error against the float network on {IMAGES} images that calibration did not see;"
            " clipping, rounding: share from this layer's own quantization"
            f"\noutput: {loss.error:.3%} of its variation, {loss.snr_db:.1f} dB"
            f"\nlevels cost most in: {_costliest(loss)}"
        )
    table = PlainTable(title=title, caption=caption)
    for heading in (
        "population",
        "shape",
        "start",
        "threshold",
        "unit",
        "headroom",
        "dead",
        "error",
        "clipping",
        "rounding",
    ):
        table.add_column(heading, justify="left" if heading == "population" else "right")
    for population in network.populations:
        theta, unit = thresholds_and_unit(population)
        table.add_row(
            population.name,
            "x".join(map(str, population.shape)),
            str(population.start),
            theta,
            unit,
            "" if population.neuron is None else f"{headroom[population.name]:.1f}",
            str(conversion.scales.dead.get(population.name, 0) or ""),
            *_lost(None if loss is None else loss.layer(population.name)),
        )
    return table


def _costliest(loss: Loss) -> str:
    """Layers whose levels err most, each with the larger of its two errors and its name."""
    shares = [f"{layer.name} ({cause} {getattr(layer, cause):.2%})" for layer, cause in loss.name_costliest()]
    return ", ".join(shares) or "none"


def _lost(loss: LayerLoss | None) -> tuple[str, str, str]:
    """Error, clipping and rounding of a layer; a layer without levels of its own has the error alone."""
    if loss is None:
        return "", "", ""
    own = loss.clipping or loss.rounding
    return f"{loss.error:.2%}", f"{loss.clipping:.2%}" if own else "", f"{loss.rounding:.2%}" if own else ""


def connection_table(conversion: Conversion) -> PlainTable:
    """What normalization chose for every connection."""
    table = PlainTable(
        title="connections",
        caption="unit: real value of one count of the source; clipped: share of its calibration values beyond the top count",
    )
    for heading in ("source", "target", "unit", "clipped", "dead", "weight error"):
        table.add_column(heading, justify="left" if heading in ("source", "target") else "right")
    for report in report_connections(conversion):
        low, high = report.unit
        table.add_row(
            report.source,
            report.target,
            f"{low:.4g}" if low == high else f"{low:.3g}..{high:.3g}",
            f"{report.clipped:.3%}",
            str(report.dead or ""),
            f"{report.weight_error:.2%}",
        )
    return table

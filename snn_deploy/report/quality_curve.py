"""Quality over the budget: PSNR over the steps of rate mode, or over the levels of exact mode."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np

from snn_deploy.arrays import Float32, Float64
from snn_deploy.backend.protocol import Record, Run, measure_trains
from snn_deploy.conversion.convert import calibration_size, convert
from snn_deploy.conversion.options import Options
from snn_deploy.data.calibration import load_calibration_images
from snn_deploy.data.images import Image
from snn_deploy.data.metrics import psnr_db
from snn_deploy.errors import ConversionError, ReportError
from snn_deploy.network.host import apply_host
from snn_deploy.network.network import Network
from snn_deploy.network.picture_scale import Values
from snn_deploy.report.contents import Curve
from snn_deploy.report.request import Request
from snn_deploy.verification.session import Watch, unwatched

LADDER = (7, 15, 31, 63, 127, 255)
"""Levels N of the curve in exact mode."""

TRAINS_LIMIT = 2**30
"""Most bytes of recorded spike trains for the curve in rate mode."""

TITLE = "Quality over the budget"


def read_output(network: Network, run: Run) -> Float64:
    """The first output of ``run``, after the host's functions."""
    return apply_host(network.outputs[0].host, run.values(network))


def show_output(network: Network, values: Values) -> Values:
    """The first output as a picture from 0 to 1."""
    return network.picture.as_picture(values, network.outputs[0].host)


def measure_curve(
    request: Request,
    network: Network,
    run: Run,
    clean: Image,
    expected: Float32 | None,
    missing: dict[str, str],
    watch: Watch,
) -> Curve | None:
    """PSNR over steps (rate mode) or over levels (exact mode, which needs the model), against what is known best."""
    if "argmax" in network.outputs[0].host:
        missing[TITLE] = "the output is a label map, of which PSNR says nothing"
        return None
    restores = request.noise > 0 and network.population(network.outputs[0].population).shape == clean.shape[1:]
    if restores:
        truth, against = clean, "against the clean image"
    elif expected is not None:
        truth, against = expected, "against the float network"
    else:
        missing[TITLE] = "with noise, or with the float model, there is something to compare with"
        return None
    limit = ("float network", psnr_db(expected, clean)) if restores and expected is not None else None
    if not request.curve:
        missing[TITLE] = "left out on request"
        return None
    if network.mode == "rate":
        return _over_steps(request, network, run, truth, against, limit, missing, watch)
    if request.model is None:
        missing[TITLE] = "other levels N need a conversion each; give the float model, too"
        return None
    return _over_levels(request, network, truth, against, limit, watch)


def _over_steps(
    request: Request,
    network: Network,
    run: Run,
    truth: Float32,
    against: str,
    limit: tuple[str, float] | None,
    missing: dict[str, str],
    watch: Watch,
) -> Curve | None:
    """The read-out after t steps is the mean of the first t payloads of its window: one run gives all points.

    It is ``run``, or where that did not record trains another one that does.
    """
    if network.steps < 2 or measure_trains(network, 1) > TRAINS_LIMIT:
        missing[TITLE] = "the spike trains of an image this large do not fit; use a part of it"
        return None
    if run.trains is None:
        run = request.run(network, request.noisy, Record.TRAINS, watch)
    population = network.population(network.outputs[0].population)
    trains = (run.trains or {})[population.name]
    sums = np.cumsum(trains.astype(np.int64), axis=1) * population.unit[:, None, None]
    host = network.outputs[0].host
    points = tuple(
        (step, psnr_db(show_output(network, apply_host(host, sums[:, step - 1] / step)), truth))
        for step in range(1, network.steps + 1)
    )
    return Curve("time steps T", against, points, network.steps, limit)


def _over_levels(
    request: Request,
    network: Network,
    truth: Float32,
    against: str,
    limit: tuple[str, float] | None,
    watch: Watch,
) -> Curve:
    if request.model is None:
        raise TypeError("a curve over levels needs the model")
    recorded = _recorded_options(request.artifact, network)
    chosen, noisy = recorded.levels, request.noisy
    size, picture = (noisy.shape[2], noisy.shape[3]), network.picture
    patch = calibration_size(request.model, size)
    patches = load_calibration_images(request.calibration, noisy.shape[1], request.noise, request.seed, patch, picture)
    points = []
    budgets = sorted({*LADDER, chosen})
    with watch("quality over the levels") as report:
        for done, levels in enumerate(budgets):
            if report is not None:
                report(done, len(budgets))
            options = replace(recorded, levels=levels)
            converted = convert(request.model, patches, options, size, picture=picture).conversion.network
            run = request.run(converted, noisy, Record.COUNTS, unwatched)  # one bar at a time
            points.append((levels, psnr_db(show_output(converted, read_output(converted, run)), truth)))
    return Curve("levels N", against, tuple(points), chosen, limit)


def _recorded_options(path: str, network: Network) -> Options:
    """The options that the artifact says it was converted with; :class:`ReportError` where they cannot be."""
    known = {field.name for field in fields(Options)}
    recorded: dict[str, Any] = {"rounding": "nearest"}  # of files that are older than the choice
    recorded |= {key: value for key, value in network.config.items() if key in known}
    try:
        return Options(**recorded)
    except (ConversionError, TypeError, ValueError) as error:
        raise ReportError(f"{path}: the options recorded in it are damaged ({error}); leave the curve out") from error

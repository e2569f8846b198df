"""Everything that a report shows, computed: a run, a comparison, an estimate, a mapping, losses and a curve."""

from __future__ import annotations

import hashlib
import platform
import warnings
from dataclasses import replace
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version

from snn_deploy import __version__
from snn_deploy.activity.activity import Activity
from snn_deploy.activity.counting import count_activity
from snn_deploy.arrays import Float32
from snn_deploy.backend.protocol import Record, Run
from snn_deploy.conversion.calibrate import ActivationProbe
from snn_deploy.conversion.convert import open_float_probe
from snn_deploy.conversion.layer_loss import measure_layers
from snn_deploy.conversion.layers import group_layers
from snn_deploy.cost.energy import estimate
from snn_deploy.cost.loads import choose_record
from snn_deploy.data import images
from snn_deploy.data.stimulus import find_largest_size, prepare_stimulus
from snn_deploy.errors import ClippedInputWarning, ReportError, UnsupportedModelError
from snn_deploy.frontend.ledger import Ledger
from snn_deploy.frontend.onnx import inspect, read
from snn_deploy.mapping.fit import Mapping, map_network
from snn_deploy.mapping.traffic import measure_traffic
from snn_deploy.network import artifact
from snn_deploy.network.network import Network
from snn_deploy.network.two_sided import TwoSided
from snn_deploy.passes import Form, normal_form
from snn_deploy.report.compared_pictures import compare_pictures
from snn_deploy.report.contents import Contents, Losses
from snn_deploy.report.core_map import core_map
from snn_deploy.report.quality_curve import measure_curve, read_output, show_output
from snn_deploy.report.request import Request
from snn_deploy.targets.device import Target
from snn_deploy.targets.load import load_target
from snn_deploy.verification import Session, Stimuli, Verdict
from snn_deploy.verification.session import Watch, unwatched

COMPARED = (64, 64)
"""Most pixels (H, W) on which backends are compared unless others are asked for; slow ones take minutes for more."""

LOSSY = (256, 256)
"""Most pixels (H, W) on which the loss of every layer is measured; the float network's values of all layers are held at once."""

LIBRARIES = ("numpy", "onnx", "onnxruntime", "torch", "lava-nc")

NO_MODEL = "give the float model, too"
"""What parts lack that need it."""


def collect_contents(request: Request, watch: Watch = unwatched) -> Contents:
    """All parts; what cannot be there is said in ``missing``. Warnings about the image are issued, and in the report, too.

    :class:`~snn_deploy.errors.ReportError` for several images, and for the model of another network.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ClippedInputWarning)
        contents = _collect(request, watch)
    found = {str(each.message): each.message for each in caught}
    for message in found.values():
        warnings.warn(message, stacklevel=3)
    clipped = tuple(text for text, message in found.items() if isinstance(message, ClippedInputWarning))
    return replace(contents, warnings=(*clipped, *_warn_of_other_model(request)))


def _warn_of_other_model(request: Request) -> tuple[str, ...]:
    """Where the float model is not the file that was converted, as before fine-tuning or an approximation."""
    converted = request.network.config.get("model_sha256")
    if request.model is None or converted in (None, hashlib.sha256(request.model.read_bytes()).hexdigest()):
        return ()
    name = request.network.config.get("model")
    return (
        f"{request.model.name} is not the file that the artifact was converted from ({name}): losses include how the two differ",
    )


def _collect(request: Request, watch: Watch) -> Contents:
    if len(request.noisy) > 1:
        raise ReportError(
            f"{request.source}: {len(request.noisy)} images; a report shows one, so save each as a separate file"
        )
    network, payloads = prepare_stimulus(request.network, request.noisy, request.source)
    run = request.run(network, request.noisy, choose_record(network, payloads.shape[0]), watch)
    output, expected = show_output(network, read_output(network, run)), _expect(request, network, run)
    clean, picture = network.picture.of_input(request.clean), network.picture.of_input(request.noisy)
    missing: dict[str, str] = {}
    scores, pictures = compare_pictures(clean, picture, output, expected, network.outputs[0].host, noise=request.noise)
    activity, target = count_activity(network, run), load_target(request.target)
    mapping, drawn = _mapping(network, activity, target, missing)
    placed = mapping is None or mapping.is_placed
    return Contents(
        network=network,
        run=run,
        pictures=pictures,
        scores=scores,
        activity=activity,
        energy=estimate(network, activity, target, mapping=mapping) if placed else None,
        mapping=mapping,
        verdict=_verdict(request, network, missing, watch),
        curve=measure_curve(request, network, run, clean, expected, missing, watch),
        losses=_losses(request, network, missing),
        ledger=_ledger(request, missing),
        core_map=drawn,
        provenance=_provenance(request, run),
        missing=missing,
        stream=request.stream,
    )


def _expect(request: Request, network: Network, run: Run) -> Float32 | None:
    """The float network's first output as a picture."""
    if request.model is None:
        return None
    size = request.noisy.shape[2], request.noisy.shape[3]
    try:
        expected = next(iter(open_float_probe(request.model, size)(request.noisy).values()))
    except UnsupportedModelError as error:
        raise ReportError(f"{error}; the artifact was converted from {network.config.get('model')}") from error
    shape = read_output(network, run).shape
    if expected.shape != shape:
        raise ReportError(f"{request.model}: gives {expected.shape}, the artifact {shape}; it is another model's")
    return show_output(network, expected)


def _verdict(request: Request, network: Network, missing: dict[str, str], watch: Watch) -> Verdict:
    """All backends on the middle of the image, or on all of it where ``network``, which has its size, has no other."""
    image = request.noisy
    whole = image.shape[2], image.shape[3]
    limit = request.part or COMPARED
    height, width = min(whole[0], limit[0]), min(whole[1], limit[1])
    if request.part is None:
        height, width = find_largest_size(network, height, width) or whole
    part = images.center_crop(image, height, width)
    if (height, width) != whole:
        missing["compared"] = f"Compared on the middle {height} x {width} pixels of the image."
    stimuli = Stimuli.of_images(network, part, f"{height}x{width} pixels of {request.source}")
    return Session(request.backends, request.level).verify(stimuli, watch).verdict


def _losses(request: Request, network: Network, missing: dict[str, str]) -> Losses | None:
    """What every layer has lost on the middle of the image."""
    title, image = "Loss of every layer", request.noisy
    if request.model is None:
        missing[title] = NO_MODEL
        return None
    whole = image.shape[2], image.shape[3]
    height, width = find_largest_size(network, *(min(pair) for pair in zip(whole, LOSSY, strict=True))) or whole
    part = images.center_crop(image, height, width)
    config = network.config
    two_sided = any(isinstance(population.neuron, TwoSided) for population in network.populations)
    form = Form(bool(config.get("fuse_upsampling")), config.get("neuron") != "sigma-delta", two_sided)
    graph = normal_form(read(request.model, (height, width)).graph, form)
    layers = group_layers(graph)
    channels = {population.name: population.shape[0] for population in network.populations[1:]}
    if {layer.name for layer in layers.layers} != set(channels):
        missing[title] = f"the layers of {request.model.name} are not the populations of the artifact"
        return None
    if {layer.name: layer.shape[0] for layer in layers.layers} != channels:
        missing[title] = f"fine-tuning removed channels: the artifact's are not those of {request.model.name}"
        return None
    expected = ActivationProbe(graph, [layer.name for layer in layers.layers])(part)
    small = network if (height, width) == network.input.shape[1:] else network.at_size(height, width)
    run = request.run(small, part, Record.COUNTS, unwatched)
    return Losses(measure_layers(small, layers, run, expected), f"{height} x {width}")


def _ledger(request: Request, missing: dict[str, str]) -> Ledger | None:
    if request.model is None:
        missing["Operators"] = NO_MODEL
        return None
    return inspect(request.model, (request.noisy.shape[2], request.noisy.shape[3]))


def _mapping(
    network: Network, activity: Activity, target: Target, missing: dict[str, str]
) -> tuple[Mapping | None, str | None]:
    """Where the populations go on a chip, and a picture of it; what does not fit is said, not raised."""
    if target.kind != "chip":
        missing["Cores"] = f"{target.name} is not a chip; its coefficients are of arithmetic operations"
        return None, None
    mapping = map_network(network, target)
    if any(layer.tile is None for layer in mapping.layers):
        missing["Energy and time"] = "a population does not fit on a core, see below"
        return mapping, None
    return mapping, core_map(mapping, target, measure_traffic(network, activity, mapping, target))


def _provenance(request: Request, run: Run) -> dict[str, str]:
    network = request.network
    provenance = {
        "artifact": request.artifact,
        "artifact SHA-256": artifact.digest(network),
        "input": request.source,
        "input payloads SHA-256": run.stimulus,
        "noise and seed": f"sigma {request.noise:g}/255, seed {request.seed}",
        "target": str(request.target),
        "written": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "snn-deploy": __version__,
        "Python": f"{platform.python_version()}, {platform.system()} {platform.machine()}",
    }
    for name in LIBRARIES:
        try:
            provenance[name] = version(name)
        except PackageNotFoundError:
            continue
    if len(network.outputs) > 1:
        provenance["output"] = f"{network.outputs[0].name}, the first of {len(network.outputs)}; run --out writes all"
    return provenance

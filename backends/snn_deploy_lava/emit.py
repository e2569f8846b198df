"""Writes a network as a folder that runs anywhere with Python and lava-nc: the *bundle*.

It holds the ``.snn`` file, the runtime of this backend, a self-check with the counts it must give, and a
conformance test for a team's own model of the neuron on the chip. snn-deploy is not needed to run it. The images of a network of
streams are the frames of one stream.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path
from string import Template

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Backend
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stream import open_stream
from snn_deploy.errors import ArtifactError, BackendError
from snn_deploy.files import check_new_folder, write_folder
from snn_deploy.network import artifact
from snn_deploy.network.kernels import ConvKernel
from snn_deploy.network.limits import MAX_EXPONENT, STATE_MAX
from snn_deploy.network.network import Connection, Network, Output, Population
from snn_deploy.network.neuron import Neuron
from snn_deploy.network.schedule import align
from snn_deploy.network.streaming import prepare_stream
from snn_deploy.network.two_sided import TwoSided
from snn_deploy_lava import rules
from snn_deploy_lava.chip_layout import Layout, lay_out
from snn_deploy_lava.chip_processes import describe_layout, describe_processes

LAVA_VERSION = "0.10.0"

_HERE = Path(__file__).resolve().parent

BUNDLE = _HERE / "bundle"
"""Files of a bundle that are written as they are, or filled in."""

_STUB = '"""The part of snn-deploy\'s Lava backend that runs without snn-deploy."""\n'

_STREAM = """Images are the frames of one stream, in the order of the file: the input sends the change from each to the next,
neurons keep membranes and counts, and biases join in the first frame only. Counts are those after each frame, and a trace has a
batch for each.
"""

_SWEEP = 127
"""Largest input payload of the conformance test."""


def write_bundle(
    network: Network,
    directory: Path,
    stimulus: Int64 | None = None,
    *,
    backend: Backend | None = None,
    any_target: bool = False,
) -> str:
    """Write the bundle into ``directory``, which must not exist; returns the SHA-256 of its manifest.

    ``stimulus`` (B, C, H, W) is the self-check's input (seeded noise by default), of a network of streams the frames of one, and
    ``backend`` (the reference by default) computes the expected counts. A network that violates constraints of Loihi 2 is refused
    with all of them, unless it is for the simulator only (``any_target``).
    """
    check_new_folder(directory, ArtifactError)
    contents = make_bundle(network, stimulus, backend or load_backend("reference"), any_target=any_target)
    write_folder(directory, contents, ArtifactError)
    return hashlib.sha256(contents["manifest.json"]).hexdigest()


def make_bundle(
    network: Network, stimulus: Int64 | None, simulator: Backend, *, any_target: bool = False
) -> dict[str, bytes]:
    """The files of the bundle by their path in its folder; see :func:`write_bundle`."""
    rules.require_runnable(network)
    if network.stream:
        rules.require_carried(network)
    if not any_target:
        rules.check(network)
    probe = make_conformance_network(network)
    layouts = {} if any_target else {"": lay_out(network), "conformance/": lay_out(probe)}
    contents = {
        **list_runtime("run.py"),
        "chip_models.py": (BUNDLE / "chip_models.py").read_bytes(),
        **_case("", network, _noise(network) if stimulus is None else stimulus, simulator),
        **_case("conformance/", probe, _sweep(probe), simulator),
        "README.md": _readme(network, layouts.get("")).encode(),
    }
    for prefix, layout in layouts.items():
        contents[f"{prefix}chip/network.snn"] = artifact.encode(layout.network)
        contents[f"{prefix}chip/chip.json"] = layout.plan.encode()
    return contents | {"manifest.json": make_manifest(contents, network)}


def make_conformance_network(network: Network) -> Network:
    """A network of one layer per kind of neuron in ``network``, each driven straight from the input.

    Every layer has up to 8 of the thresholds in use; the input sweeps its membrane across ten thresholds in both
    directions.
    """
    sweep = 2 * _SWEEP + 1
    source = replace(
        network.input,
        shape=(1, 1, sweep),
        unit=np.ones(1),
        bias=np.zeros((1, 1, 1), np.int64),
        input_min=-_SWEEP,
        input_max=_SWEEP,
    )
    populations, connections = [source], []
    for population in _kinds(network):
        for layer, quantum in _sweep_sides(_sample(population, sweep)):
            populations.append(layer)
            connections.append(_drive(source, layer, quantum))
    outputs = tuple(Output(population.name, population.name) for population in populations[1:])
    steps = network.steps if network.mode == "rate" else 1
    layers = align(
        Network(f"{network.name} conformance", network.mode, steps, tuple(populations), tuple(connections), outputs)
    )
    return prepare_stream(layers) if network.stream else layers


def _kinds(network: Network) -> Iterator[Population]:
    """The first population of each kind of neuron: same class, limits and options."""
    seen = set()
    for population in network.populations[1:]:
        neuron = population.neuron
        if neuron is not None:
            numbers = (getattr(neuron, field.name) for field in fields(neuron))
            kind = (neuron.kind, *(number for number in numbers if not isinstance(number, np.ndarray)))
            if kind not in seen:
                seen.add(kind)
                yield population


def _sample(population: Population, width: int) -> Population:
    """``population`` with one channel for each of its first 8 thresholds, ``width`` columns and its own biases."""
    neuron = population.neuron
    if neuron is None:
        raise BackendError(f"{population.name}: the input has no neuron")
    _, chosen = np.unique(neuron.theta, return_index=True)
    chosen = np.sort(chosen)[:8]
    return replace(
        population,
        shape=(chosen.size, 1, width),
        neuron=_widened(neuron.channels(chosen)),
        bias=population.bias[chosen].reshape(chosen.size, -1)[:, :1, None],
        unit=population.unit[chosen],
    )


def _sweep_sides(layer: Population) -> Iterator[tuple[Population, Int64]]:
    """``layer`` and the charge of a count; once more with that of a negative one where it has its own."""
    neuron = layer.neuron
    if neuron is not None:
        yield layer, neuron.quantum
    if isinstance(neuron, TwoSided):
        yield replace(layer, name=f"{layer.name} below"), np.minimum(neuron.theta_below, STATE_MAX >> 6)


def _widened(neuron: Neuron) -> Neuron:
    """Sigma-delta neurons do not clip what they send; the sweep goes beyond what they were proved for."""
    if neuron.clips:
        return neuron
    wide = replace(neuron, payload_min=-STATE_MAX, payload_max=STATE_MAX)
    return wide if neuron.count_range is None else replace(wide, count_min=-STATE_MAX, count_max=STATE_MAX)


def _drive(source: Population, layer: Population, quantum: Int64) -> Connection:
    """A connection through which the greatest payload moves each membrane by about ten times ``quantum``, within 24 bits."""
    if layer.neuron is None:
        raise BackendError(f"{layer.name}: the input has no neuron")
    most = STATE_MAX >> 1 + layer.neuron.current_shift
    weights = -(-np.minimum(10 * quantum, most) // _SWEEP)
    exponent = min(max(int(weights.max()).bit_length() - 7, 0), MAX_EXPONENT)
    weight = np.clip(weights >> exponent, 1, 127)[:, None, None, None]
    return Connection(f"{source.name}->{layer.name}", source.name, layer.name, ConvKernel(weight), exponent)


def _noise(network: Network) -> Int64:
    """One image, or three frames."""
    rng, images = np.random.default_rng(0), 3 if network.stream else 1
    return rng.integers(network.input.input_min, network.input.input_max + 1, (images, *network.input.shape))


def _sweep(network: Network) -> Int64:
    """Up, and of frames down again and back to nothing: every count is taken back."""
    up = np.arange(-_SWEEP, _SWEEP + 1, dtype=np.int64).reshape(1, *network.input.shape)
    return np.concatenate([up, up[..., ::-1], 0 * up]) if network.stream else up


def list_runtime(program: str) -> dict[str, bytes]:
    """``run.py``, which is ``program`` of the folder of bundles, and the package that it imports."""
    contents = {"run.py": (BUNDLE / program).read_bytes()}
    for path in sorted((_HERE / "runtime").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            contents[f"snn_deploy_lava/{path.relative_to(_HERE)}"] = path.read_bytes()
    return contents | {"snn_deploy_lava/__init__.py": _STUB.encode()}


def _case(prefix: str, network: Network, stimulus: Int64, backend: Backend) -> dict[str, bytes]:
    """``network.snn``, ``input.npy`` and ``expected.npz``, the counts that ``backend`` computes; of frames, those after each."""
    if network.stream:
        stream = open_stream(backend, network)
        runs = [stream.push(frame[None]) for frame in stimulus]
        counts = {name: np.concatenate([run.counts[name] for run in runs]) for name in runs[0].counts}
    else:
        counts = dict(backend.run(network, stimulus).counts)
    return {
        f"{prefix}network.snn": artifact.encode(network),
        f"{prefix}input.npy": encode_stimulus(stimulus),
        f"{prefix}expected.npz": encode_counts(counts),
    }


def encode_stimulus(stimulus: Int64) -> bytes:
    """``input.npy``."""
    stored = io.BytesIO()
    np.save(stored, stimulus)
    return stored.getvalue()


def encode_counts(counts: Mapping[str, Int64]) -> bytes:
    """``expected.npz``."""
    expected = io.BytesIO()
    np.savez(expected, **{f"counts/{name}": values for name, values in counts.items()})
    return expected.getvalue()


def _readme(network: Network, layout: Layout | None) -> str:
    stock = all(population.neuron.is_stock for population in network.populations[1:] if population.neuron)
    outputs = [f"`{output.name}` (population `{output.population}`)" for output in network.outputs]
    own = (
        "not needed here, every neuron is Lava's own" if stock else "the hook for your own NcProcessModel of the neuron"
    )
    return Template((BUNDLE / "README.md").read_text(encoding="utf-8")).substitute(
        name=network.name,
        populations=len(network.populations),
        neurons=f"{sum(population.size for population in network.populations[1:]):,}",
        connections=len(network.connections),
        mode=network.mode,
        duration=network.duration,
        digest=artifact.digest(network),
        yours=f"your {'frames' if network.stream else 'image'}, (B, {', '.join(map(str, network.input.shape))})",
        stream=_STREAM if network.stream else "",
        outputs=", ".join(outputs),
        per_step=" / steps" if network.mode == "rate" else "",
        hook=f"{own}; and for profilers",
        processes="It was written for the simulator only." if layout is None else describe_processes(layout),
        layout="" if layout is None else describe_layout(layout),
    )


def make_manifest(contents: Mapping[str, bytes], network: Network) -> bytes:
    """The network's names and the SHA-256 of each file of ``contents``, as JSON."""
    manifest = {
        "network": artifact.digest(network),
        "name": network.name,
        "python": "3.10",
        "lava-nc": LAVA_VERSION,
        "files": {name: hashlib.sha256(contents[name]).hexdigest() for name in sorted(contents)},
        "populations": [
            {
                "name": population.name,
                "shape": list(population.shape),
                "start": population.start,
                "onnx": list(population.origin),
            }
            for population in network.populations
        ],
    }
    return json.dumps(manifest, indent=1, ensure_ascii=False).encode()

"""Every format that is read from a stranger: sound seeds, which the program itself writes; how they are changed; how they are read.

A reader returns where a file is accepted, after what it made of it was checked for consistency. What it raises is judged
by :mod:`tests.fuzzing.cases`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import resource
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from unittest import mock

import numpy as np

from snn_deploy.activity.counting import assume_activity
from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.backend.stream import open_stream
from snn_deploy.backend.stream_file import load_state, save_state
from snn_deploy.cli import app, project
from snn_deploy.conversion.convert import convert, input_channels, input_size
from snn_deploy.conversion.options import Options
from snn_deploy.data.calibration import load_calibration_images
from snn_deploy.data.event_file import holds_events, read_events
from snn_deploy.data.images import encode_image, read_image, write_image
from snn_deploy.exchange import hdf5
from snn_deploy.exchange.netx import read_net
from snn_deploy.exchange.netx_write import write_net
from snn_deploy.exchange.nir import read_nir
from snn_deploy.exchange.nir_write import write_nir
from snn_deploy.frontend.onnx import inspect, own_size, read
from snn_deploy.mapping.counters import PopulationCounters, predict_counters
from snn_deploy.mapping.fit import map_network
from snn_deploy.network import artifact
from snn_deploy.network.network import Network
from snn_deploy.network.streaming import prepare_stream
from snn_deploy.passes import normal_form
from snn_deploy.planning.halo import Halo
from snn_deploy.planning.plan import Group, Hardware, Plan, open_plan, save_plan
from snn_deploy.targets import load
from snn_deploy.targets.load import load_target
from snn_deploy.testing import random_stimulus, random_unet
from snn_deploy.verification import Level, Trace, compare
from snn_deploy.verification.certificate import canonical, certify, check_certificate, write_certificate
from snn_deploy.verification.certificate.keys import PrivateKey
from snn_deploy.verification.certificate.statement import Certificate, digest_statement
from snn_deploy.verification.counters import compare_counters
from snn_deploy.verification.traces.nir_data import read_nir_data
from snn_deploy.verification.traces.sana_fe import is_potentials, read_sana_fe
from snn_deploy.verification.traces.trace_file import read_trace, write_trace
from tests.cli.models import write_unet
from tests.exchange import test_netx, test_nir
from tests.frontend.test_hostile_files import small
from tests.fuzzing.mutations import change_bytes, change_text, change_tree
from tests.fuzzing.structures import change_artifact, change_hdf5, change_npy, change_onnx, change_png, change_zip

Seeds = dict[str, bytes]
Change = Callable[[bytes, Random, Path], bytes]
Reader = Callable[[Path], None]


def _ask_in_fork(path: Path, allowed: int) -> str:
    """As :func:`snn_deploy.exchange.hdf5_guard.ask`, by a process that is forked off and need not start."""
    child = os.fork()
    if child == 0:
        used = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
        resource.setrlimit(resource.RLIMIT_CPU, (used + 2, used + 2))
        hdf5.find_refusal(path, allowed)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return "hung or crashed" if os.WIFSIGNALED(status) else hdf5.find_refusal(path, allowed)


def _guarded(read: Reader) -> Reader:
    def guarded(path: Path) -> None:
        with mock.patch.object(hdf5, "ask", _ask_in_fork):
            read(path)

    return guarded


@dataclass(frozen=True)
class Format:
    """``seeds`` writes sound files by name into a folder that is given; ``change`` keeps the structure, ``read`` reads."""

    seeds: Callable[[Path], Seeds]
    change: Change
    read: Reader

    def mutate(self, name: str, seeds: Seeds, random: Random, folder: Path) -> bytes:
        """Seed ``name`` changed in its bytes, in its structure, or in both."""
        data, way = seeds[name], random.randrange(5)
        if way > 1:
            with contextlib.suppress(Exception):  # a library refuses to write some of what is hostile
                data = self.change(data, random, folder)
        if way in (0, 1, 4) and data:
            data = change_bytes(data, list(seeds.values()), random)
        return data


@cache
def network() -> Network:
    return random_unet("rate", 1, size=8, width=2)


def _written(folder: Path, **writers: Callable[[Path], object]) -> Seeds:
    seeds = {}
    for name, write in writers.items():
        path = folder / name.replace("__", ".")
        write(path)
        seeds[path.name] = path.read_bytes()
    return seeds


# ---------------------------------------------------------------------- models and networks


def _onnx_seeds(folder: Path) -> Seeds:
    sized = _written(folder, unet__onnx=lambda path: write_unet(path, (8, 8)))
    return {"small.onnx": small(), **sized, **_written(folder, open__onnx=write_unet)}


def _read_onnx(path: Path) -> None:
    size = own_size(path) or (8, 8)
    inspect(path, size)
    normal_form(read(path, size).graph)


def _convert(path: Path) -> None:
    """As ``snn-deploy convert`` does, with one picture of few pixels."""
    own = input_size(path)
    channels = input_channels(path, own)
    picture = np.random.default_rng(0).random((1, channels, 16, 16), np.float32)
    images = load_calibration_images([picture], channels, patch=own)[:2]
    network = convert(path, images, Options(levels=15)).conversion.network
    if artifact.decode(artifact.encode(network)).name != network.name:
        raise AssertionError("the artifact holds another network")


def _read_artifact(path: Path) -> None:
    network = artifact.load(path)
    if artifact.encode(network) != path.read_bytes():
        raise AssertionError("the network is written as other bytes")
    small = network.input.shape[1] * network.input.shape[2] < 2**12 and network.duration < 200
    if small and sum(population.size for population in network.populations) < 2**16:
        load_backend("reference").run(network, random_stimulus(network, 1), Record.COUNTS)


def _net_seeds(folder: Path) -> Seeds:
    return _written(folder, chain__net=lambda path: write_net(test_netx.chain(), path))


def _read_net(path: Path) -> None:
    artifact.decode(artifact.encode(read_net(path)))


def _nir_seeds(folder: Path) -> Seeds:
    skip = test_nir.unet(1, "subtract", strict=False, up=True)
    chain = test_nir.chain()
    return _written(
        folder, chain__nir=lambda path: write_nir(chain, path), unet__nir=lambda path: write_nir(skip, path)
    )


def _read_nir(path: Path) -> None:
    artifact.decode(artifact.encode(read_nir(path, steps=8)))


# ---------------------------------------------------------------------- recordings


@cache
def _recorded() -> Trace:
    return Trace.of(load_backend("reference").run(network(), random_stimulus(network(), 1), Record.STATES), "chip")


def _trace_seeds(folder: Path) -> Seeds:
    return _written(folder, trace__npz=lambda path: write_trace(path, [_recorded(), _recorded()]))


def _look_at(trace: Trace) -> None:
    compare(network(), [_recorded(), trace], Level.STATE).line  # noqa: B018  # what it says is made when it is asked


def _read_trace(path: Path) -> None:
    for trace in read_trace(path):
        _look_at(trace)


def _csv_seeds(folder: Path) -> Seeds:
    rows = [
        f"{population.name}.{index},{step}"
        for population in network().populations
        for index in (0, 1)
        for step in (1, 3)
    ]
    names = [f"neuron {population.name}.0" for population in network().populations]
    table = [f"timestep,{','.join(names)}", *(f"{step},{','.join(['-7'] * len(names))}" for step in range(4))]
    return {
        "spikes.csv": ("neuron,timestep\n" + "\n".join(rows) + "\n").encode(),
        "potentials.csv": ("\n".join(table) + "\n").encode(),
    }


def _read_csv(path: Path) -> None:
    tables = (None, path) if is_potentials(path) else (path, None)
    read_sana_fe(network(), *tables)


def _data_seeds(folder: Path) -> Seeds:
    import nir

    name, population = network().populations[1].name, network().populations[1]
    grid = nir.TimeGriddedData(np.zeros((1, 8, population.size)), 1.0)
    index, time = np.array([[0, 1, 1]]), np.array([[0.0, 2.0, 3.0]])
    kinds = {
        "grid": {"spikes": grid, "v": grid},
        "events": {"spikes": nir.EventData(index, time, population.size, 8.0)},
        "valued": {"spikes": nir.ValuedEventData(index, time, population.size, 8.0, np.array([[1, 2, 3]]))},
    }
    return _written(
        folder,
        **{
            f"{kind}__nird": lambda path, parts=parts: nir.serialization.write_data(
                path, nir.NIRGraphData({name.replace("/", "."): nir.NIRNodeData(parts)})
            )
            for kind, parts in kinds.items()
        },
    )


def _read_data(path: Path) -> None:
    name = network().populations[1].name
    read_nir_data(path, network(), dt=1.0, names={name.replace("/", "."): name})


# ---------------------------------------------------------------------- texts


def _toml_seeds(_: Path) -> Seeds:
    _parser()  # made once, before children are forked off
    text = b'[inspect]\nmodel = "unet.onnx"\nsize = "8x8"\n\n[estimate]\nrate = 0.5\ntarget = "loihi2"\n\n[verify]\nshare = 1\n'
    return {"project.toml": text}


@cache
def _parser() -> ArgumentParser:
    return app.parser()


def _read_project(path: Path) -> None:
    project.apply(_parser(), ["inspect", "--project", str(path)])


def _target_seeds(_: Path) -> Seeds:
    folder = Path(load.__file__).parent
    return {name: (folder / name).read_bytes() for name in ("loihi2.toml", "loihi1.toml")}


def _read_target(path: Path) -> None:
    load_target(path)


def _certificate_seeds(folder: Path) -> Seeds:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    run = load_backend("reference").run(network(), random_stimulus(network(), 1), Record.TRAINS)
    plain = certify(compare(network(), [run, run], Level.TRAIN), network(), stimuli=["x"])
    key = PrivateKey(Ed25519PrivateKey.from_private_bytes(bytes(32)))
    return _written(
        folder,
        plain__json=lambda path: write_certificate(plain, path),
        signed__json=lambda path: write_certificate(plain.sign(key), path),
    )


def _change_certificate(data: bytes, random: Random, _: Path) -> bytes:
    """Other values in canonical JSON, half of the time with a right digest."""
    values = change_tree(json.loads(data), random)
    with contextlib.suppress(KeyError, TypeError, AttributeError, ValueError):
        if random.randrange(2):
            values["predicate"]["digest"] = digest_statement(Certificate(values))
    try:
        return canonical.to_bytes(values) + b"\n"
    except (ValueError, RecursionError, UnicodeEncodeError, AttributeError):
        return json.dumps(values, skipkeys=True).encode() + b"\n" if not _is_deep(values) else b"[" * 3000


def _is_deep(values: object) -> bool:
    try:
        json.dumps(values, skipkeys=True)
    except (ValueError, RecursionError):
        return True
    return False


def _read_certificate(path: Path) -> None:
    check_certificate(path)


# ---------------------------------------------------------------------- plans, streams, counters


@cache
def _streaming() -> Network:
    return random_unet("exact", 2, size=8, width=2)


def _plan_seeds(folder: Path) -> Seeds:
    own = network()
    names = tuple(population.name for population in own.populations[1:])
    plan = Plan(
        own.name,
        artifact.digest(own),
        (8, 8),
        (Group(names, (8, 8), Halo(0, 2)),),
        exact=True,
        hardware=Hardware("loihi2", 1, 120),
        figures={"images_per_s": 2.5},
    )
    return _written(folder, plan__json=lambda path: save_plan(plan, path))


def _change_plan(data: bytes, random: Random, _: Path) -> bytes:
    return json.dumps(change_tree(json.loads(data), random), skipkeys=True).encode()


def _read_plan(path: Path) -> None:
    plan = open_plan(path, network())
    if json.loads(json.dumps(plan.record()))["sha256"] != artifact.digest(network()):
        raise AssertionError("the plan is of another network")


def _state_seeds(folder: Path) -> Seeds:
    stream = prepare_stream(_streaming())
    running = open_stream(load_backend("reference"), stream)
    running.push(random_stimulus(stream, 1)[:1])
    return _written(folder, stream__state=lambda path: save_state(running.state(), stream, path))


def _change_state(data: bytes, random: Random, _folder: Path) -> bytes:
    """Another header, or other numbers with a right digest."""
    line, _, numbers = data.partition(b"\n")
    header = json.loads(line)
    if random.randrange(2):
        numbers = change_bytes(numbers, [numbers], random)
        header["sha256"] = hashlib.sha256(numbers).hexdigest()
    else:
        header = change_tree(header, random)
    return json.dumps(header, skipkeys=True).encode() + b"\n" + numbers


def _read_state(path: Path) -> None:
    stream, state = load_state(path, _streaming())
    open_stream(load_backend("reference"), stream, state).push(random_stimulus(stream, 2)[: state.batch])


def _event_seeds(folder: Path) -> Seeds:
    places = np.arange(20) % 8
    return _written(
        folder,
        events__npz=lambda path: np.savez(path, x=places, y=places[::-1], t=np.arange(20) * 10.0, p=places % 2),
    )


def _read_event_file(path: Path) -> None:
    if not holds_events(path):
        return
    for number, frame in enumerate(read_events(path, 2, (8, 8), 50.0)):
        if frame.shape != (1, 2, 8, 8) or not np.all(np.isfinite(frame)):
            raise AssertionError(f"accepted as {frame.shape}")
        if number == 1000:
            break


def _counter_seeds(_: Path) -> Seeds:
    name = network().populations[1].name
    return {"counters.csv": f"population,core,syn_ops,spikes_in\n{name},0,1200,\n{name},,1200,7.5\n".encode()}


@cache
def _predicted() -> dict[str, PopulationCounters]:
    chip = load_target("loihi2")
    return predict_counters(network(), assume_activity(network(), 0.1), map_network(network(), chip), chip)


def _read_counters(path: Path) -> None:
    compare_counters(path, network(), _predicted(), 1.0, network().duration)


# ---------------------------------------------------------------------- pictures


def _picture_seeds(folder: Path) -> Seeds:
    from PIL import Image

    values = np.random.default_rng(0).random((1, 3, 9, 7), np.float32)
    pixels = (values[0].transpose(1, 2, 0) * 255).astype(np.uint8)
    seeds = {"rgb.png": encode_image(values)}
    for name in ("gray.png", "rgb.tiff", "rgb.jpg", "rgb.bmp", "gray16.png", "float.tiff", "palette.png"):
        target = io.BytesIO()
        picture = Image.fromarray(pixels)
        if name.startswith("gray"):
            picture = Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257) if "16" in name else picture.convert("L")
        elif name.startswith("float"):
            picture = Image.fromarray(values[0, 0])
        elif name.startswith("palette"):
            picture = picture.quantize(8)
        picture.save(target, {"jpg": "JPEG", "tiff": "TIFF", "bmp": "BMP", "png": "PNG"}[name.split(".")[1]])
        seeds[name] = target.getvalue()
    return {
        **seeds,
        **_written(
            folder, image__npy=lambda path: np.save(path, values), out__tiff=lambda path: write_image(path, values)
        ),
    }


def _change_picture(data: bytes, random: Random, _: Path) -> bytes:
    if data[:4] == b"\x89PNG":
        return change_png(data, random)
    return change_npy(data, random) if data[:6] == b"\x93NUMPY" else change_bytes(data, [data], random)


def _read_picture(path: Path) -> None:
    for channels in (1, 3):
        image = read_image(path, channels)
        if image.ndim != 4 or not np.all(np.isfinite(image)):
            raise AssertionError(f"accepted as {image.shape}")


def _text(data: bytes, random: Random, _: Path) -> bytes:
    return change_text(data, random)


FORMATS: dict[str, Format] = {
    "onnx": Format(_onnx_seeds, lambda data, random, _: change_onnx(data, random), _read_onnx),
    "convert": Format(_onnx_seeds, lambda data, random, _: change_onnx(data, random), _convert),
    "snn": Format(
        lambda _: {
            "net.snn": artifact.encode(network()),
            "exact.snn": artifact.encode(random_unet("exact", 2, size=4)),
        },
        lambda data, random, _: change_artifact(data, random),
        _read_artifact,
    ),
    "trace": Format(_trace_seeds, lambda data, random, _: change_zip(data, random), _read_trace),
    "sana-fe": Format(_csv_seeds, _text, _read_csv),
    "nir-data": Format(_data_seeds, change_hdf5, _guarded(_read_data)),
    "nir": Format(_nir_seeds, change_hdf5, _guarded(_read_nir)),
    "net": Format(_net_seeds, change_hdf5, _guarded(_read_net)),
    "project": Format(_toml_seeds, _text, _read_project),
    "target": Format(_target_seeds, _text, _read_target),
    "certificate": Format(_certificate_seeds, _change_certificate, _read_certificate),
    "plan": Format(_plan_seeds, _change_plan, _read_plan),
    "stream-state": Format(_state_seeds, _change_state, _read_state),
    "events": Format(_event_seeds, lambda data, random, _: change_zip(data, random), _read_event_file),
    "counters": Format(_counter_seeds, _text, _read_counters),
    "picture": Format(_picture_seeds, _change_picture, _read_picture),
}
"""Every format by its name on the command line, and in names of the corpus."""

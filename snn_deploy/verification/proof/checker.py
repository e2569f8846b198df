"""Checks a proof with other code than made it: ``python -m snn_deploy.verification.proof.checker NET.snn FORM.onnx PROOF.json``.

One file of at most 310 lines of code that needs NumPy and ``onnx`` and nothing of snn-deploy. Nodes that move values are run on a
map of distinct numbers, nodes that change them on every payload there is; all else is compared with the network. Status 0: every
obligation of the proof, and none beside them, holds; 1: not so, and a line says where.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx

Ints = npt.NDArray[np.int64]
Found = tuple[tuple[str, str], dict[str, int]]
"""Kind and subject of an obligation that holds, and its numbers."""


class RejectedError(Exception):
    """An obligation that does not hold, or something that this checker does not know."""


class Term(NamedTuple):
    """What ``source`` adds to a current, over all pairs of places that taps, or entries of a pixel map, join.

    ``places`` are those that taps read, (H_out, K_h) and (W_out, K_w); or of the entries, to and from, where ``groups`` is 0.
    """

    source: str
    weight: Ints
    groups: int
    places: tuple[Ints, Ints]
    factor: int
    reading: Ints


def need(holds: object, where: str) -> None:
    """Go on only if ``holds``."""
    if not bool(holds):
        raise RejectedError(where)


class Network:
    """What an ``.snn`` file of ``exact`` mode says; ``last`` holds the step of each population's last event, once known."""

    def __init__(self, data: bytes) -> None:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        self.manifest = json.loads(files.pop("manifest.json"))
        for name, digest in self.manifest["sha256"].items():
            need(hashlib.sha256(files[name]).hexdigest() == digest, f"{name} is altered")
        self.tensors = {name: np.load(io.BytesIO(each)) for name, each in files.items()}
        self.populations = {each["name"]: each for each in self.manifest["populations"]}
        self.input = self.manifest["populations"][0]["name"]
        self.last = {self.input: self.populations[self.input]["start"]}
        need(self.manifest["mode"] == "exact", "only counts of exact mode need no time")

    def array(self, name: str) -> Ints:
        """A tensor."""
        return np.asarray(self.tensors[name], np.int64)

    def limits(self, name: str) -> tuple[int, int]:
        """Least and greatest count of a population."""
        record = self.populations[name]
        neuron = record.get("neuron", {"payload_min": -1, "count_min": record.get("input_min")})
        least = 0 if neuron["payload_min"] == 0 or neuron.get("sigma_delta", {}).get("rectify") else neuron["count_min"]
        return least, record["input_max"] if name == self.input else neuron["count_max"]

    def payloads(self, name: str) -> Ints:
        """Every count of a population."""
        return np.arange(self.limits(name)[0], self.limits(name)[1] + 1)

    def terms(self, target: str) -> Iterator[Term]:
        """What the network sends ``target``."""
        for each in (each for each in self.manifest["connections"] if each["target"] == target):
            kernel, source, factor = each["kernel"], each["source"], 1 << each["exponent"]
            if kernel["kind"] == "spatial":
                starts = self.array(kernel["indptr"])
                entries = np.repeat(np.arange(starts.size - 1), np.diff(starts)), self.array(kernel["indices"])
                yield Term(source, self.array(kernel["data"]), 0, entries, factor, self.payloads(source))
                continue
            weight, groups = self.array(kernel["weight"]), kernel["groups"]
            sizes = zip(
                self.populations[target]["shape"][1:],
                self.populations[source]["shape"][1:],
                weight.shape[2:],
                strict=True,
            )
            axes = [read_axis(kernel, axis, *size) for axis, size in enumerate(sizes)]
            if kernel["kind"] == "transposed":
                weight = weight.reshape(groups, -1, *weight.shape[1:]).swapaxes(1, 2)
                weight = weight.reshape(-1, *weight.shape[2:])
            yield Term(source, weight, groups, (axes[0], axes[1]), factor, self.payloads(source))


def read_axis(kernel: dict[str, Any], axis: int, outputs: int, inputs: int, taps: int) -> Ints:
    """Place that each tap reads along an axis, -1 for padding: (outputs, taps)."""
    step, gap, pad = kernel["strides"][axis], kernel["dilations"][axis], kernel["pads"][axis]
    n, k = np.arange(outputs)[:, None], np.arange(taps)
    place, rest = n * step + k * gap - pad, np.zeros((outputs, taps))
    if kernel["kind"] == "transposed":
        place, rest = np.divmod(n + pad - k * gap, step)
    return np.where((rest == 0) & (place >= 0) & (place < inputs), place, -1)


class Form:
    """What an integer ONNX file computes between the populations of a network."""

    def __init__(self, data: bytes, network: Network) -> None:
        model, self.network = onnx.load_from_string(data), network
        self.constants = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
        self.nodes = {node.output[0]: node for node in model.graph.node}
        names = [*self.constants, network.input, *(node.output[0] for node in model.graph.node)]
        need(len(names) == len(set(names)), "two values share a name")
        need([(each.domain, each.version) for each in model.opset_import] == [("", 17)], "the file is not of opset 17")
        need([each.name for each in model.graph.input] == [network.input], "the file's input is not the network's")
        need({network.input, *(each.name for each in model.graph.output)} == set(network.populations), "other outputs")

    def node(self, name: str, *operators: str) -> tuple[Any, dict[str, Any]]:
        """The node that gives ``name`` by one of ``operators``, and its attributes."""
        node = self.nodes[name]
        need(node.op_type in operators and not node.domain, f"{name!r} is not given by {operators}")
        return node, {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}

    def constant(self, name: str, kind: type[np.generic] = np.int32) -> Ints:
        """A constant of this dtype."""
        need(self.constants[name].dtype == kind, f"{name!r} is of {self.constants[name].dtype}")
        return self.constants[name].astype(np.int64)

    def sides(self, name: str) -> Iterator[tuple[str, Ints, tuple[int, int]]]:
        """The name of the sum behind an output, its divisor and its limits; one of each for each sign where it adds two."""
        node, channels = self.node(name, "Clip", "Add")[0], self.network.populations[name]["shape"][0]
        for side in [name] if node.op_type == "Clip" else node.input:
            total, least, greatest = self.node(side, "Clip")[0].input
            theta = np.ones((1, channels, 1, 1), np.int64)
            if self.nodes[total].op_type == "Div":  # floor(s / d) is (s - s mod d) / d
                difference, divisor = self.nodes[total].input
                total, rest = self.node(difference, "Sub")[0].input
                modulo, how = self.node(rest, "Mod")
                theta = self.constant(divisor)
                need(modulo.input[0] == total and not how.get("fmod"), f"{name}: another rest than that of the sum")
                need(np.array_equal(self.constant(modulo.input[1]), theta) and theta.min() > 0, f"{name}: two divisors")
                need(theta.shape == (1, channels, 1, 1), f"{name}: not one divisor for each channel")
            yield total, theta.reshape(-1), (self.constant(least).item(), self.constant(greatest).item())

    def flatten(self, name: str, factor: int, shape: list[int], terms: list[Term], offsets: list[Ints]) -> None:
        """Collect what the sum ``name``, of ``shape`` in the end, adds up, times ``factor``."""
        if name in self.constants:
            offsets.append(self.constant(name)[0] * factor)
            return
        node, how = self.node(name, "Add", "Mul", "ConvInteger", "Reshape")
        if node.op_type == "Add":
            for each in node.input:
                self.flatten(each, factor, shape, terms, offsets)
        elif node.op_type == "ConvInteger":
            terms.append(self.convolution(node, how, factor))
        elif node.op_type == "Reshape":
            self.flatten(node.input[0], factor, shape, terms, offsets)
            need(self.constant(node.input[1], np.int64).tolist() == [-1, *shape], f"{name!r} has another shape")
        elif self.nodes[node.input[0]].op_type != "Gather":
            self.flatten(node.input[0], factor * self.constant(node.input[1]).item(), shape, terms, offsets)
        else:
            source, places, reading, _ = self.trace(node.input[0])
            weight, size = self.constant(node.input[1]), int(np.prod(self.network.populations[source]["shape"][1:]))
            same = np.array_equal(places, np.arange(len(places))[:, None] * size + places[0]) and places.min() >= 0
            need(same and weight.shape == places[0].shape, f"{name!r} does not weigh the same pixels of every channel")
            need(np.array_equal(reading, self.network.payloads(source)), f"{name!r} weighs what was changed before")
            terms.append(Term(source, weight, 0, (np.arange(weight.size), places[0]), factor, reading))

    def convolution(self, node: Any, how: dict[str, Any], factor: int) -> Term:
        """A ``ConvInteger``."""
        need(set(how) <= {"strides", "dilations", "group", "kernel_shape"}, f"{node.name!r} has {sorted(how)}")
        source, places, reading, is_byte = self.trace(node.input[0])
        weight = self.constant(node.input[1], np.uint8) - self.constant(node.input[3], np.uint8).item()
        reading = reading - self.constant(node.input[2], np.uint8).item()
        channels, height, width = self.network.populations[source]["shape"]
        need(is_byte and reading[-self.network.limits(source)[0]] == 0, f"{node.name!r}: no bytes, or padding is not 0")
        inside, axes = places >= 0, list[Ints]()
        rows = np.where(inside, places // width % height, -1).max((0, 2))
        columns = np.where(inside, places % width, -1).max((0, 1))
        rebuilt = (np.arange(channels)[:, None, None] * height + rows[:, None]) * width + columns
        rebuilt[:, (rows[:, None] < 0) | (columns < 0)] = -1
        need(np.array_equal(rebuilt, places), f"{node.name!r} does not read rows and columns")
        for axis, size in zip((rows, columns), weight.shape[2:], strict=True):
            step, gap = (how.get(name, [1, 1])[len(axes)] for name in ("strides", "dilations"))
            outputs = (axis.size - gap * (size - 1) - 1) // step + 1
            axes.append(axis[np.arange(outputs)[:, None] * step + np.arange(size) * gap])
        return Term(source, weight, how.get("group", 1), (axes[0], axes[1]), factor, reading)

    def trace(self, name: str) -> tuple[str, Ints, Ints, bool]:
        """Source, place in it of every value (-1: padding by 0), what each payload has become, and whether it is a byte."""
        if name in self.network.populations:
            shape = self.network.populations[name]["shape"]
            return name, np.arange(np.prod(shape)).reshape(shape), self.network.payloads(name), False
        node, how = self.node(name, "Reshape", "Pad", "Slice", "Gather", "Mod", "Sub", "Div", "Cast")
        source, places, reading, is_byte = self.trace(node.input[0])
        if node.op_type in ("Reshape", "Pad", "Slice", "Gather"):
            need(np.array_equal(reading, self.network.payloads(source)), f"{name!r} moves what was changed before")
            return source, self.move(node, how, places), reading, False
        if node.op_type == "Cast":
            need(how["to"] == onnx.TensorProto.UINT8, f"{name!r} makes no bytes")
            need(0 <= reading.min() <= reading.max() <= 255, f"{name!r} may not fit a byte")
            return source, places, reading, True
        if node.input[1] in self.constants:
            other: Ints = np.array([self.constant(node.input[1]).item()])
        else:
            second, there, other, _ = self.trace(node.input[1])
            need(node.op_type == "Sub" and second == source and np.array_equal(there, places), f"{name!r} mixes counts")
        need(not is_byte and not how.get("fmod"), f"{name!r} changes bytes, or truncates")
        if node.op_type == "Sub":
            return source, places, reading - other, False
        quotient, rest = np.divmod(reading, other)
        need(other[0] > 0 and (node.op_type == "Mod" or not rest.any()), f"{name!r} divides with a rest")
        return source, places, rest if node.op_type == "Mod" else quotient, False

    def move(self, node: Any, how: dict[str, Any], places: Ints) -> Ints:
        """``places`` where ``node`` puts them; the batch axis, which they lack, must stay as it is."""
        first, *others = (self.constants[each] for each in node.input[1:])
        if node.op_type == "Reshape":
            need(first[0] == -1 and first[1:].min() > 0, f"{node.name!r} changes the batch axis")
            return places.reshape(first[1:])
        if node.op_type == "Gather":
            need(how.get("axis") == places.ndim and first.min() >= 0, f"{node.name!r} gathers along {how}")
            return np.take(places, first, -1)
        if node.op_type == "Slice":
            need(len(others) == 2 and others[1].tolist() == [2, 3], f"{node.name!r} cuts other axes, or in steps")
            return places[:, first[0] : others[0][0], first[1] : others[0][1]]
        pads = first.reshape(2, -1)
        need(not how and others[0].item() == 0 and not pads[:, 0].any(), f"{node.name!r} pads by other than 0")
        return np.pad(places, pads[:, 1:].T, constant_values=-1)


def compare(expected: list[Term], found: list[Term], source: list[int], target: list[int], payloads: Ints) -> int:
    """The number of weights compared: every synapse sends the same for every payload on both sides."""
    terms, compared = [*expected, *found], 0
    where = f"what {terms[0].source!r} sends"
    if not any(term.groups for term in terms):
        keys = np.concatenate([term.places[0] * (source[1] * source[2]) + term.places[1] for term in terms])
        pairs, inverse = np.unique(keys, return_inverse=True)
        sums = np.zeros(pairs.size, np.int64)
        weights = [term.weight * term.factor * (1 if n < len(expected) else -1) for n, term in enumerate(terms)]
        np.add.at(sums, inverse, np.concatenate(weights))
        need(not sums.any(), f"{where}: a pixel has another weight")
        return len(pairs)
    need(all(term.groups for term in terms), f"{where}: this checker compares kernels with kernels only")
    dense = [spread(term, source[0]) for term in terms]
    readings = np.stack([payloads, *(term.reading for term in found)])
    for rows in classes([term.places[0] for term in terms], source[1], target[1]):
        for columns in classes([term.places[1] for term in terms], source[2], target[2]):
            meets = [h >= 0 and k >= 0 for h, k in zip(rows, columns, strict=True)]
            blocks = [w[:, :, h, k].ravel() * m for w, h, k, m in zip(dense, rows, columns, meets, strict=True)]
            right = sum(blocks[: len(expected)], np.zeros(target[0] * source[0], np.int64))
            weights = np.unique(np.stack([-right, *blocks[len(expected) :]]), axis=1).T
            for begin in range(0, len(weights), 64):
                need(not np.any(weights[begin : begin + 64] @ readings), f"{where}: a synapse has another weight")
            compared += right.size * any(meets)
    return compared


def spread(term: Term, channels: int) -> Ints:
    """Weights (O, C, K_h, K_w) times the factor over all channels, zeros between groups."""
    outputs, inputs, *taps = term.weight.shape
    dense = np.zeros((outputs, term.groups, inputs, *taps), np.int64)
    dense[np.arange(outputs), np.arange(outputs) // (outputs // term.groups)] = term.weight * term.factor
    return dense.reshape(outputs, channels, *taps)


def classes(axes: list[Ints], inputs: int, outputs: int) -> list[list[int]]:
    """Which taps of all terms meet between one place of the source and one of the target: each combination once."""
    tables = np.full((len(axes), outputs, inputs), -1)
    for table, axis in zip(tables, axes, strict=True):
        need(len(axis) == outputs, "a term has maps of another size")
        for tap, places in enumerate(axis.T):
            seen = np.flatnonzero(places >= 0)
            need(np.all(table[seen, places[seen]] < 0), "two taps of one term meet in one place")
            table[seen, places[seen]] = tap
    every: list[list[int]] = np.unique(tables.reshape(len(axes), -1), axis=1).T.tolist()
    return [taps for taps in every if max(taps) >= 0]


def span(terms: Sequence[Term], shape: list[int]) -> tuple[Ints, Ints]:
    """Least and greatest sum (C, H, W) of any of the synapses of each neuron."""
    low = high = np.zeros(shape, np.int64)
    for term in terms:
        for sign in (1, -1):
            weight = np.maximum(sign * term.weight * term.factor, 0)
            if term.groups:
                inside = [(places >= 0).astype(np.int64) for places in term.places]
                sums = np.einsum("ohw,yh,xw->oyx", weight.sum(1), *inside)
            else:
                sums = np.bincount(term.places[0], weight, shape[1] * shape[2]).astype(np.int64).reshape(shape[1:])
            ends = sorted((sign * min(int(term.reading.min()), 0), sign * max(int(term.reading.max()), 0)))
            low, high = low + sums * ends[0], high + sums * ends[1]
    return low, high


def check_population(network: Network, form: Form, name: str) -> Iterator[Found]:
    """Linear maps, firing, formats, bounds and schedule of one population."""
    population, limits, found, offsets = network.populations[name], network.limits(name), list[Term](), list[Ints]()
    neuron, shape = population["neuron"], population["shape"]
    sides = list(form.sides(name))
    total = sides[0][0]
    form.flatten(total, 1, shape, found, offsets)
    expected = list(network.terms(name))
    for source in dict.fromkeys(term.source for term in [*expected, *found]):
        ours, theirs = ([term for term in side if term.source == source] for side in (expected, found))
        compared = compare(ours, theirs, network.populations[source]["shape"], shape, network.payloads(source))
        yield ("linear", f"{source} -> {name}"), {"weights": compared}
    theta, start, own = network.array(neuron["theta"]), network.array(neuron["v0"]), neuron.get("sigma_delta")
    known = "cuba_lif" not in neuron and neuron.get("reset", "subtract") == "subtract"
    need(known and (own is None or np.all(theta == 1 << own["shift"])), f"{name}: counts are no floor of a sum")
    need(own is None or own["rectify"] or own["shift"] == 0, f"{name}: changes below 0 wait")
    start = start if own is None else start + network.array(own["offset"])
    bias = network.array(population["bias"])
    right = np.broadcast_to(bias + (start - int(neuron["strict"]))[:, None, None], shape)
    need(np.array_equal(np.broadcast_to(sum(offsets), shape), right), f"{name}: an offset differs")
    two = neuron.get("two_sided")
    stairs = [(0 * theta, theta, limits if two is None else (0, limits[1]))]
    if two is not None:
        stairs.append((network.array(two["offset_below"]), network.array(two["theta_below"]), (limits[0], 0)))
    need(len(sides) == len(stairs) and (two is None or not two["hold"]), f"{name}: counts on other sides")
    for (raised, divisor, clipped), (offset, threshold, between) in zip(sides, stairs, strict=True):
        first, *added = [raised] if raised == total else form.node(raised, "Add")[0].input
        more = sum((form.constant(each).reshape(theta.shape) for each in added), 0 * theta)
        same = first == total and np.array_equal(more, offset) and np.array_equal(divisor, threshold)
        need(same and clipped == between, f"{name}: offset, divisor or limits differ")
    yield ("firing", name), {"neurons": int(np.prod(shape))}
    low, high = span(found, shape)
    constant = sum(np.abs(each).max() for each in (*offsets, *(each for side in stairs for each in side[:2])))
    need(max(-low.min(), high.max()) + constant < 2**31, f"{name}: beyond int32")
    arriving = [each for each in network.manifest["connections"] if each["target"] == name]
    arrivals = [network.last[each["source"]] + each["delay"] for each in arriving]
    at_once, final = population["start"] >= max(arrivals), max(population["start"], *arrivals)
    slowest = min(neuron["payload_max"], -neuron["payload_min"] or neuron["payload_max"])
    farthest = max(limits[1], -limits[0]) if at_once else limits[1] - limits[0]
    network.last[name] = final - 1 - (-farthest // slowest)
    need(at_once or (neuron["payload_min"] < 0 and own is None), f"{name}: fires too early to be corrected")
    need(network.last[name] < population["start"] + network.manifest["steps"], f"{name}: sends after its window")
    low, high = (end + start[:, None, None] for end in span(expected, shape))
    low, high = low + np.minimum(bias, 0), high + np.maximum(bias, 0)
    if (network.manifest["steps"] > 1 or not at_once) and len(stairs) == 1:
        low, high = low - theta[:, None, None] * limits[1], high - theta[:, None, None] * min(limits[0], 0)
    need(max(-low.min(), high.max()) <= 2**23 - 1, f"{name}: a membrane may leave 24 bits")


def check(snn: bytes, form: bytes, proof: dict[str, Any]) -> int:
    """The number of obligations that hold; :class:`RejectedError` at the first that does not."""
    network = Network(snn)
    need(proof["digest"] == hashlib.sha256(snn).hexdigest(), "the proof is of another network")
    need(proof["form_digest"] == hashlib.sha256(form).hexdigest(), "the proof is of another form")
    name, read = network.manifest["name"], Form(form, network)
    holds: dict[tuple[str, str], dict[str, int]] = {("structure", name): {"populations": len(network.populations)}}
    for population in list(network.populations)[1:]:
        holds |= dict(check_population(network, read, population))
    holds |= {("formats", proof["backend"]): {}, ("bounds", name): {}}
    holds["schedule", name] = {"last_step": max(network.last.values())}
    stated = {(each["kind"], each["subject"]): each for each in proof["obligations"]}
    need(set(stated) == set(holds) and len(stated) == len(proof["obligations"]), "it states other obligations")
    for key, numbers in holds.items():
        need(stated[key]["outcome"] == "proved", f"{key} is not stated as proved")
        need(stated[key]["evidence"] == numbers, f"{key} states {stated[key]['evidence']}; it is {numbers}")
    need(proof["outcome"] == "proved" and proof["exit_code"] == 0, "the proof does not say proved")
    return len(stated)


def main(words: Sequence[str]) -> int:
    """The command line."""
    try:
        snn, form, proof = (Path(word).read_bytes() for word in words)
        lines = f"{check(snn, form, json.loads(proof))} obligations hold\n", 0
    except (RejectedError, ArithmeticError, LookupError, OSError, TypeError, ValueError, zipfile.BadZipFile) as error:
        lines = f"rejected: {type(error).__name__}: {error}\n", 1
    sys.stdout.write(lines[0])
    return lines[1]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

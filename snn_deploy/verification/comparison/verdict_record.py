"""A verdict as plain values for JSON, and back, so that a recorded verdict can be checked against its own rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, TypeAlias

from snn_deploy.errors import VerificationError
from snn_deploy.verification.comparison.levels import Check, Level, Status
from snn_deploy.verification.comparison.spread_record import find_spread_contradictions, record_spread, restore_spread
from snn_deploy.verification.comparison.verdict import Attribution, Coverage, Divergence, Row, Side, Verdict

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"

_LEVELS = {level.label: level for level in Level}

_LOOKS_AT = {
    Check.TOTALS: Level.LAYER_COUNT,
    Check.COUNTS: Level.NEURON_COUNT,
    Check.TRAINS: Level.TRAIN,
    Check.STATES: Level.STATE,
    Check.SECOND_STATES: Level.STATE,
}
"""Lowest level that makes a check for every population (counts of outputs are compared at each)."""


def record(verdict: Verdict) -> dict[str, Json]:
    """The verdict as values that :mod:`json` can write; what is counted stands in it where it is not images."""
    unit: dict[str, Json] = {} if verdict.unit == "image" else {"unit": verdict.unit}
    if verdict.streams > 1:
        unit["streams"] = verdict.streams
    return unit | {
        "network": verdict.network,
        "digest": verdict.digest,
        "backends": list(verdict.backends),
        "asked": verdict.asked.label,
        "reached": None if verdict.reached is None else verdict.reached.label,
        "status": verdict.status.value,
        "exit_code": verdict.exit_code,
        "line": verdict.line,
        "story": verdict.story,
        "cause": verdict.cause,
        "warnings": list(verdict.warnings),
        "coverage": dict(asdict(verdict.coverage)),
        "spread": record_spread(verdict.spread),
        "populations": [_row(row) for row in verdict.rows],
    }


def _row(row: Row) -> Json:
    return {
        "name": row.population,
        "shape": list(row.shape),
        "neurons": row.neurons,
        "probed": row.probed,
        "fires": row.fires,
        "silent": row.silent,
        "status": row.status.value,
        "sides": [_side(side) for side in row.sides],
    }


def _side(side: Side) -> Json:
    return {
        "backend": side.backend,
        "counts": side.counts,
        "events": side.events,
        "probed": side.probed,
        "differing": {check.value: number for check, number in side.differing},
        "missing": list(side.missing),
        "status": side.status.value,
        "first": None if side.first is None else _divergence(side.first),
        "errors": None
        if side.errors is None
        else {
            "introduced": side.errors.introduced,
            "inherited": side.errors.inherited,
            "first": None if side.errors.first is None else _divergence(side.errors.first),
        },
    }


def _divergence(divergence: Divergence) -> Json:
    unit: dict[str, Json] = {} if divergence.unit == "image" else {"unit": divergence.unit}
    if divergence.stream is not None:
        unit["stream"] = divergence.stream
    return unit | {
        "quantity": divergence.quantity,
        "image": divergence.image,
        "step": divergence.step,
        "neuron": None if divergence.neuron is None else list(divergence.neuron),
        "expected": divergence.expected,
        "found": divergence.found,
    }


def restore(values: Any) -> Verdict:
    """The verdict of which :func:`record` made ``values``; :class:`VerificationError` where they are not such a record."""
    try:
        return Verdict(
            network=_is(str, values["network"]),
            digest=_is(str, values["digest"]),
            backends=tuple(_is(str, name) for name in _is(list, values["backends"])),
            asked=_LEVELS[values["asked"]],
            reached=None if values["reached"] is None else _LEVELS[values["reached"]],
            rows=tuple(_restored_row(row) for row in _is(list, values["populations"])),
            coverage=Coverage(**{key: _is(int, value) for key, value in values["coverage"].items()}),
            warnings=tuple(_is(str, text) for text in _is(list, values["warnings"])),
            cause=_is(str, values.get("cause", "")),
            spread=restore_spread(values["spread"]),
            unit=_is(str, values.get("unit", "image")),
            streams=_is(int, values.get("streams", 1)),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise VerificationError(f"not the record of a verdict: {type(error).__name__} {error}") from error


def find_contradictions(values: Mapping[str, Json]) -> list[str]:
    """Where a recorded verdict says something else than follows from its own rows, one phrase each."""
    verdict = restore(values)
    again = record(verdict)
    derived = [key for key in again if key != "cause"]
    wrong = [f"its {key} does not follow from its rows" for key in derived if again[key] != values.get(key)]
    wrong += [f"unknown field {key!r}" for key in values if key not in again]
    for row in verdict.rows:
        if tuple(side.backend for side in row.sides) != verdict.backends:
            wrong.append(f"{row.population}: its backends are not those of the verdict")
        wrong += [
            f"{row.population}: {side.backend}: {text}"
            for side in row.sides[1:]
            for text in _side_at_odds(verdict, side)
        ]
    wrong += find_spread_contradictions(verdict)
    seen = verdict.coverage
    counted = (len(verdict.rows), sum(row.probed for row in verdict.rows), sum(row.neurons for row in verdict.rows))
    if len(verdict.backends) > 1 and counted != (seen.populations_expected, seen.neurons, seen.neurons_expected):
        wrong.append("its coverage is not that of its rows")
    return wrong


def _side_at_odds(verdict: Verdict, side: Side) -> Iterator[str]:
    made = {check: number for check, number in side.differing if verdict.asked >= _LOOKS_AT[check]}
    if side.status is Status.EQUAL and (any(made.values()) or side.missing or side.first is not None):
        yield "reported equal despite a difference or missing data"
    if side.status is Status.EQUAL and not side.differing:
        yield "reported equal, but nothing was compared"
    if side.status in (Status.DIFFERENT, Status.WITHIN_SPREAD) and not any(number for _, number in side.differing):
        yield f"reported {side.status.value}, but no value differs"
    if side.status is Status.NOT_COMPARED and not side.missing:
        yield "reported not compared, but nothing is missing"


def _restored_row(values: Any) -> Row:
    channels, height, width = (_is(int, axis) for axis in values["shape"])
    sides = tuple(_restored_side(side, values["name"]) for side in _is(list, values["sides"]))
    fires, silent = _is(bool, values["fires"]), _is(bool, values["silent"])
    return Row(_is(str, values["name"]), (channels, height, width), fires, sides, silent)


def _restored_side(values: Any, population: str) -> Side:
    def divergence(found: Any) -> Divergence | None:
        if found is None:
            return None
        neuron = None if found["neuron"] is None else tuple(_is(int, axis) for axis in found["neuron"])
        return Divergence(
            backend=values["backend"],
            population=population,
            quantity=_is(str, found["quantity"]),
            image=_is(int, found["image"]),
            step=None if found["step"] is None else _is(int, found["step"]),
            neuron=neuron,
            expected=_is(int, found["expected"]),
            found=_is(int, found["found"]),
            unit=_is(str, found.get("unit", "image")),
            stream=None if found.get("stream") is None else _is(int, found["stream"]),
        )

    errors = values["errors"]
    return Side(
        backend=_is(str, values["backend"]),
        counts=None if values["counts"] is None else _is(int, values["counts"]),
        events=None if values["events"] is None else _is(int, values["events"]),
        probed=_is(int, values["probed"]),
        differing=tuple((Check(name), _is(int, number)) for name, number in values["differing"].items()),
        missing=tuple(_is(str, text) for text in _is(list, values["missing"])),
        first=divergence(values["first"]),
        status=Status(values["status"]),
        errors=None
        if errors is None
        else Attribution(_is(int, errors["introduced"]), _is(int, errors["inherited"]), divergence(errors["first"])),
    )


def as_mapping(value: Json) -> dict[str, Json]:
    """``value``, a record; ``TypeError`` for anything else."""
    if not isinstance(value, dict):
        raise TypeError(f"{type(value).__name__} stands where a record belongs")
    return value


def _is(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{type(value).__name__} stands where {kind.__name__} belongs")
    return value

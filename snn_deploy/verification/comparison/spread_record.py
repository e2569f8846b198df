"""A spread as plain values for JSON, and back, and what of its verdict does not follow from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from snn_deploy.verification.comparison.levels import Status
from snn_deploy.verification.comparison.spread import Distance, HiddenFault, PopulationSpread, Spread

if TYPE_CHECKING:
    from snn_deploy.verification.comparison.verdict import Verdict

Record: TypeAlias = "dict[str, Any]"


def record_spread(spread: Spread | None) -> Record | None:
    """``spread`` as values that :mod:`json` can write; a distance is [differing, total, largest]."""
    if spread is None:
        return None
    return {
        "recordings": list(spread.recordings),
        "chance": round(spread.chance, 6),
        "self_share": round(spread.self_share, 6),
        "baseline_share": round(spread.baseline_share, 6),
        "outliers": list(spread.outliers),
        "populations": [
            {
                "name": each.population,
                "values": each.values,
                "widest": _values(each.widest),
                "among": [_values(distance) for distance in each.among],
                "apart": [_values(distance) for distance in each.apart],
            }
            for each in spread.populations
        ],
        "faults": spread.faults,
        "invisible": spread.invisible,
        "hidden": [
            {"fault": each.fault, "population": each.population, "moved": _values(each.moved)} for each in spread.hidden
        ],
    }


def restore_spread(values: Any) -> Spread | None:
    """The spread of which :func:`record_spread` made ``values``; ``KeyError``, ``TypeError`` or ``ValueError`` otherwise."""
    if values is None:
        return None
    recordings = tuple(_is(str, name) for name in _is(list, values["recordings"]))
    number = len(recordings)
    populations = []
    for each in _is(list, values["populations"]):
        among = tuple(_distance(distance) for distance in _is(list, each["among"]))
        apart = tuple(_distance(distance) for distance in _is(list, each["apart"]))
        if (len(among), len(apart)) != (number * (number - 1) // 2, number):
            raise ValueError(f"{len(among)} and {len(apart)} distances stand for {number} recordings")
        populations.append(PopulationSpread(_is(str, each["name"]), _is(int, each["values"]), among, apart))
    hidden = tuple(
        HiddenFault(_is(str, each["fault"]), _is(str, each["population"]), _distance(each["moved"]))
        for each in _is(list, values["hidden"])
    )
    if number < 2 or not populations:
        raise ValueError("a spread needs two recordings and a population")
    return Spread(recordings, tuple(populations), _is(int, values["faults"]), hidden)


def find_spread_contradictions(verdict: Verdict) -> Iterator[str]:
    """What ``verdict`` says of its recordings otherwise than follows from its spread, one phrase each."""
    spread = verdict.spread
    if spread is not None and spread.recordings != verdict.backends[len(verdict.backends) - len(spread.recordings) :]:
        yield "its spread is of other recordings"
    for row in verdict.rows:
        inside = () if spread is None or not spread.differs else spread.list_inside(row.population)
        outside = () if spread is None else spread.list_outside(row.population)
        for side in row.sides[1:]:
            if (side.status is Status.WITHIN_SPREAD) != (side.backend in inside) and side.status is not (
                Status.NOT_COMPARED
            ):
                yield f"{row.population}: {side.backend}: is called {side.status.value}, which its spread does not say"
            elif side.backend in outside and side.status is Status.EQUAL:
                yield f"{row.population}: {side.backend}: is called equal outside the spread"


def _values(distance: Distance) -> list[int]:
    return [distance.differing, distance.total, distance.largest]


def _distance(values: Any) -> Distance:
    differing, total, largest = (_is(int, value) for value in _is(list, values))
    if min(differing, total, largest) < 0:
        raise ValueError("a distance is negative")
    return Distance(differing, total, largest)


def _is(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{type(value).__name__} stands where {kind.__name__} belongs")
    return value

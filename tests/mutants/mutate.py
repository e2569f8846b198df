"""Mutate our own source and see whether its tests notice: ``make mutants [SAMPLE=5%|N|all] [SEED=n] [ONLY=text] [JOBS=n]``.

``table.toml`` says which tests concern which module, ``equivalent.toml`` which mutants compute the same, and why. The report
(``build/mutants/report.md``) gives the score per module and every survivor as ``file:line``, operator and change.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import mutant_runs
from mutant_report import Record, write
from mutant_source import Mutant, mutants, sample
from mutant_table import Equivalent, Row, read_equivalents, read_table

ROOT = Path(__file__).resolve().parent.parent.parent
EXTENDED = ("-m", "not slow")
"""What pytest is told where the tests that continuous integration adds to the quick ones run, too."""

_LIMITS_S: dict[tuple[str, ...], int] = {}
"""CPU time that tests may take, once they have passed without a mutant."""


def main() -> None:
    """Run, report, and say the score."""
    options = _options()
    rows = [row for row in read_table() if any(part in row.path for part in options.only)]
    equivalents = read_equivalents()
    out: Path = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    drawn, left_out = _draw(rows, options)
    _say(f"{sum(map(len, drawn.values()))} mutants of {len(rows)} modules")
    mutant_runs.prepare()
    trees = [mutant_runs.Tree(ROOT, out / f"tree-{number}") for number in range(options.jobs)]
    if not trees[0].has_types(rows[0].path, (ROOT / rows[0].path).read_text(encoding="utf-8")):
        raise SystemExit("`make types` fails without a mutant")
    records: list[Record] = []
    for row in rows:
        if drawn[row.path]:
            records += _run(row, drawn[row.path], equivalents, trees)
            write(out, records, left_out, f"seed {options.seed}, sample {options.sample}")
    killed, counted = sum(r.is_killed for r in records), sum(r.is_counted for r in records)
    _say(f"{killed} of {counted} killed ({killed / max(counted, 1):.1%}); survivors in {out}/report.md")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument(
        "--sample", default="6%", help="percent of the places of each module, a number of places, or 'all'"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample")
    parser.add_argument("--only", nargs="*", default=[""], help="parts of the paths of the modules to mutate")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "build" / "mutants", help="folder of the report and the copies"
    )
    parser.add_argument("--again", type=Path, help="results of an earlier run, whose survivors are run again")
    return parser.parse_args()


def _draw(rows: list[Row], options: argparse.Namespace) -> tuple[dict[str, list[Mutant]], Counter[str]]:
    """The mutants to run, by module, and how many were left out, by reason."""
    drawn: dict[str, list[Mutant]] = {}
    left_out: Counter[str] = Counter()
    earlier = _survivors(options.again) if options.again else None
    for row in rows:
        found, excluded = mutants(ROOT, row.path)
        left_out.update(excluded)
        if earlier is not None:
            operators = {operator for path, operator, *_ in earlier if path == row.path}
            drawn[row.path] = [
                mutant
                for mutant in found
                if mutant.short_operator in operators and (row.path, mutant.short_operator, *mutant.change) in earlier
            ]
        elif options.sample == "all":
            drawn[row.path] = found
        else:
            drawn[row.path] = sample(found, _count(options.sample), options.seed)
    return drawn, left_out


def _survivors(path: Path) -> set[tuple[str, str, str, str]]:
    """Path, operator, line before and line after of what survived an earlier run."""
    records = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    survived = (each for each in records if each["outcome"] == "survived")
    return {(each["path"], each["operator"], each["change"][1], each["change"][2]) for each in survived}


def _count(text: str) -> Callable[[int], int]:
    """``5%`` of the places, at least one, or so many."""
    if text.endswith("%"):
        return lambda places: math.ceil(places * float(text[:-1]) / 100)
    return lambda places: int(text)


def _limit_s(path: str, tests: tuple[str, ...], trees: list[mutant_runs.Tree]) -> int:
    """CPU seconds that ``tests`` may take with a mutant; they must pass without one, for which every tree compiles what they
    need."""
    if tests not in _LIMITS_S:
        job = mutant_runs.Job(path, (trees[0].folder / path).read_text(encoding="utf-8"), tests, 600)
        results = [result for _, result in mutant_runs.run([job] * len(trees), trees)]
        for result in results:
            if result.outcome != "survived":
                raise SystemExit(f"{path}: its tests fail without a mutant\n{result.log}")
        _LIMITS_S[tests] = math.ceil(3 * max(result.cpu_s for result in results)) + 5
    return _LIMITS_S[tests]


def _run(row: Row, found: list[Mutant], equivalents: list[Equivalent], trees: list[mutant_runs.Tree]) -> list[Record]:
    """Run the mutants of one module, except those that compute the same."""
    records: list[Record] = []
    waiting: dict[str, Mutant] = {}
    for mutant in found:
        reason = next((known.reason for known in equivalents if known.matches(mutant.path, mutant.change)), None)
        if reason is not None:
            records.append(Record.of(mutant, "equivalent", reason))
        else:
            waiting[mutant.mutated] = mutant
    start = time.monotonic()
    for tests in (row.tests, row.more, (*row.neighbors, *EXTENDED)):
        if not waiting or tests == EXTENDED:
            continue
        limit_s = _limit_s(row.path, tests, trees)
        jobs = [mutant_runs.Job(row.path, text, tests, limit_s) for text in waiting]
        outcomes = {job.text: result.outcome for job, result in mutant_runs.run(jobs, trees)}
        done = [text for text in waiting if outcomes[text] != "survived"]
        records += [Record.of(waiting.pop(text), outcomes[text], "") for text in done]
    for text, mutant in waiting.items():
        records.append(Record.of(mutant, "survived" if trees[0].has_types(row.path, text) else "types", ""))
    records.sort(key=lambda record: record.line)
    count = Counter(record.outcome for record in records)
    _say(f"{row.path}: {dict(count)} in {time.monotonic() - start:.0f} s")
    return records


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

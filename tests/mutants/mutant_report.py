"""The report: the score per module, and every survivor and every equivalent with its line and change."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from mutant_source import Mutant


@dataclass(frozen=True)
class Record:
    """What became of one mutant."""

    path: str
    line: int
    operator: str
    change: tuple[str, str, str]
    """Path, line before, line after."""

    outcome: str
    reason: str

    @classmethod
    def of(cls, mutant: Mutant, outcome: str, reason: str) -> Record:
        """The record of ``mutant``."""
        change = (mutant.path, *mutant.change)
        return cls(mutant.path, mutant.start[0], mutant.short_operator, change, outcome, reason)

    @property
    def is_killed(self) -> bool:
        """Whether a test failed or never ended, or the types of the module are wrong."""
        return self.outcome in {"killed", "timeout", "types"}

    @property
    def is_counted(self) -> bool:
        """Whether a test could have failed."""
        return self.outcome != "equivalent"


def write(folder: Path, records: list[Record], left_out: Mapping[str, int], title: str) -> None:
    """Write ``report.md`` and ``results.jsonl``."""
    lines = [f"# Mutants of our own source: {title}", "", *_table(records), ""]
    lines += [f"Left out: {count} ({reason})." for reason, count in left_out.items()]
    for outcome in ("survived", "types", "timeout", "equivalent"):
        lines += ["", f"## {outcome.capitalize()}", ""]
        for record in records:
            if record.outcome == outcome:
                lines.append(
                    f"- `{record.path}:{record.line}` {record.operator}{record.reason and ': ' + record.reason}"
                )
                lines += [f"    - `{record.change[1]}`", f"    - `{record.change[2]}`"]
    (folder / "report.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "results.jsonl").write_text("".join(json.dumps(asdict(record)) + "\n" for record in records))


def _table(records: list[Record]) -> list[str]:
    lines = [
        "| module | mutants | killed | of these by types | by time | survived | equivalent | score |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for path in (*dict.fromkeys(record.path for record in records), ""):
        mine = [record for record in records if path in ("", record.path)]
        count = Counter(record.outcome for record in mine)
        counted, killed = sum(record.is_counted for record in mine), sum(record.is_killed for record in mine)
        score = f"{killed / counted:.1%}" if counted else "-"
        lines.append(
            f"| {path or 'all'} | {len(mine)} | {killed} | {count['types']} | {count['timeout']} | {count['survived']} "
            f"| {count['equivalent']} | {score} |"
        )
    return lines

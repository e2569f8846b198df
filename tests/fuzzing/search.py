"""The search of ``make fuzz``: changed files of one format until the time is up; findings are saved, one of each place."""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

from tests.fuzzing.cases import judge_in_child
from tests.fuzzing.formats import Format


def search(name: str, form: Format, random: Random, seconds: float, inputs: int, out: Path) -> list[str]:
    """What was found in at most ``inputs`` files, one line for each place, with the file in ``out`` that shows it."""
    started, kinds = time.monotonic(), Counter[str]()
    places: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        (work := Path(folder) / "work").mkdir()
        seeds = form.seeds(work)
        while kinds.total() < inputs and time.monotonic() - started < seconds:
            seed = random.choice(sorted(seeds))
            data = form.mutate(seed, seeds, random, Path(folder))
            path = work / seed
            path.write_bytes(data)
            outcome = judge_in_child(form.read, path)
            kinds[outcome.kind] += 1
            place = f"{outcome.kind} {outcome.text[-60:]}"
            if outcome.is_finding and place not in places:
                out.mkdir(parents=True, exist_ok=True)
                kept = out / f"{name}-{hashlib.sha256(data).hexdigest()[:8]}-{seed}"
                kept.write_bytes(data)
                places[place] = f"{name}: {outcome.kind}: {outcome.text} -> {kept}"
                _say(places[place])
    counts = {"format": name, "inputs": kinds.total(), **kinds, "seconds": round(time.monotonic() - started)}
    _say(json.dumps(counts))
    return list(places.values())


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()

"""Runs this network on SANA-FE and compares every count with ``expected.json``: ``python run.py``. Needs sanafe only.

Exit status: 0 all are equal, 1 some differ.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import sanafe

HERE = Path(__file__).resolve().parent


def simulate(steps: int) -> Any:
    """SANA-FE's results of ``steps`` steps."""
    architecture = sanafe.load_arch(str(HERE / "architecture.yaml"))
    chip = sanafe.SpikingChip(architecture)
    chip.load(sanafe.load_net(str(HERE / "network.yaml"), architecture))
    return chip.sim(steps, spike_trace=True, potential_trace=True)


def count(results: Any, populations: list[Any]) -> list[list[int]]:
    """The counts of the neurons of every population in its window."""
    counts, first = [], 0
    for population in populations:
        begin, size = population["first_step"], len(population["counts"])
        end = begin + population["steps"]
        if population["fires"]:
            found = [0] * size
            for fired in results["spike_trace"][begin:end]:
                for each in fired:
                    if each.group_name == population["group"]:
                        found[each.neuron_offset] += 1
        else:
            last, before = (results["potential_trace"][step][first : first + size] for step in (end - 1, begin - 1))
            found = [round(after - value) for after, value in zip(last, before, strict=True)]
        counts.append(found)
        first += size  # potentials of all populations follow each other
    return counts


def main() -> int:
    """Run, compare, tell."""
    expected = json.loads((HERE / "expected.json").read_text(encoding="utf-8"))
    populations = expected["populations"]
    results = simulate(expected["steps"])
    different = 0
    for population, found in zip(populations, count(results, populations), strict=True):
        wrong = sum(mine != theirs for mine, theirs in zip(found, population["counts"], strict=True))
        verdict = "equal" if wrong == 0 else f"{wrong} of {len(found)} neurons differ"
        spikes = f", {sum(found)} spikes" if population["fires"] else " (membranes)"
        sys.stdout.write(f"{population['name']}: {verdict}{spikes}\n")
        different += wrong
    sys.stdout.write(
        f"energy {results['energy']['total']:.3g} J, time {results['sim_time']:.3g} s (SANA-FE's figures)\n"
    )
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())

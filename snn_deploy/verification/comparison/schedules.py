"""That counts do not depend on the schedule, shown: the same network under random delays, every population from step 0.

In ``exact`` mode this is a theorem (:mod:`snn_deploy.network.bounds`); a backend or chip compiler that breaks it is found here.
"""

from __future__ import annotations

from collections.abc import Iterable

from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Backend
from snn_deploy.errors import VerificationError
from snn_deploy.network.network import Network
from snn_deploy.network.schedule import shuffle
from snn_deploy.verification.comparison.comparison import Comparison
from snn_deploy.verification.comparison.levels import Level
from snn_deploy.verification.comparison.verdict import Verdict
from snn_deploy.verification.traces.trace import Trace


def compare_schedules(network: Network, stimulus: Int64, backend: Backend, seeds: Iterable[int] = range(3)) -> Verdict:
    """Counts of ``network`` on ``backend`` under its own schedule and under one shuffled by each of ``seeds``."""
    if network.mode != "exact":
        raise VerificationError(
            f"{network.name}: in rate mode counts depend on the schedule; only exact mode is shuffled"
        )
    shuffled = {seed: shuffle(network, seed) for seed in seeds}
    if not shuffled:
        raise VerificationError("no seed; no other schedule would be compared")
    comparison = Comparison(network, Level.NEURON_COUNT, schedules=tuple(shuffled.values()))
    traces = [Trace.of(backend.run(network, stimulus), f"{backend.name}, own schedule")]
    traces += [Trace.of(backend.run(other, stimulus), f"shuffled by {seed}") for seed, other in shuffled.items()]
    comparison.add(traces)
    return comparison.verdict()

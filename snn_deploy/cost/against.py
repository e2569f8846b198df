"""An estimate beside what a simulator of the same chip reports of the same image, difference by difference.

Both run the same spikes on the same cores and price them by the same coefficients. What differs is what they count, and each
difference is a number with its reason::

    theirs = ours + sum of differences + unexplained
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from snn_deploy.activity.activity import Activity
from snn_deploy.backend.simulation import Cause, Caused, Simulation
from snn_deploy.cost.energy import OPERATIONS
from snn_deploy.cost.estimates import EnergyEstimate
from snn_deploy.cost.timeline import Step
from snn_deploy.errors import TargetError
from snn_deploy.mapping.fit import Mapping
from snn_deploy.mapping.traffic import Messages, Traffic, measure_traffic
from snn_deploy.network.network import Network
from snn_deploy.targets.device import Target

ADDED: dict[Cause, str] = {
    "clocks": "clocks: image, biases and start values are spikes of neurons there",
    "relays": "relays of skips: delays of connections here",
    "late": "spikes outside of a population's window, which does not end there",
}
"""What a simulator's program has in addition, and why."""

HOST = "the image comes from the host here"
BOUND = "messages to cores that no weight of a channel reaches: an upper bound here"
FROM_RELAYS = "skips leave from the cores of their relays there"
SPREAD = "events lie where they are there, spread evenly over a tile here"
FORCED = "every update costs the same there, only those with a spike here"
AROUND = "steps before and after the image"
SUMS = "the read-out never fires there, sends its sums here"
TIMES = (
    "spikes, messages and waiting take time there, the operations of a convolution less; operations and updates do here"
)


@dataclass(frozen=True)
class Difference:
    """``amount`` by which the simulator counts more, and the ``reason``."""

    reason: str
    amount: float


@dataclass(frozen=True)
class Comparison:
    """One quantity of an image, in ``unit`` (empty for a number)."""

    quantity: str
    unit: str
    ours: float
    theirs: float
    differences: tuple[Difference, ...]

    @property
    def unexplained(self) -> float:
        """What no difference explains."""
        return self.theirs - self.ours - sum(each.amount for each in self.differences)

    def record(self) -> dict[str, object]:
        """For JSON."""
        return {
            "quantity": self.quantity,
            "unit": self.unit or "1",
            "ours": self.ours,
            "theirs": self.theirs,
            "differences": [{"reason": each.reason, "amount": each.amount} for each in self.differences],
            "unexplained": self.unexplained,
        }


@dataclass(frozen=True, eq=False)
class Against:
    """An estimate's ``steps`` of an image and the ``simulation``, and what they sum up to."""

    comparisons: tuple[Comparison, ...]
    steps: tuple[Step, ...]
    simulation: Simulation

    def record(self) -> dict[str, object]:
        """For JSON."""
        lead = self.simulation.lead
        return {
            "simulator": self.simulation.simulator,
            "comparisons": [comparison.record() for comparison in self.comparisons],
            "steps": [
                {
                    "step": number - lead,
                    "ours": self._ours(number - lead),
                    "theirs": {
                        "duration_s": step.duration_s,
                        "synaptic_operations": step.operations,
                        "messages": step.messages,
                        "hops": step.hops,
                    },
                }
                for number, step in enumerate(self.simulation.steps)
            ],
        }

    def _ours(self, number: int) -> dict[str, object] | None:
        if not 0 <= number < len(self.steps):
            return None
        step = self.steps[number]
        return {
            "duration_s": step.duration_s.value,
            "synaptic_operations": step.operations,
            "messages": step.messages,
        }


def compare(
    network: Network,
    activity: Activity,
    mapping: Mapping,
    target: Target,
    energy: EnergyEstimate,
    simulation: Simulation,
) -> Against:
    """``energy``, the estimate of one image of ``activity`` on ``target`` by ``mapping``, beside ``simulation``."""
    if energy.timing is None or activity.images != 1:
        raise TargetError(f"{target.name}: a simulation is compared with the estimate of one image on a chip")
    traffic = measure_traffic(network, activity, mapping, target)
    prices = _Prices.of(target)
    own = _split(network, traffic)
    timeline = energy.timing.timeline
    return Against(
        (
            _operations(network, activity, simulation),
            _synapses(network, activity, energy, simulation, prices),
            _neurons(network, activity, energy, simulation, prices),
            _messages("messages to cores", "", own, simulation, lambda each: each.messages, _sent),
            _messages("hops", "", own, simulation, lambda each: each.hops_ew + each.hops_ns, _hops),
            _messages("energy of messages", "J", own, simulation, prices.price, prices.price_own),
            _time(timeline.steps, simulation),
        ),
        timeline.steps,
        simulation,
    )


@dataclass(frozen=True)
class _Prices:
    """Joules by event."""

    synapse: float
    access: float
    update: float
    spike: float
    message: float
    hop_ew: float
    hop_ns: float

    @classmethod
    def of(cls, target: Target) -> _Prices:
        names = ["synapse_conv", "neuron_inactive", "neuron_active", "spike", "message", "hop_ew", "hop_ns"]
        synapse, access, active, *others = (target.quantity(f"energy.{name}_pj").value for name in names)
        return cls(synapse, access, active - access, *others)

    def price(self, caused: Caused) -> float:
        return caused.messages * self.message + caused.hops_ew * self.hop_ew + caused.hops_ns * self.hop_ns

    def price_own(self, sent: Sequence[Messages]) -> float:
        return sum(each.sent * self.message + each.hops_ew * self.hop_ew + each.hops_ns * self.hop_ns for each in sent)


@dataclass(frozen=True)
class _Own:
    """Our messages: from the host, between populations in the next step, and later."""

    host: tuple[Messages, ...]
    direct: tuple[Messages, ...]
    delayed: tuple[Messages, ...]


def _split(network: Network, traffic: Traffic) -> _Own:
    kinds: tuple[list[Messages], list[Messages], list[Messages]] = [], [], []
    for connection in network.connections:
        kind = 0 if connection.source == network.input.name else 1 if connection.delay == 1 else 2
        kinds[kind].append(traffic.sent(connection.name))
    host, direct, delayed = map(tuple, kinds)
    return _Own(host, direct, delayed)


def _sent(sent: Sequence[Messages]) -> float:
    return sum(each.sent for each in sent)


def _hops(sent: Sequence[Messages]) -> float:
    return sum(each.hops_ew + each.hops_ns for each in sent)


def _added(simulation: Simulation, measure: Callable[[Caused], float]) -> tuple[Difference, ...]:
    return tuple(Difference(reason, measure(simulation.causes[cause])) for cause, reason in ADDED.items())


def _from_host(network: Network, activity: Activity) -> int:
    return sum(
        int(each.synaptic_operations.sum()) for each in activity.connections if each.source == network.input.name
    )


def _operations(network: Network, activity: Activity, simulation: Simulation) -> Comparison:
    return Comparison(
        "synaptic operations",
        "",
        activity.synaptic_operations,
        sum(step.operations for step in simulation.steps),
        (
            Difference(HOST, -_from_host(network, activity)),
            *_added(simulation, lambda each: each.operations),
        ),
    )


def _synapses(
    network: Network, activity: Activity, energy: EnergyEstimate, simulation: Simulation, prices: _Prices
) -> Comparison:
    ours = _sum(energy, OPERATIONS)
    host = _from_host(network, activity)
    one_price = activity.synaptic_operations * prices.synapse
    return Comparison(
        "energy of synapses",
        "J",
        ours,
        simulation.synapse_j,
        (
            Difference("dense layers are priced as such here", one_price - ours),
            Difference(HOST, -host * prices.synapse),
            *_added(simulation, lambda each: each.operations * prices.synapse),
        ),
    )


def _neurons(
    network: Network, activity: Activity, energy: EnergyEstimate, simulation: Simulation, prices: _Prices
) -> Comparison:
    ours = _sum(energy, "active neuron updates", "inactive neuron updates", "spikes")
    theirs, relays = simulation.neurons, simulation.relays
    inside = sum(population.size for population in network.populations[1:]) * network.duration
    active = sum(int(each.active.sum()) for each in activity.populations)
    sums = active - (theirs.spikes - simulation.late_spikes)
    return Comparison(
        "energy of neurons",
        "J",
        ours,
        simulation.neuron_j,
        (
            Difference(FORCED, (inside - active) * prices.update),
            Difference(AROUND, (theirs.accesses - inside) * prices.access + (theirs.updates - inside) * prices.update),
            Difference(SUMS, -sums * prices.spike),
            Difference(ADDED["late"], simulation.late_spikes * prices.spike),
            Difference(
                ADDED["relays"],
                relays.accesses * prices.access + relays.updates * prices.update + relays.spikes * prices.spike,
            ),
        ),
    )


def _sum(energy: EnergyEstimate, *names: str) -> float:
    return sum(part.energy.value for part in energy.parts if part.name in names and part.energy is not None)


def _messages(
    quantity: str,
    unit: str,
    own: _Own,
    simulation: Simulation,
    measure: Callable[[Caused], float],
    measure_own: Callable[[Sequence[Messages]], float],
) -> Comparison:
    causes = simulation.causes
    return Comparison(
        quantity,
        unit,
        measure_own((*own.host, *own.direct, *own.delayed)),
        sum(map(measure, causes.values())),
        (
            Difference(HOST, -measure_own(own.host)),
            *_added(simulation, measure),
            Difference(FROM_RELAYS, measure(causes["relayed"]) - measure_own(own.delayed)),
            Difference(
                SPREAD if quantity != "messages to cores" else BOUND,
                measure(causes["direct"]) - measure_own(own.direct),
            ),
        ),
    )


def _time(steps: Sequence[Step], simulation: Simulation) -> Comparison:
    first = simulation.lead
    inside = simulation.steps[first : first + len(steps)]
    ours, during = sum(step.duration_s.value for step in steps), sum(step.duration_s for step in inside)
    return Comparison(
        "time",
        "s",
        ours,
        simulation.duration_s,
        (Difference(AROUND, simulation.duration_s - during), Difference(TIMES, during - ours)),
    )

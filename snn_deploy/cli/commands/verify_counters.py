"""``snn-deploy verify --counters``: a chip's activity counters beside the prediction."""

from __future__ import annotations

import argparse
from pathlib import Path

from snn_deploy.activity.counting import count_activity
from snn_deploy.cli import arguments as shared
from snn_deploy.display.console import note, show, show_json
from snn_deploy.display.counter_table import tabulate_counters
from snn_deploy.errors import VerificationError
from snn_deploy.mapping.counters import predict_counters
from snn_deploy.mapping.fit import map_network
from snn_deploy.network.network import Network
from snn_deploy.targets.load import load_target
from snn_deploy.verification.counters import compare_counters


def add_options(parser: argparse.ArgumentParser) -> None:
    """``--counters`` and what it compares them with."""
    group = parser.add_argument_group("activity counters of a chip")
    group.add_argument(
        "--counters", type=Path, metavar="FILE.csv", help="operations, updates and spikes by population or core"
    )
    group.add_argument("--target", default="loihi2", metavar="NAME", help="device that counted (default: loihi2)")
    group.add_argument(
        "--steps",
        type=shared.whole(1),
        metavar="N",
        help="steps that were counted, images streamed (default: one image's)",
    )
    group.add_argument(
        "--within", type=shared.real(0, 100), default=1.0, metavar="PERCENT", help="deviation that passes (default: 1)"
    )


def execute(arguments: argparse.Namespace, network: Network) -> int:
    """Count on a backend, map, predict, compare: 0 where every counter is within the deviation, else 1."""
    if arguments.input is None:
        raise VerificationError("give --input FILE, the image that was shown while the counters ran")
    network, payloads = shared.stimulus(arguments, network)
    activity = count_activity(network, shared.run("cpu", network, payloads))
    target = load_target(arguments.target)
    steps = arguments.steps or network.steps * len(payloads)
    predicted = predict_counters(network, activity, map_network(network, target), target)
    counts = compare_counters(arguments.counters, network, predicted, steps / network.steps, steps)
    limit = arguments.within / 100
    beyond = [count for count in counts if abs(count.deviation) > limit]
    if arguments.json:
        fields = ("population", "core", "counter", "counted", "predicted", "deviation")
        counters = [{name: getattr(count, name) for name in fields} for count in counts]
        show_json("verify-counters", {"exit_code": int(bool(beyond)), "within": limit, "counters": counters})
    else:
        show(tabulate_counters(counts, limit))
    note(f"{len(counts) - len(beyond)} of {len(counts)} counters within {arguments.within:g} %")
    return 1 if beyond else 0

"""Terminal tables of plans."""

from __future__ import annotations

from collections.abc import Sequence

from snn_deploy.cost.estimates import BOUNDARY
from snn_deploy.display.plain_table import PlainTable
from snn_deploy.planning.measure import PlanCost
from snn_deploy.planning.plan import Plan
from snn_deploy.planning.weigh import Option, select_front
from snn_deploy.targets.quantity import rounded

OPTIONAL = ("computed", "cores")
"""Columns that a narrow terminal can miss."""


def options_table(options: Sequence[Option], chosen: Option) -> PlainTable:
    """One row per plan that was executed; those that no other beats are marked, and the chosen one."""
    plan = options[0].plan
    hardware = plan.hardware
    table = PlainTable(
        title=f"{plan.network}: plans for {plan.image[0]}x{plan.image[1]} on {hardware.chips} chip(s) of {hardware.target},"
        f" {hardware.cores:,} cores",
        caption="* no other is better in images/s, energy, host events and error; -> chosen; energy with leakage of all chips, "
        f"{BOUNDARY}",
    )
    for heading in (
        "plan",
        "groups",
        "tiles",
        "halo",
        "computed",
        "cores",
        "images/s",
        "energy",
        "host events",
        "output error",
        "loss",
    ):
        table.add_column(heading, justify="right")
    for number, (option, best) in enumerate(zip(options, select_front(options), strict=True), 1):
        cost, groups = option.cost, option.plan.groups
        mark = ("-> " if option is chosen else "") + ("* " if best else "")
        table.add_row(
            f"{mark}{number}",
            str(len(groups)),
            _listed(
                [
                    f"{cost.tiles:,} of {group.tile[0]}x{group.tile[1]}"
                    for group, cost in zip(groups, cost.groups, strict=True)
                ]
            ),
            _listed([group.halo.text for group in groups]),
            _listed([f"{group.overhead:.2f}x" for group in cost.groups]),
            _listed([f"{group.copies}x{group.cores}" for group in cost.groups]),
            rounded(cost.images_per_s.value, ""),
            rounded(cost.total_j.value, "J"),
            f"{cost.host_events:,.0f}",
            "0, exact" if option.plan.exact else _percent(option.error),
            "-" if option.loss_db is None else f"{option.loss_db:.4f} dB",
        )
    return table


def cost_table(plan: Plan, cost: PlanCost) -> PlainTable:
    """One plan: its groups, and what an image takes, with bands."""
    table = PlainTable(
        title=f"{plan.network}: {plan.image[0]}x{plan.image[1]} on {plan.hardware.chips} chip(s) of {plan.hardware.target}",
        caption=f"not in the energy or time: {', '.join(cost.excluded)}",
    )
    table.add_column("what")
    table.add_column("per image", justify="right")
    for number, (group, found) in enumerate(zip(plan.groups, cost.groups, strict=True), 1):
        size = f"{group.tile[0]}x{group.tile[1]}"
        table.add_row(
            f"group {number}: {len(group.populations)} populations, {found.tiles:,} tiles of {size}, halo {group.halo.text}",
            f"{found.copies} x {found.cores} cores, {found.interval_s.text('s')}, {found.dynamic_j.text('J')}",
        )
    table.add_section()
    table.add_row("images per second", cost.images_per_s.text(""))
    table.add_row("dynamic energy", cost.dynamic_j.text("J"))
    table.add_row(
        f"static energy, all chips ({rounded(cost.static_w.value, 'W')} while idle, too)", cost.static_j.text("J")
    )
    table.add_row(f"energy, {BOUNDARY}", cost.total_j.text("J"))
    table.add_row("events between host and chips", f"{cost.host_events:,.0f}")
    return table


def _percent(share: float) -> str:
    return "<0.01%" if 0 < share < 5e-5 else f"{share:.2%}"


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(texts)

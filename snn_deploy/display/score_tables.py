"""Terminal tables of scores. Imports rich, so import it only where a table is shown."""

from __future__ import annotations

from snn_deploy.display.plain_table import PlainTable
from snn_deploy.display.score_names import COMPARED, SCORES, format_score
from snn_deploy.evaluation.stream import Comparisons, StreamEvaluation

FRAMES_SHOWN = 40
"""Most frames that have a row of their own."""


LOSS = {"denoise": "loss [dB]", "segment": "loss"}
"""Headings of what the float network scores above the spiking one."""


def sequence_table(evaluation: StreamEvaluation, title: str) -> PlainTable:
    """Rows of frames, all or every n-th of many, and of all together: scores, loss, operations, and share of what changed."""
    every = -(-len(evaluation.frames) // FRAMES_SHOWN)
    shown = f"{title}, one of every {every} frames (--json has all)" if every > 1 else title
    overall, neurons = evaluation.overall, evaluation.neurons
    names = tuple(overall.scores or overall.agreement)
    with_loss = overall.loss(evaluation.task) is not None
    table = PlainTable(title=shown, caption=_caption(evaluation))
    table.add_column("frame")
    for heading in (
        *(SCORES[name] for name in names),
        *((LOSS[evaluation.task or "segment"],) if with_loss else ()),
        "operations / MAC",
        "changed",
    ):
        table.add_column(heading, justify="right")

    def add(label: str, compared: Comparisons, ratio: float | None, changed: float | None) -> None:
        scores, loss = compared.scores or compared.agreement, compared.loss(evaluation.task)
        cells = [format_score(name, scores[name]) for name in names]
        cells += [] if loss is None else [f"{loss:.4f}"]
        table.add_row(
            label, *cells, "" if ratio is None else f"{ratio:.4f}", "" if changed is None else f"{changed:.2%}"
        )

    for frame in evaluation.frames[::every]:
        activity = frame.activity
        ratio = activity.synaptic_operations / evaluation.macs if evaluation.macs else None
        add(frame.frame, frame.compared, ratio, activity.changed / neurons)
    table.add_section()
    add("mean" if evaluation.task == "denoise" else "all pixels", overall, evaluation.operations_per_mac, None)
    return table


def _caption(evaluation: StreamEvaluation) -> str:
    """All comparisons of all frames together, and what the mean of the operations is of."""
    lines = []
    for kind, label in COMPARED.items():
        scores: dict[str, float] = getattr(evaluation.overall, kind)
        if scores:
            told = ", ".join(f"{SCORES[name]} {format_score(name, value)}" for name, value in scores.items())
            lines.append(f"{label}: {told}")
    if evaluation.operations_per_mac is not None:
        lines.append("operations: mean of the frames after the first, which is sent as a whole")
    return "\n".join(lines)

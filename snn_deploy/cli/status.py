"""Exit statuses of the command line, and what each says; one table for ``--help``, ``docs/reference/cli.md`` and the code."""

from __future__ import annotations

DONE = 0
DIFFERENT = 1
NOT_COMPARED = 2
BAD_INPUT = 3
INTERNAL_ERROR = 4
INTERRUPTED = 130

MEANINGS = {
    DONE: "done, or equal",
    DIFFERENT: "different, refused or does not fit",
    NOT_COMPARED: "not compared or not proved: a backend is missing, refuses or fails; or within a chip's own spread",
    BAD_INPUT: "bad input, or output that cannot be written",
    INTERNAL_ERROR: "internal error: a defect of this program",
    INTERRUPTED: "interrupted",
}
"""Statuses in order. What ends with 3, 4 or 130 says why in one line on standard error."""

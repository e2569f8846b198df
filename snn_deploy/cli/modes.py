"""Modes of a verb, and the options that act in each: an option that would have no effect is refused, never dropped.

A verb declares its modes in order; the first whose condition holds is the one that was chosen. Some options act only
beside another, whatever the mode (:class:`Need`). What the project file sets is not refused, because one file serves
every mode of a verb: it is left out, and a note says so.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

Condition = Callable[[argparse.Namespace], bool]

GENERAL = frozenset({"help", "verbose", "quiet", "threads", "project"})
"""Options of every verb, which act in every mode."""


@dataclass(frozen=True)
class Mode:
    """One way to use a verb: ``options`` (destinations, separated by spaces) act, all others have no effect ``where``."""

    where: str
    options: str
    chosen: Condition = lambda _: True

    @property
    def acting(self) -> frozenset[str]:
        """Destinations of the options that act."""
        return frozenset(self.options.split())


@dataclass(frozen=True)
class Need:
    """``options`` act only where ``met``; otherwise they have no effect ``where``."""

    options: str
    where: str
    met: Condition


NOISE = Need("seed", "without --noise", lambda arguments: arguments.noise > 0)
WORKERS = Need("workers", "with --scheduler, whose workers are used", lambda arguments: arguments.scheduler is None)
IMAGE = Need("crop noise seed backend", "without --input", lambda arguments: arguments.input is not None)


@dataclass(frozen=True)
class Modes:
    """The table of a verb."""

    modes: tuple[Mode, ...]
    needs: tuple[Need, ...] = ()

    def chosen(self, arguments: argparse.Namespace) -> Mode:
        """The mode that the command line chose."""
        return next(mode for mode in self.modes if mode.chosen(arguments))

    def idle(self, arguments: argparse.Namespace, options: Collection[str]) -> dict[str, str]:
        """Those of ``options`` (destinations) that have no effect, and where they have none."""
        mode = self.chosen(arguments)
        idle = {option: mode.where for option in options if option not in mode.acting | GENERAL}
        for need in self.needs:
            asked = [option for option in need.options.split() if option in options and option not in idle]
            if asked and not need.met(arguments):
                idle |= dict.fromkeys(asked, need.where)
        return idle


def refusal(idle: dict[str, str]) -> str:
    """One line about options without effect; those that share the first one's reason are named together."""
    where = next(iter(idle.values()))
    names = [f"--{option.replace('_', '-')}" for option, reason in idle.items() if reason == where]
    verb, them = ("has", "it") if len(names) == 1 else ("have", "them")
    return f"{', '.join(names)} {verb} no effect {where}; leave {them} out"


def named(words: Sequence[str], parser: argparse.ArgumentParser) -> tuple[str, ...]:
    """Destinations of the options of ``parser`` that stand among ``words``, in their order."""
    end = words.index("--") if "--" in words else len(words)
    actions = parser._option_string_actions  # argparse offers no public way to them
    destinations = [actions[option].dest for word in words[:end] if (option := word.partition("=")[0]) in actions]
    return tuple(dict.fromkeys(destinations))

"""The command line. Results go to standard output, messages and progress to standard error.

Exit statuses are those of :mod:`snn_deploy.cli.status`; every error is one line on standard error.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback
from collections.abc import Collection, Sequence
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snn_deploy import __version__
from snn_deploy.cli import modes, project
from snn_deploy.cli.clipping import noting_clipping
from snn_deploy.cli.status import BAD_INPUT, INTERNAL_ERROR, INTERRUPTED, MEANINGS, NOT_COMPARED
from snn_deploy.display.names import one_line
from snn_deploy.errors import (
    BackendError,
    OptionError,
    ReportError,
    SnnDeployError,
    UnsupportedModelError,
    suggest_extras,
)

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

VERBS = {
    "inspect": "list what becomes of every node of a model",
    "convert": "convert an ONNX model to a spiking network",
    "import": "read a spiking network of lava-dl or NIR",
    "finetune": "convert a model and train its spiking network",
    "run": "run an image through a spiking network",
    "evaluate": "score a network over a folder of images",
    "verify": "compare the spikes of several backends and recordings",
    "diff": "list what changed between two networks",
    "estimate": "estimate energy and time on a device",
    "plan": "find tiles and groups of layers for the hardware at hand",
    "sweep": "try a grid of options; table and Pareto front",
    "emit": "write a network as a bundle that runs on its own",
    "report": "write everything about a network and an image as one HTML file",
    "view": "look at a model or a spiking network in netron",
    "backends": "list the backends and whether they can run here",
    "targets": "list devices, or every number of one",
    "schema": "print the JSON Schema of what --json prints",
    "complete": "print a completion script for a shell",
    "demo": "denoise a photograph with spikes, on three backends",
}
"""In the order of ``--help``, with what it says of each; each is a module of :mod:`snn_deploy.cli.commands`."""

MODULES = {"import": "import_network"}
"""Verbs whose modules have another name, because theirs is a word of Python."""

EXTRAS = {
    **dict.fromkeys(("skimage", "sklearn", "scipy", "matplotlib", "PIL"), "report"),
    "onnxruntime": "cpu",
    **dict.fromkeys(("torch", "onnxscript"), "train"),
    **dict.fromkeys(("h5py", "nir"), "traces"),
}
"""Modules that a verb may find missing, and the extra that brings each."""

REASONS_SHOWN = 3
"""Refused nodes that an error line names; ``inspect`` lists all."""

ALIKE = {
    "--input": ("--data",),
    "--data": ("--input",),
    "--images": ("--input", "--data"),
    "--calibration": ("--data",),
    "--output": ("--out",),
}
"""Options of other verbs, or of other programs, and what has their role where they are unknown."""

MOST_THREADS = 1024

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What NumPy's and torch's libraries read, once, when they are loaded."""


class _Formatter(argparse.HelpFormatter):
    """Verbs and options in one column of their own."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)


class _Parser(argparse.ArgumentParser):
    """One line and status 3 for a wrong command line, as for every other bad input; options are written in full."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(formatter_class=_Formatter, allow_abbrev=False, **settings)

    def error(self, message: str) -> None:  # type: ignore[override]
        self.exit(BAD_INPUT, f"{self.prog}: {one_line(message)}; see {self.prog} --help\n")

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        """As of argparse, but help that cannot be written is an error, too."""
        if file is sys.stdout:
            file.write(message)
        else:
            super()._print_message(message, file)


class _Verbs(argparse._SubParsersAction):  # type: ignore[type-arg]
    """Adds verbs with their lines of :data:`VERBS`."""

    def add_parser(self, name: str, **settings: Any) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = super().add_parser(name, help=VERBS[name], **settings)
        return added


def parser(loaded: Collection[str] = VERBS) -> argparse.ArgumentParser:
    """The whole command line; of verbs that are not ``loaded`` it knows only the names and what ``--help`` says of them."""
    top = _Parser(
        prog="snn-deploy",
        description="Trained U-Nets to spiking networks with the same spikes on the simulator, in Lava and on Loihi.",
        epilog="snn-deploy VERB --help shows an example of each. Options may also stand in snn-deploy.toml. Exit status: "
        + "; ".join(f"{status} {meaning}" for status, meaning in MEANINGS.items())
        + ".",
    )
    top.add_argument("--version", action="version", version=f"snn-deploy {__version__}")
    top.set_defaults(top=top)
    verbs = top.add_subparsers(action=_Verbs, dest="verb", metavar="VERB", required=True, parser_class=_Parser)
    for verb in VERBS:
        # each brings what it needs of the package: all of them would take longer to import than a small run takes
        if verb in loaded:
            import_module(f"snn_deploy.cli.commands.{MODULES.get(verb, verb)}").add(verbs)
        else:
            verbs.add_parser(verb)
    for added in verbs.choices.values():
        _add_general(added)
    return top


def _add_general(parser: argparse.ArgumentParser) -> None:
    """What every verb understands."""
    parser.set_defaults(own=parser)
    group = parser.add_argument_group("general")
    group.add_argument(
        "-v", "--verbose", action="count", default=0, help="give the source of every number, tracebacks of defects"
    )
    group.add_argument("-q", "--quiet", action="count", default=0, help="results and errors only")
    group.add_argument(
        "--threads",
        type=_threads,
        metavar="N",
        help="threads of the cpu backend and of all libraries (default: one, and theirs)",
    )
    group.add_argument(
        "--project", metavar="FILE", help="options by verb (default: snn-deploy.toml where there is one)"
    )


def _threads(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= MOST_THREADS):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of threads from 1 to {MOST_THREADS}")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit status, which is never 0, 1 or 2 for a verb that failed."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    _limit_threads(project.option(given, "--threads"))
    verb = _verb_in(given)
    name = f"snn-deploy {verb}".rstrip()
    _prepare_error_stream()
    try:
        _prepare_output_stream()
        return _execute(given)
    except (KeyboardInterrupt, Exception) as error:  # whatever it is, it must not leave with the status of a verdict
        status, line = _judged(error, verb)
        with suppress(OSError):
            sys.stderr.write(f"{name}: {line}\n")
            if status == INTERNAL_ERROR and not {"-v", "-vv", "--verbose"}.isdisjoint(given):
                traceback.print_exception(error)
        return status


def _judged(error: BaseException, verb: str) -> tuple[int, str]:
    """Exit status and line of an error."""
    if _interrupted(error):
        return INTERRUPTED, "interrupted"
    if isinstance(error, SnnDeployError):
        failed = verb == "verify" and isinstance(error, BackendError)
        return NOT_COMPARED if failed else BAD_INPUT, one_line(_text(error))
    if isinstance(error, ModuleNotFoundError) and error.name in EXTRAS:
        return BAD_INPUT, f"needs {error.name}, which is not installed: {suggest_extras(EXTRAS[error.name])}"
    if isinstance(error, MemoryError):
        return BAD_INPUT, "not enough memory; use a smaller image (--crop) or fewer images at once"
    return INTERNAL_ERROR, (
        f"internal error: {one_line(f'{type(error).__name__}: {error}')} ({_origin(error)}), a defect of snn-deploy "
        f"{__version__}; please report it to its maintainers with the traceback that --verbose shows"
    )


def _origin(error: BaseException) -> str:
    """File and line of this program's last frame."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "snn_deploy" in frame.filename] or frames
    return f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "unknown line"


def _prepare_error_stream() -> None:
    """Where standard error is closed, messages go nowhere, and no file that is opened later takes its place."""
    if sys.stderr is None:
        null = os.open(os.devnull, os.O_WRONLY)
        if null != 2:
            os.dup2(null, 2)
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)


def _prepare_output_stream() -> None:
    """Refuse a closed standard output before anything runs; characters that its encoding lacks are escaped."""
    if sys.stdout is None:
        raise ReportError("standard output is closed; to discard the result, write > /dev/null")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _execute(given: list[str]) -> int:
    from snn_deploy.display import console

    given = _asked_for_help(given)
    whole = parser(_needed(given))
    _check_verb(whole, given)
    line = project.apply(whole, given)
    with console.writing():  # of --help and --version
        _check_spelling(whole, line.words)
        parsed, unknown = whole.parse_known_args(line.words)
    if unknown:
        parsed.own.error(f"unrecognized arguments: {' '.join(unknown)}")
    console.set_verbosity(parsed.verbose - parsed.quiet)
    if line.path is not None:
        console.note(f"options of [{parsed.verb}] from {line.path}")
    parsed = _acting(whole, line, parsed)
    parsed.parser = whole
    with noting_clipping(parsed):
        status: int = parsed.execute(parsed)
    return status


def _verb_in(given: Sequence[str]) -> str:
    """The first verb of a command line, empty where there is none."""
    return next((word for word in given if word in VERBS), "")


def _needed(given: Sequence[str]) -> Collection[str]:
    """The verbs whose options are read: that of the command line, or all, for a project file and for completion."""
    verb = _verb_in(given)
    if not verb:
        return ()
    return VERBS if verb == "complete" or project.find_file(given) else (verb,)


def _acting(
    whole: argparse.ArgumentParser, line: project.CommandLine, parsed: argparse.Namespace
) -> argparse.Namespace:
    """``parsed``, all of whose options act: others are refused, or left out where they come from the project file."""
    from snn_deploy.display import console

    own, table = parsed.own, parsed.modes
    idle = table.idle(parsed, modes.named(line.rest if line.path else line.words, own))
    if idle:
        raise OptionError(modes.refusal(idle))
    idle = table.idle(parsed, modes.named(line.added, own))
    if not idle:
        return parsed
    for option, where in idle.items():
        console.note(f"{line.path}: {option.replace('_', '-')} has no effect {where}; it is left out")
    return whole.parse_args(line.without([f"--{option.replace('_', '-')}" for option in idle]).words)


def _asked_for_help(given: list[str]) -> list[str]:
    """Nothing at all, ``help`` and ``help VERB`` as the options that they mean."""
    return [*given[1:2], "--help"] if given[:1] in ([], ["help"]) else given


def _check_verb(whole: argparse.ArgumentParser, given: Sequence[str]) -> None:
    """An error where the first word is an option of a verb, or nearly a verb."""
    first = given[0] if given else ""
    if first.startswith("-") and first not in ("-h", "--help", "--version"):
        example = f"snn-deploy {_verb_in(given) or 'VERB'} ... {first}"
        whole.error(f"{first} stands before the verb; options follow it: {example}")
    near = get_close_matches(first, list(VERBS), 1)
    if near and first not in VERBS:
        whole.error(f"{first!r} is not a verb; did you mean {near[0]}?")


def _check_spelling(whole: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """An error that names every option which the verb does not know, before any about what it lacks for that reason."""
    own = project.verbs_of(whole).get(words[0]) if words else None
    if own is None:
        return
    known = [option for action in own._actions for option in action.option_strings]
    options = words[: words.index("--")] if "--" in words else words
    unknown = [word for word in options if word.startswith("--") and word.partition("=")[0] not in known]
    if unknown:
        near = [_nearest(word.partition("=")[0], known) for word in unknown]
        meant = "".join(f"; did you mean {matches[0]}?" for matches in near if matches)
        own.error(f"unrecognized arguments: {' '.join(unknown)}{meant}")


def _nearest(unknown: str, known: Sequence[str]) -> list[str]:
    """The option that was probably meant: what another verb calls so, else the most similar one; empty where there is none."""
    alike = [option for option in ALIKE.get(unknown, ()) if option in known]
    return alike[:1] or get_close_matches(unknown, known, 1)


def _limit_threads(number: str | None) -> None:
    """Before any library is loaded: afterwards it would be too late. Wrong numbers are left to the parser."""
    if number is not None and number.isdecimal() and 1 <= int(number) <= MOST_THREADS:
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, number))


def _interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind ``error``: libraries turn it into errors of their own (onnxruntime: ImportError)."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _text(error: SnnDeployError) -> str:
    if isinstance(error, UnsupportedModelError) and len(error.reasons) > REASONS_SHOWN:
        rest = len(error.reasons) - REASONS_SHOWN
        head = str(error).partition(error.reasons[0])[0]
        first = "; ".join(error.reasons[:REASONS_SHOWN])
        return f"{head}{first}; and {rest} more, see snn-deploy inspect"
    return str(error)

"""The command line. Results go to standard output, messages and progress to standard error.

Exit status: 0 done or equal, 1 different or does not fit, 2 not compared, 3 bad input or failure, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from snn_deploy import __version__
from snn_deploy.cli import project
from snn_deploy.errors import BackendError, SnnDeployError, UnsupportedModelError

VERBS = (
    "inspect",
    "convert",
    "finetune",
    "run",
    "evaluate",
    "verify",
    "diff",
    "estimate",
    "sweep",
    "emit",
    "report",
    "view",
    "backends",
    "targets",
    "complete",
    "demo",
)
"""Modules of :mod:`snn_deploy.cli.commands`, in the order of ``--help``."""

NOT_COMPARED = 2
BAD_INPUT = 3
INTERRUPTED = 130

EXTRAS = {
    **dict.fromkeys(("skimage", "sklearn", "scipy", "matplotlib", "PIL"), "report"),
    **dict.fromkeys(("numba", "onnxruntime"), "cpu"),
    **dict.fromkeys(("torch", "onnxscript"), "train"),
    **dict.fromkeys(("h5py", "nir"), "traces"),
}
"""Modules that a verb may find missing, and the extra that brings each."""

REASONS_SHOWN = 3
"""Refused nodes that an error line names; ``inspect`` lists all."""

MOST_THREADS = 1024

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
"""What NumPy's, torch's and numba's libraries read, once, when they are loaded."""


class _Formatter(argparse.HelpFormatter):
    """Verbs and options in one column of their own."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)


class _Parser(argparse.ArgumentParser):
    """One line and status 3 for a wrong command line, as for every other bad input."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(formatter_class=_Formatter, **settings)

    def error(self, message: str) -> None:  # type: ignore[override]
        self.exit(BAD_INPUT, f"{self.prog}: {_one_line(message)}; see {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = _Parser(
        prog="snn-deploy",
        description="Trained U-Nets to spiking networks with the same spikes on the simulator, in Lava and on Loihi.",
        epilog="snn-deploy VERB --help shows an example of each. Options may also stand in snn-deploy.toml.",
    )
    top.add_argument("--version", action="version", version=f"snn-deploy {__version__}")
    top.set_defaults(top=top)
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=_Parser)
    for verb in VERBS:
        import_module(f"snn_deploy.cli.commands.{verb}").add(verbs)
    for added in verbs.choices.values():
        _add_general(added)
    return top


def _add_general(parser: argparse.ArgumentParser) -> None:
    """What every verb understands."""
    parser.set_defaults(own=parser)
    group = parser.add_argument_group("general")
    group.add_argument("-v", "--verbose", action="count", default=0, help="say where every number comes from")
    group.add_argument("-q", "--quiet", action="count", default=0, help="results and errors only")
    group.add_argument("--threads", type=_threads, metavar="N", help="threads of all libraries (default: theirs)")
    group.add_argument(
        "--project", metavar="FILE", help="options by verb (default: snn-deploy.toml where there is one)"
    )


def _threads(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= MOST_THREADS):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of threads from 1 to {MOST_THREADS}")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    _limit_threads(project.option(given, "--threads"))
    verb = next((word for word in given if word in VERBS), "")
    name = f"snn-deploy {verb}".rstrip()
    try:
        return _execute(given)
    except SnnDeployError as error:
        if _interrupted(error):
            return _stopped(name)
        sys.stderr.write(f"{name}: {_one_line(_text(error))}\n")
        return NOT_COMPARED if verb == "verify" and isinstance(error, BackendError) else BAD_INPUT
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        sys.stderr.write(
            f"{name}: needs {error.name}, which is not installed: pip install snn-deploy[{EXTRAS[error.name]}]\n"
        )
        return BAD_INPUT
    except MemoryError:
        sys.stderr.write(f"{name}: not enough memory; use a smaller image (--crop) or fewer images at once\n")
        return BAD_INPUT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read has seen enough
        return 0
    except (KeyboardInterrupt, Exception) as error:
        if not _interrupted(error):
            raise
        return _stopped(name)


def _stopped(name: str) -> int:
    sys.stderr.write(f"{name}: interrupted\n")
    return INTERRUPTED


def _execute(given: list[str]) -> int:
    whole = parser()
    words, path = project.apply(whole, given)
    parsed, unknown = whole.parse_known_args(words)
    if unknown:
        parsed.own.error(f"unrecognized arguments: {' '.join(unknown)}{_meant(parsed.own, unknown)}")
    from snn_deploy.display import console

    console.set_verbosity(parsed.verbose - parsed.quiet)
    if path is not None:
        console.note(f"options of [{parsed.verb}] from {path}")
    parsed.parser = whole
    status: int = parsed.execute(parsed)
    sys.stdout.flush()
    return status


def _meant(parser: argparse.ArgumentParser, unknown: Sequence[str]) -> str:
    """The options of ``parser`` nearest to those that it does not know."""
    known = [option for action in parser._actions for option in action.option_strings]
    near = [get_close_matches(word.partition("=")[0], known, 1) for word in unknown if word.startswith("--")]
    return "".join(f"; did you mean {found[0]}?" for found in near if found)


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
        shown = "; ".join(error.reasons[:REASONS_SHOWN])
        return f"{head}{shown}; and {rest} more, see snn-deploy inspect"
    return str(error)


def _one_line(text: str) -> str:
    return " ".join(text.split())

"""Every output is written whole or not at all: a partial file beside the target takes its place when it is complete.

This is the only module of the package that opens files for writing (``tests/test_writers.py`` enforces it). A
partial file has an unpredictable name, is readable by its owner alone, and is removed after an error, Ctrl-C, SIGTERM or
SIGHUP; only SIGKILL and a power failure leave it behind. It is flushed to the disk before it replaces the old file, whose
permissions it takes over. Symbolic links are followed. Character devices and FIFOs are written into, since replacing them
would destroy them; folders, block devices and sockets are refused.

What is read must be a regular file of a bounded size: a device or a pipe may never end.
"""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType

from snn_deploy.errors import ReportError, SnnDeployError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that end a process and may be caught: partial files are removed before they take effect."""

NAME_CHARACTERS = 32
"""How much of the target's name a partial file's name repeats; file systems limit names to 255 bytes."""

MAX_READ = 2**31
"""Largest file in bytes that is read: what one ONNX (protobuf) message can hold; other formats stay far below."""

MAX_TEXT = 2**20
"""Largest TOML file in bytes that is read; real ones have a few thousand."""

_BLOCK = 2**16
"""Bytes that are read in any case: special file systems give the size of some files as 0."""

_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


def write(path: Path, data: bytes | str, failure: type[SnnDeployError] = ReportError) -> None:
    """Write ``data`` (text as UTF-8) to ``path``; ``failure`` is raised where that is impossible."""
    with replacing(path, failure) as partial:
        partial.write_bytes(_encoded(data))


def write_all(contents: Mapping[Path, bytes | str], failure: type[SnnDeployError] = ReportError) -> None:
    """Write files that belong together: none replaces its old file before all are complete, the first named comes last."""
    named: dict[str, Path] = {}
    for path in contents:
        other = named.setdefault(os.path.realpath(path), path)
        if other != path:
            raise failure(f"{path}: is the same file as {other}; choose another name")
    with ExitStack() as stack:
        for path, data in contents.items():
            stack.enter_context(replacing(path, failure)).write_bytes(_encoded(data))


def write_folder(
    folder: Path, contents: Mapping[str, bytes | str], failure: type[SnnDeployError] = ReportError
) -> None:
    """Write a new ``folder`` with ``contents``, each under its path in the folder (``"parts/a.npy"``)."""
    check_new_folder(folder, failure)
    with _unwinding_signals(), _reporting(folder, failure):
        from shutil import rmtree

        partial = _neighbor(folder)
        try:
            partial.mkdir(parents=True)
            mode = stat.S_IMODE(partial.stat().st_mode)
            _set_mode(partial, 0o700)
            for name, data in contents.items():
                path = partial / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(_encoded(data))
                _flush(path)
            _set_mode(partial, mode)
            partial.rename(folder)
        finally:
            rmtree(partial, ignore_errors=True)


def append(path: Path, line: str) -> None:
    """Add ``line`` and a line feed to ``path``, which is made if necessary. A crash can cut the last line, no other."""
    with _reporting(path, ReportError), path.open("ab") as stream:
        stream.write(f"{line}\n".encode())


@contextmanager
def replacing(path: Path, failure: type[SnnDeployError] = ReportError) -> Iterator[Path]:
    """A partial file to fill, which replaces ``path`` if the block succeeds; ``failure`` where ``path`` cannot be written."""
    with _unwinding_signals(), _reporting(path, failure):
        if _is_stream(path, failure):
            from shutil import copyfileobj
            from tempfile import TemporaryDirectory

            with TemporaryDirectory() as folder:
                yield (partial := Path(folder) / "content")
                with partial.open("rb") as source, path.open("wb") as sink:
                    copyfileobj(source, sink)
            return
        target = Path(os.path.realpath(path))
        partial = _neighbor(target)
        try:
            mode = _create(partial, target)
            yield partial
            _set_mode(partial, mode)
            _flush(partial)
            partial.replace(target)
        finally:
            remove(partial)


def remove(path: Path) -> None:
    """Delete ``path``; does nothing where it does not exist or cannot be deleted."""
    with suppress(OSError):
        path.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """:class:`ReportError` where :func:`write` would fail; asked before minutes of work, not after them."""
    with _reporting(path, ReportError):
        if not path.parent.is_dir():
            raise ReportError(f"{path}: folder {path.parent} does not exist; make it first")
        if _is_stream(path, ReportError):
            if not os.access(path, os.W_OK):
                raise ReportError(f"{path}: may not be written to")
            return
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        raise ReportError(f"{path}: is a link into folder {folder}, which does not exist; make it first")
    if not os.access(folder, os.W_OK):
        raise ReportError(f"{path}: folder {folder} may not be written to")


def check_new_folder(folder: Path, failure: type[SnnDeployError] = ReportError) -> None:
    """``failure`` where something has the name of ``folder`` already; asked before the work, too."""
    if os.path.lexists(folder):
        raise failure(f"{folder}: exists already; choose a new folder")


def _encoded(data: bytes | str) -> bytes:
    return data.encode() if isinstance(data, str) else data


def _is_stream(path: Path, failure: type[SnnDeployError]) -> bool:
    """Whether ``path`` is a character device or FIFO; ``failure`` for all that is neither that nor a (future) file."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(mode):
        raise failure(f"{path}: is a folder; name a file in it")
    if stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
        raise failure(f"{path}: is a {'block device' if stat.S_ISBLK(mode) else 'socket'}; name a file")
    return not stat.S_ISREG(mode)


def _neighbor(target: Path) -> Path:
    """An unused path beside ``target``. Known before the file exists, so a signal finds no file without a name."""
    return target.with_name(f".{target.name[:NAME_CHARACTERS]}.{os.urandom(8).hex()}.partial")


def _create(partial: Path, target: Path) -> int:
    """Make ``partial``, empty and private; returns the permissions that the complete file gets."""
    # O_EXCL neither follows a link nor opens a file that someone else put there.
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        mode = os.fstat(descriptor).st_mode  # what the umask, which can only be read by changing it, leaves of 0666
    finally:
        os.close(descriptor)
    _set_mode(partial, 0o600)
    with suppress(FileNotFoundError):
        mode = target.stat().st_mode
    return mode & 0o777


def _set_mode(path: Path, mode: int) -> None:
    with suppress(PermissionError):  # file systems without permissions, such as FAT, may refuse
        path.chmod(mode)


def _flush(path: Path) -> None:
    """Wait until ``path`` is on the disk: a replaced file must not be empty after a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _reporting(path: Path, failure: type[SnnDeployError]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise failure(f"{path}: cannot be written: {error.strerror or error}") from error


@contextmanager
def _unwinding_signals() -> Iterator[None]:
    """Signals that would end the process raise an exception in the block, which cleans up; then they take effect.

    Only the first one raises: a second Ctrl-C must not interrupt the cleaning. Handlers that others have set stay.
    """
    arrived: list[int] = []

    def unwind(number: int, _: FrameType | None) -> None:
        if not arrived:
            arrived.append(number)
            raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    defaults = (signal.SIG_DFL, signal.default_int_handler)
    replaced = {}
    if threading.current_thread() is threading.main_thread():  # only it may set handlers, and only it runs them
        replaced = {number: old for number in SIGNALS if (old := signal.getsignal(number)) in defaults}
    try:
        for number in replaced:
            signal.signal(number, unwind)
        yield
    finally:
        for number, old in replaced.items():
            signal.signal(number, old)
        if arrived and arrived[0] != signal.SIGINT:
            signal.raise_signal(arrived[0])


def check_regular(path: Path, failure: type[SnnDeployError], limit: int = MAX_READ) -> int:
    """Size in bytes of the regular file ``path``, for readers that open it themselves.

    ``failure`` where it is a folder, device or pipe, cannot be reached, or has more than ``limit`` bytes.
    """
    try:
        state = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise failure(f"{path}: cannot be read: {_reason(error)}") from error
    if not stat.S_ISREG(state.st_mode):
        raise failure(f"{path}: is {_KINDS.get(stat.S_IFMT(state.st_mode), 'a special file')}; name a regular file")
    if state.st_size > limit:
        raise failure(f"{path}: {state.st_size} bytes; at most {limit} are read")
    return state.st_size


def read_limited(path: Path, failure: type[SnnDeployError], limit: int = MAX_READ) -> bytes:
    """The bytes of a file that :func:`check_regular` accepts; ``failure`` for any other, and where it cannot be read."""
    size = min(max(check_regular(path, failure, limit), _BLOCK), limit)
    try:
        with path.open("rb") as stream:
            data = stream.read(size + 1)
    except OSError as error:
        raise failure(f"{path}: cannot be read: {_reason(error)}") from error
    if len(data) > size:  # below /proc, say, where sizes are 0
        raise failure(f"{path}: holds more bytes than its size says; copy it to a regular file")
    return data


def _reason(error: OSError | ValueError) -> str:
    return str(getattr(error, "strerror", None) or error)

"""Outputs are written whole or not at all: links, devices, full disks, signals, permissions."""

import errno
import multiprocessing
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from snn_deploy import files
from snn_deploy.errors import ArtifactError, ReportError

BIG = b"x" * 2**16


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """No file may grow beyond ``size`` bytes; writing on fails as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_text_is_utf8_and_a_new_file_has_the_permissions_of_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        files.write(tmp_path / "a.txt", "µ\n")
    finally:
        os.umask(old)
    assert (tmp_path / "a.txt").read_bytes() == b"\xc2\xb5\n"
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o640
    assert names(tmp_path) == ["a.txt"]


def test_a_replaced_file_leaves_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(0o604)
    files.write(path, b"new")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", 0o604)


def test_a_partial_file_is_private_beside_the_target_and_its_name_cannot_be_guessed(tmp_path: Path) -> None:
    seen = set()
    for _ in range(2):
        with files.replacing(tmp_path / "a.snn") as partial:
            assert partial.parent == tmp_path
            assert stat.S_IMODE(partial.stat().st_mode) == 0o600
            assert partial.name.startswith(".a.snn.")
            assert partial.name.endswith(".partial")
            assert str(os.getpid()) not in partial.name.split(".")
            seen.add(partial.name)
    assert len(seen) == 2


def test_a_planted_link_is_not_written_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.urandom", lambda _: b"guess")
    (tmp_path / "victim").write_bytes(b"old")
    (tmp_path / f".a.{b'guess'.hex()}.partial").symlink_to(tmp_path / "victim")
    with pytest.raises(ReportError, match=r"/a: cannot be written: File exists$"):
        files.write(tmp_path / "a", b"new")
    assert (tmp_path / "victim").read_bytes() == b"old"


def test_long_names_leave_room_for_the_partial_files(tmp_path: Path) -> None:
    path = tmp_path / ("µ" * 127)  # 254 bytes of 255
    files.write(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "old").write_bytes(b"old")
    for link, target in (("to-old", "data/old"), ("to-new", "data/new"), ("to-link", "to-old")):
        (tmp_path / link).symlink_to(target)
    for link in ("to-old", "to-new", "to-link"):
        files.check_writable(tmp_path / link)
        files.write(tmp_path / link, link)
        assert (tmp_path / link).is_symlink()
    assert (tmp_path / "data" / "old").read_text() == "to-link"
    assert (tmp_path / "data" / "new").read_text() == "to-new"
    assert names(tmp_path / "data") == ["new", "old"]


def test_links_to_nowhere_are_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "lost").symlink_to("absent/a")
    with pytest.raises(ReportError, match=r"/loop: cannot be written: Too many levels of symbolic links$"):
        files.write(tmp_path / "loop", b"")
    with pytest.raises(ReportError, match=r"/lost: cannot be written: No such file or directory$"):
        files.write(tmp_path / "lost", b"")
    with pytest.raises(ReportError, match=r"/lost: is a link into folder .*/absent, which does not exist; make it"):
        files.check_writable(tmp_path / "lost")


def test_a_fifo_is_written_into(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(fifo.read_bytes()), daemon=True)
    reader.start()
    files.check_writable(fifo)
    files.write(fifo, BIG)
    reader.join(timeout=60)
    assert received == [BIG]
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    assert names(tmp_path) == ["fifo"]


def test_a_device_is_written_into(tmp_path: Path) -> None:
    null = tmp_path / "null"
    try:
        os.mknod(null, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        null.write_bytes(b"")
    except PermissionError:
        pytest.skip("only root may make a device, and not everywhere")
    files.check_writable(null)
    files.write(null, BIG)
    assert stat.S_ISCHR(null.stat().st_mode)
    assert names(tmp_path) == ["null"]


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs /dev/full")
def test_an_error_of_a_device_is_reported() -> None:
    with pytest.raises(ReportError, match=r"^/dev/full: cannot be written: No space left on device$"):
        files.write(Path("/dev/full"), b"x")
    assert Path("/dev/full").is_char_device()


def test_folders_and_sockets_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        for path, reason in ((tmp_path, "folder; name a file in it"), (Path("socket"), "socket; name a file")):
            for attempt in (files.check_writable, lambda path: files.write(path, b"")):
                with pytest.raises(ReportError, match=f"{path}: is a {reason}$"):
                    attempt(path)
    assert names(tmp_path) == ["socket"]


def test_a_disk_is_refused(tmp_path: Path) -> None:
    try:
        os.mknod(tmp_path / "disk", 0o666 | stat.S_IFBLK, os.makedev(7, 255))
    except PermissionError:
        pytest.skip("only root may make a device, and not everywhere")
    with pytest.raises(ReportError, match="/disk: is a block device; name a file$"):
        files.write(tmp_path / "disk", b"")


def test_missing_and_closed_folders_are_refused_early(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"/no/a: folder .*/no does not exist; make it first$"):
        files.check_writable(tmp_path / "no" / "a")
    with pytest.raises(ReportError, match=r"/no/a: cannot be written: No such file or directory$"):
        files.write(tmp_path / "no" / "a", b"")


@pytest.mark.parametrize("old", [None, b"old"])
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, old: bytes | None) -> None:
    path = tmp_path / "a"
    if old is not None:
        path.write_bytes(old)
    with disk_of(1000), pytest.raises(ArtifactError, match=r"/a: cannot be written: File too large$"):
        files.write(path, BIG, ArtifactError)
    assert names(tmp_path) == ([] if old is None else ["a"])
    assert old is None or path.read_bytes() == old


def test_what_the_disk_refuses_at_the_last_moment_does_not_replace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "a").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ReportError, match=r"/a: cannot be written: No space left on device$"):
        files.write(tmp_path / "a", b"new")
    with pytest.raises(ReportError, match=r"/b: cannot be written: No space left on device$"):
        files.write_folder(tmp_path / "b", {"c": b"new"})
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_an_error_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    def fill(partial: Path) -> None:
        partial.write_bytes(b"new")
        raise ZeroDivisionError

    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), files.replacing(tmp_path / "a") as partial:
        fill(partial)
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_files_that_belong_together_are_all_written_or_none(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.json", "a.html", "a.xml")]
    paths[0].write_bytes(b"old")
    with disk_of(1000), pytest.raises(ReportError, match=r"/a.xml: cannot be written: File too large$"):
        files.write_all({paths[0]: b"new", paths[1]: "new", paths[2]: BIG})
    assert names(tmp_path) == ["a.json"]
    assert paths[0].read_bytes() == b"old"
    files.write_all(dict.fromkeys(paths, "new"))
    assert [path.read_text() for path in paths] == ["new"] * 3
    assert names(tmp_path) == ["a.html", "a.json", "a.xml"]


def test_two_names_of_a_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(ReportError, match=r"/b: is the same file as .*/a; choose another name$"):
        files.write_all({tmp_path / "a": b"1", tmp_path / "b": b"2"})
    assert names(tmp_path) == ["b"]


def test_a_folder_is_written_whole(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        files.write_folder(tmp_path / "new" / "bundle", {"a": "1", "parts/b": b"2"})
    finally:
        os.umask(old)
    bundle = tmp_path / "new" / "bundle"
    assert ((bundle / "a").read_text(), (bundle / "parts" / "b").read_bytes()) == ("1", b"2")
    assert stat.S_IMODE(bundle.stat().st_mode) == 0o750
    assert names(tmp_path / "new") == ["bundle"]
    with pytest.raises(ReportError, match=r"/bundle: exists already; choose a new folder$"):
        files.write_folder(bundle, {})
    with disk_of(1000), pytest.raises(ReportError, match=r"/full: cannot be written: File too large$"):
        files.write_folder(tmp_path / "full", {"a": "1", "b": BIG})
    assert names(tmp_path) == ["new"]


def test_a_partial_folder_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []
    monkeypatch.setattr(files, "_flush", lambda path: modes.append(stat.S_IMODE(path.parent.stat().st_mode)))
    files.write_folder(tmp_path / "bundle", {"a": "1"})
    assert modes == [0o700]


def test_lines_are_appended(tmp_path: Path) -> None:
    for line in ("a", "µ"):
        files.append(tmp_path / "journal", line)
    assert (tmp_path / "journal").read_bytes() == "a\nµ\n".encode()
    with pytest.raises(ReportError, match=r"cannot be written: Is a directory$"):
        files.append(tmp_path, "a")


SENT_TWICE = """
import os, shutil, signal, sys
from pathlib import Path
from snn_deploy import files

number, folder = int(sys.argv[1]), Path(sys.argv[2])
remove, rmtree = files.remove, shutil.rmtree

def again(path, **options):
    os.kill(os.getpid(), number)  # while the first one is being cleaned up
    remove(path)
    rmtree(path, ignore_errors=True)

files.remove = shutil.rmtree = again
if sys.argv[3] == "file":
    with files.replacing(folder / "a") as partial:
        partial.write_text("new")
        os.kill(os.getpid(), number)
else:
    files._flush = lambda path: os.kill(os.getpid(), number)
    files.write_folder(folder / "b", {"parts/c": "new"})
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("number", files.SIGNALS, ids=lambda number: number.name)
def test_a_signal_leaves_the_old_file_and_nothing_else(tmp_path: Path, number: signal.Signals, kind: str) -> None:
    (tmp_path / "a").write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", SENT_TWICE, str(int(number)), str(tmp_path), kind], capture_output=True, check=False
    )
    # Python itself ends by SIGINT where a KeyboardInterrupt is not caught.
    assert done.returncode == -number, done.stderr
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


def test_handlers_stay_as_they_were(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in files.SIGNALS]
    files.write(tmp_path / "a", b"")
    assert [signal.getsignal(number) for number in files.SIGNALS] == before


def test_other_threads_and_processes_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a"
    writers = [threading.Thread(target=files.write, args=(path, bytes([65 + index]) * 2**16)) for index in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    process = multiprocessing.get_context("spawn").Process(target=files.write, args=(tmp_path / "b", b"b"))
    process.start()
    process.join()
    data = path.read_bytes()
    assert data == data[:1] * 2**16
    assert names(tmp_path) == ["a", "b"]

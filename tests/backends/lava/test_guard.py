"""Nothing that Lava does may hang the caller or outlive it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import select
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from snn_deploy.errors import BackendError
from snn_deploy.network import artifact
from snn_deploy.testing import random_stimulus, random_unet
from snn_deploy_lava import LavaBackend
from snn_deploy_lava.runtime import guard
from snn_deploy_lava.runtime.worker import Job

pytestmark = [
    pytest.mark.lava,
    pytest.mark.skipif(importlib.util.find_spec("lava") is None, reason="lava-nc is not installed"),
    pytest.mark.skipif(not Path("/proc").exists(), reason="processes are counted through /proc"),
]


def sessions_of(folder: Path) -> set[int]:
    """Sessions in which a worker runs on ``folder``."""
    sessions = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(folder.resolve()).encode() in (process / "cmdline").read_bytes():
                sessions.add(os.getsid(int(process.name)))
    return sessions


def living(session: int) -> list[str]:
    """Processes of ``session`` that are not zombies."""
    processes = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.getsid(int(process.name)) == session and " Z " not in (process / "stat").read_text(encoding="utf-8"):
                processes.append((process / "cmdline").read_text(encoding="utf-8"))
    return processes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    network = random_unet("rate", 0, size=8, steps=16)
    artifact.save(network, tmp_path / "network.snn")
    np.save(tmp_path / "stimulus.npy", random_stimulus(network))
    Job().write(tmp_path)
    return tmp_path


def test_a_model_that_raises_is_named_with_its_error(folder: Path) -> None:
    (folder / "population0003.npz").mkdir()
    with pytest.raises(guard.WorkerError, match=r"^pool recorder: IsADirectoryError: .*population0003.npz'$"):
        guard.run_guarded(folder, 60.0)


def test_an_interrupt_ends_every_process_and_frees_shared_memory(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path_factory.mktemp("t")
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    monkeypatch.setenv("TMPDIR", str(scratch))
    before = set(Path("/dev/shm").iterdir())
    sessions: set[int] = set()
    seen: list[Path] = []

    def interrupt(done: int, total: int) -> None:
        if done > 2:
            sessions.update(sessions_of(folder))
            seen.extend(guard._mapped_segments(next(iter(sessions))))
            assert list(scratch.rglob("pymp-*"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        guard.run_guarded(folder, 60.0, interrupt)
    assert list(scratch.iterdir()) == []
    assert len(sessions) == 1
    assert seen
    assert not any(path.exists() for path in set(seen) - before)
    assert living(sessions.pop()) == []


CALLER = """
import sys
from pathlib import Path
from snn_deploy_lava.runtime import guard
guard.run_guarded(Path(sys.argv[1]), 300.0, lambda done, total: print(done, flush=True))
"""


@pytest.mark.extended
def test_a_caller_that_is_killed_leaves_nothing(folder: Path) -> None:
    network = random_unet("rate", 0, size=8, steps=400)
    artifact.save(network, folder / "network.snn")
    np.save(folder / "stimulus.npy", random_stimulus(network))
    caller = subprocess.Popen([sys.executable, "-c", CALLER, str(folder)], stdout=subprocess.PIPE)
    with caller:
        assert caller.stdout is not None
        assert [caller.stdout.readline(), caller.stdout.readline()][0] == b"0\n"
        (session,) = sessions_of(folder) - {os.getsid(0)}
        segments = guard._mapped_segments(session)
        ends = [os.pidfd_open(int(process.name)) for process in guard._processes(session)]
        caller.kill()
    assert segments
    assert len(ends) > 10
    for end in ends:
        assert select.select([end], [], [], 60)[0], "a process outlives its caller"
        os.close(end)
    assert living(session) == []
    assert not any(segment.exists() for segment in segments)


def test_a_time_out_is_an_error_and_ends_every_process() -> None:
    network = random_unet("rate", 0, size=8, steps=16)
    with pytest.raises(
        BackendError, match=r"^lava: Lava did not finish within 0.2 s, before its first step; .* smaller image$"
    ):
        LavaBackend(timeout_s=0.2).run(network, random_stimulus(network))


def test_a_worker_that_cannot_start_says_why(folder: Path) -> None:
    (folder / "network.snn").write_bytes(b"no archive")
    with pytest.raises(guard.WorkerError, match=r"BadZipFile: File is not a zip file$"):
        guard.run_guarded(folder, 60.0)


def test_an_altered_tensor_is_found(folder: Path) -> None:
    data = bytearray((folder / "network.snn").read_bytes())
    data[data.index(b"NUMPY") + 200] ^= 1
    (folder / "network.snn").write_bytes(bytes(data))
    with pytest.raises(guard.WorkerError):
        guard.run_guarded(folder, 60.0)

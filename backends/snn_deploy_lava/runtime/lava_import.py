"""Makes lava-nc 0.10.0 importable on Python 3.11 and 3.12 and in programs that use processes, and its waiting safe; its files stay.

``lava/magma/compiler/var_model.py`` gives dataclass fields an instance of ``ByteEncoder`` as default. Python 3.10
refused only lists, dictionaries and sets there; later versions refuse everything unhashable. While that one module
is imported, ``ByteEncoder`` becomes hashable, which is 3.10's behaviour.

Lava's messages call ``multiprocessing.set_start_method("fork")`` when they are imported, an error in a program that has started
processes before. While they are imported, a method that is set stays as it is.

A process of Lava waits in ``CspSelector.select`` for its next command. The thread that receives commands looks whether one is still
queued, adds the new one, and wakes the process only if none was: a command that the process takes between the two leaves it
asleep beside a new one for good. Lava ends each run with a command that nobody answers, so two are on their way whenever a run
follows another. The thread wakes the process every time here.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import multiprocessing
import sys
from collections.abc import Callable
from typing import Any

_MODULE = "lava.magma.compiler.var_model"
_MESSAGES = "lava.magma.runtime.message_infrastructure.multiprocessing"
_CHANNEL = "lava.magma.compiler.channels.pypychannel"


def prepare() -> None:
    """Import what does not import plainly, so that every other module of Lava does; call it before any of them."""
    if _MODULE in sys.modules and _MESSAGES in sys.modules:
        return
    original = multiprocessing.set_start_method

    def keep(method: str | None, force: bool = False) -> None:
        if force or multiprocessing.get_start_method(allow_none=True) is None:
            original(method, force)

    multiprocessing.set_start_method = keep
    try:
        _import_variables()
        importlib.import_module(_MESSAGES)
    finally:
        multiprocessing.set_start_method = original
    importlib.import_module(_CHANNEL).CspRecvPort._req_callback = _receive


def _receive(port: Any, arrived: Any) -> None:
    """The thread of a ``CspRecvPort``: queue what ``arrived`` (a semaphore) counts, and wake who waits for it."""
    with contextlib.suppress(EOFError):
        while arrived.acquire() and not port._done:
            port._queue.put_nowait(0)
            observer = port.observer
            if observer is not None:
                observer()


def _import_variables() -> None:
    original = dataclasses.dataclass

    def patched(cls: type | None = None, /, **options: Any) -> Any:
        def decorate(decorated: type) -> type:
            if sys.version_info >= (3, 11) and decorated.__module__ == _MODULE and decorated.__name__ == "ByteEncoder":
                options["unsafe_hash"] = True
            wrap: Callable[[type], type] = original(**options)
            return wrap(decorated)

        return decorate if cls is None else decorate(cls)

    dataclasses.dataclass = patched
    try:
        importlib.import_module(_MODULE)
    finally:
        dataclasses.dataclass = original

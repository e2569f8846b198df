"""Makes lava-nc 0.10.0 importable on Python 3.11 and 3.12, without touching its files.

``lava/magma/compiler/var_model.py`` gives dataclass fields an instance of ``ByteEncoder`` as default. Python 3.10
refused only lists, dictionaries and sets there; later versions refuse everything unhashable. While that one module
is imported, ``ByteEncoder`` becomes hashable, which is 3.10's behaviour.
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
from collections.abc import Callable
from typing import Any

_MODULE = "lava.magma.compiler.var_model"


def prepare() -> None:
    """Import ``var_model`` so that every other module of Lava imports plainly; call it before any of them."""
    if sys.version_info < (3, 11) or _MODULE in sys.modules:
        return
    original = dataclasses.dataclass

    def patched(cls: type | None = None, /, **options: Any) -> Any:
        def decorate(decorated: type) -> type:
            if decorated.__module__ == _MODULE and decorated.__name__ == "ByteEncoder":
                options["unsafe_hash"] = True
            wrap: Callable[[type], type] = original(**options)
            return wrap(decorated)

        return decorate if cls is None else decorate(cls)

    dataclasses.dataclass = patched
    try:
        importlib.import_module(_MODULE)
    finally:
        dataclasses.dataclass = original

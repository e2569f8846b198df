"""The unit of all ratios, and how a ratio is taken."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import onnxruntime
from networks import float_unet, photograph

WARM_SECONDS = 6.0
"""Runs before anything is timed; work that is longer is done once."""


class Unit:
    """The float network in onnxruntime on one thread."""

    def __init__(self, shape: tuple[int, int, int], batch: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(float_unet(*shape), options, providers=["CPUExecutionProvider"])
        self._image = (photograph(shape[2], batch) / 255).astype(np.float32)

    def seconds(self) -> float:
        """CPU time of one pass, from enough passes to fill 0.1 s."""
        started, passes = time.process_time(), 0
        while passes < 2 or time.process_time() - started < 0.1:
            self._session.run(None, {"input": self._image})
            passes += 1
        return (time.process_time() - started) / passes


def ratio(unit: Unit, work: Callable[[], object], rounds: int) -> float:
    """Median CPU time of ``work`` in passes of ``unit``, after some seconds in which loops are compiled and paths chosen."""
    started = time.process_time()
    while time.process_time() - started < WARM_SECONDS:
        work()
    found = []
    for _ in range(rounds):
        before = unit.seconds()
        started = time.process_time()
        work()
        spent = time.process_time() - started
        found.append(spent / ((before + unit.seconds()) / 2))
    return float(np.median(found))

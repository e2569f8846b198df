"""A stream of images: sized by its first frame, quantized, small changes held back, and saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.backend.protocol import Backend, Record, Run
from snn_deploy.backend.stimulus import quantize_images
from snn_deploy.backend.stream import FrameStream, StreamState, open_stream
from snn_deploy.backend.stream_file import save_state
from snn_deploy.data.images import Image, check_image
from snn_deploy.data.stimulus import prepare_stimulus
from snn_deploy.errors import StimulusError
from snn_deploy.network.network import Network
from snn_deploy.network.streaming import hold_small_changes, prepare_stream


class ImageStream:
    """Real images one after the other on ``backend``; changes of ``dead_zone`` counts (C, 1, 1) and less are not sent.

    ``network`` is the one that streams, once the first frame has told its size; ``frames``: how many it has seen. With
    ``state`` it goes on, and ``network`` is the state's. ``hold``: counts that neurons hold back
    (:func:`~snn_deploy.network.streaming.prepare_stream`).
    """

    def __init__(
        self, network: Network, backend: Backend, dead_zone: Int64, state: StreamState | None = None, hold: int = 0
    ) -> None:
        self.network, self.frames = network, 0
        self._backend, self._dead_zone, self._hold = backend, dead_zone, hold
        self._stream: FrameStream | None = None
        self._sent: Int64 | None = None
        if state is not None:
            self.frames, self._sent = state.frames, state.source.astype(np.int64)
            self._stream = open_stream(backend, network, state)

    def run(self, frame: Image, record: Record = Record.COUNTS) -> Run:
        """The next frame (B, C, H, W); :class:`~snn_deploy.errors.StimulusError` for one of another size."""
        if self._stream is None:
            sized, payloads = prepare_stimulus(self.network, frame)
            self.network = prepare_stream(sized, self._hold)
            self._stream = open_stream(self._backend, self.network, batch=len(payloads))
        else:
            payloads = quantize_images(self.network, check_image(frame, self.network.input.shape[0], "the frame"))
        if self._sent is not None and self._sent.shape == payloads.shape:
            payloads = hold_small_changes(payloads, self._sent, self._dead_zone)
        run = self._stream.push(payloads, record)
        self.frames, self._sent = self.frames + 1, payloads
        return run

    def save(self, path: str | Path) -> str:
        """Write the states after the last frame to ``path``; returns the file's SHA-256."""
        if self._stream is None:
            raise StimulusError("the stream has no frame yet, and so no state to save; push one first")
        return save_state(self._stream.state(), self.network, Path(path))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.network.name} on {self._backend.name}: {self.frames} frames)"

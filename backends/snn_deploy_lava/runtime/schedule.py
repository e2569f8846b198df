"""When an image begins at each population, in global steps counted from 0 (Lava's ``time_step`` minus 1).

* *one after another*: every process begins image k at step ``k * interval`` with ``interval = duration``. What arrives
  then was sent for the image before and is dropped. Any schedule, any delays.
* *stream*: population p begins image k at ``start(p) + k * interval`` with an interval as short as the window, so each
  layer is reset as the wave of an image reaches it. Exact when every delay equals the difference of the starts.

Images may be *frames* of a stream, in which the network computes changes alone: only the first of them begins from rest.
"""

from __future__ import annotations

from dataclasses import dataclass

from snn_deploy_lava.runtime.arithmetic import Array


@dataclass(frozen=True)
class Clock:
    """``images`` images begin at ``onset``, ``onset + interval``, ...; within an image, steps count on from ``onset``."""

    onset: int
    interval: int
    images: int

    def image_step(self, step: int) -> int:
        """Step as the first image would count it; before ``onset``, ``step`` itself."""
        return step if step < self.onset else self.onset + (step - self.onset) % self.interval

    def image(self, step: int) -> int:
        """Number of the image at ``step``; -1 before the first."""
        return -1 if step < self.onset else (step - self.onset) // self.interval

    def select(self, images: Array, repeats: int, step: int) -> Array | None:
        """What is sent at ``step``; ``None`` where nothing is.

        ``images`` (B, X, Y, C) are sent in the first ``repeats`` steps of each, (B, T, X, Y, C) step by step.
        """
        image, local = self.image(step), self.image_step(step)
        if local >= repeats or image >= len(images):
            return None
        payloads: Array = images[image, local] if images.ndim == 5 else images[image]
        return payloads

    def is_over(self, step: int) -> bool:
        """Whether the last image has left: in a stream, processes begin another one while the last layers still work."""
        return self.image(step) >= self.images


@dataclass(frozen=True)
class Schedule:
    """Steps of a whole run of ``images`` images; ``window`` is the length in which events are counted.

    ``frames``: the images are frames of a stream, so that states go on from each to the next.
    """

    images: int
    window: int
    interval: int
    last_start: int
    stream: bool
    frames: bool = False

    def clock(self, start: int) -> Clock:
        """Clock of a population that starts at ``start``."""
        return Clock(start if self.stream else 0, self.interval, self.images)

    @property
    def steps(self) -> int:
        """Steps to run until the last population has finished the last image."""
        return self.images * self.interval + (self.last_start if self.stream else 0)

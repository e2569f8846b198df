"""Time float simulators of plain integrate-and-fire neurons: ``python peers.py ROUNDS``; prints name, tab, passes.

Runs in the virtual environment that ``python tests/benchmarks --peers VENV`` makes. The network is the medium one: the
same convolutions, pooling, doubling and concatenation, with an IF neuron (lighter than ours) for each ReLU, T = 32.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeAlias

import torch
from networks import Step, layers
from torch import nn

STEPS = 32
SHAPE = (32, 3, 128)


class Spiking(nn.Module):
    """The U-Net with neurons made by ``neuron``; ``each(module, x)`` applies a stateless module to one or all steps."""

    def __init__(self, neuron: Callable[[], nn.Module], doubled: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.steps: list[Step] = layers(*SHAPE)
        self.parts = nn.ModuleDict()
        self.doubled = doubled
        widths = {"input": 1}
        for step in self.steps:
            widths[step.name] = step.channels
            if step.kind in ("conv", "head"):
                side = 3 if step.kind == "conv" else 1
                inputs = sum(widths[source] for source in step.sources)
                convolution = nn.Conv2d(inputs, step.channels, side, padding=side // 2)
                self.parts[step.name] = nn.Sequential(convolution, neuron()) if step.kind == "conv" else convolution

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One step, or all steps in the batch axis."""
        values = {"input": x}
        for step in self.steps:
            sources = [values[source] for source in step.sources]
            joined = sources[0] if len(sources) == 1 else torch.cat(sources, 1)
            if step.kind == "pool":
                values[step.name] = nn.functional.avg_pool2d(joined, 2)
            elif step.kind == "up":
                values[step.name] = self.doubled(joined)
            else:
                values[step.name] = self.parts[step.name](joined)
        return values["output"]


def doubled(x: torch.Tensor) -> torch.Tensor:
    """Each pixel four times."""
    return nn.functional.interpolate(x, scale_factor=2, mode="nearest")


class PlainNeuron(nn.Module):
    """Integrate-and-fire by hand, of all steps in the batch axis: what a user writes who knows PyTorch and no simulator."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Threshold 1, reset by subtraction."""
        currents = x.unflatten(0, (STEPS, -1))
        v, sent = torch.zeros_like(currents[0]), []
        for current in currents:
            v = v + current
            spikes = (v >= 1).to(v.dtype)
            v = v - spikes
            sent.append(spikes)
        return torch.cat(sent, 0)


Simulate: TypeAlias = Callable[[torch.Tensor], object]


def contenders() -> Iterator[tuple[str, Simulate]]:
    """The simulators that are installed, each as a function that simulates all steps of one image.

    Each is run step by step and with all steps in the batch axis, as far as it can be, and through ``torch.compile``.
    """
    yield from by_hand()
    for found in (by_spikingjelly, by_sinabs, by_snntorch):
        with suppress(ImportError):
            yield from found()


def by_hand() -> Iterator[tuple[str, Simulate]]:
    """No simulator at all."""
    plain = Spiking(PlainNeuron, doubled).eval()
    yield "by hand, time in batch", lambda image: plain(batched(image))
    yield "by hand, time in batch, channels last", lambda image: plain(channels_last(batched(image)))
    compiled = torch.compile(plain)
    yield "by hand, time in batch, torch.compile", lambda image: compiled(batched(image))


def by_spikingjelly() -> Iterator[tuple[str, Simulate]]:
    """SpikingJelly."""
    from spikingjelly.activation_based import functional, neuron

    class MultiStep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.neuron = neuron.IFNode(step_mode="m")

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            fired: torch.Tensor = self.neuron(x.unflatten(0, (STEPS, -1)))
            return fired.flatten(0, 1)

    single, multi = Spiking(neuron.IFNode, doubled).eval(), Spiking(MultiStep, doubled).eval()
    compiled = torch.compile(multi)

    def step_by_step(image: torch.Tensor) -> None:
        functional.reset_net(single)
        for _ in range(STEPS):
            single(image)

    def multi_step(run: Simulate) -> Simulate:
        def simulate(image: torch.Tensor) -> None:
            functional.reset_net(multi)
            run(batched(image))

        return simulate

    yield "spikingjelly, step by step", step_by_step
    yield "spikingjelly, multi-step", multi_step(multi)
    yield "spikingjelly, multi-step, torch.compile", multi_step(compiled)


def by_sinabs() -> Iterator[tuple[str, Simulate]]:
    """Sinabs, which takes all steps in the batch axis."""
    import sinabs.layers

    squeezed = Spiking(lambda: sinabs.layers.IAFSqueeze(num_timesteps=STEPS), doubled).eval()

    def simulate(image: torch.Tensor) -> None:
        for part in squeezed.modules():
            if isinstance(part, sinabs.layers.IAFSqueeze):
                part.reset_states()
        squeezed(batched(image))

    yield "sinabs, time in batch", simulate


def by_snntorch() -> Iterator[tuple[str, Simulate]]:
    """snnTorch, which has single steps only."""
    import snntorch

    leaky = Spiking(lambda: snntorch.Leaky(beta=1.0, init_hidden=True), doubled).eval()
    compiled = torch.compile(leaky)

    def step_by_step(run: Simulate) -> Simulate:
        def simulate(image: torch.Tensor) -> None:
            for part in leaky.modules():
                if isinstance(part, snntorch.Leaky):
                    part.reset_mem()
            for _ in range(STEPS):
                run(image)

        return simulate

    yield "snntorch, step by step", step_by_step(leaky)
    yield "snntorch, step by step, torch.compile", step_by_step(compiled)


def batched(image: torch.Tensor) -> torch.Tensor:
    """``image`` (1, C, H, W) for every step."""
    return image.repeat(STEPS, 1, 1, 1)


def channels_last(x: torch.Tensor) -> torch.Tensor:
    """The memory layout that oneDNN prefers."""
    return x.contiguous(memory_format=torch.channels_last)


def main() -> None:
    """Time every contender between passes of the unit."""
    from timing import Unit

    torch.set_num_threads(1)
    rounds, unit, image = int(sys.argv[1]), Unit(SHAPE), torch.rand(1, 1, SHAPE[2], SHAPE[2])
    with torch.inference_mode():
        for name, simulate in contenders():
            try:
                simulate(image)
            except Exception as error:  # what torch.compile cannot compile
                sys.stderr.write(f"{name}: {type(error).__name__}: {error}"[:300] + "\n")
                continue
            simulate(image)
            found = []
            for _ in range(rounds):
                before, started = unit.seconds(), time.process_time()
                simulate(image)
                spent = time.process_time() - started
                found.append(spent / ((before + unit.seconds()) / 2))
            sys.stdout.write(f"{name}\t{statistics.median(found)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()

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


def contenders() -> Iterator[tuple[str, Callable[[torch.Tensor], object]]]:
    """The simulators that are installed, each as a function that simulates all steps of one image."""
    with suppress(ImportError):
        from spikingjelly.activation_based import functional, neuron

        jelly = Spiking(neuron.IFNode, doubled)

        def spikingjelly(image: torch.Tensor) -> None:
            functional.reset_net(jelly)
            sum(jelly(image) for _ in range(STEPS))

        yield "spikingjelly, step by step", spikingjelly
    with suppress(ImportError):
        import sinabs.layers

        squeezed = Spiking(lambda: sinabs.layers.IAFSqueeze(num_timesteps=STEPS), doubled)

        def sinabs_squeezed(image: torch.Tensor) -> None:
            for part in squeezed.modules():
                if isinstance(part, sinabs.layers.IAFSqueeze):
                    part.reset_states()
            squeezed(image.repeat(STEPS, 1, 1, 1))

        yield "sinabs, time in batch", sinabs_squeezed
    with suppress(ImportError):
        import snntorch

        leaky = Spiking(lambda: snntorch.Leaky(beta=1.0, init_hidden=True), doubled)

        def snntorch_steps(image: torch.Tensor) -> None:
            for part in leaky.modules():
                if isinstance(part, snntorch.Leaky):
                    part.reset_mem()
            sum(leaky(image) for _ in range(STEPS))

        yield "snntorch, step by step", snntorch_steps


def main() -> None:
    """Time every contender between passes of the unit."""
    from timing import Unit

    torch.set_num_threads(1)
    rounds, unit, image = int(sys.argv[1]), Unit(SHAPE), torch.rand(1, 1, SHAPE[2], SHAPE[2])
    with torch.no_grad():
        for name, simulate in contenders():
            simulate(image)
            found = []
            for _ in range(rounds):
                before, started = unit.seconds(), time.process_time()
                simulate(image)
                spent = time.process_time() - started
                found.append(spent / ((before + unit.seconds()) / 2))
            sys.stdout.write(f"{name}\t{statistics.median(found)}\n")


if __name__ == "__main__":
    main()

"""Runs a NIR graph in another tool: ``run_reader.py TOOL GRAPH.nir INPUT.npy OUTPUT.npy``, in that tool's own environment.

The input is (T, C, H, W) float32, or (T, N) of a graph without maps; the output what its output node receives, (T, ...) float64.
Nothing of snn-deploy is imported here.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import nir
import numpy as np

warnings.simplefilter("ignore")


def step_by_step(module: Any, inputs: Any) -> Any:
    """Outputs of a stateful PyTorch module that takes one step and its state."""
    import torch

    state, outputs = None, []
    with torch.no_grad():
        for image in torch.from_numpy(inputs):
            result = module(image[None]) if state is None else module(image[None], state)
            output, state = result if isinstance(result, tuple) else (result, None)
            outputs.append(np.asarray(output[0] if isinstance(output, tuple) else output, np.float64)[0])
    return np.stack(outputs)


def run_norse(graph: Any, inputs: Any) -> Any:
    import norse.torch

    return step_by_step(norse.torch.from_nir(graph, dt=1.0), inputs)


def run_sinabs(graph: Any, inputs: Any) -> Any:
    import sinabs.nir
    import torch

    module = sinabs.nir.from_nir(graph, batch_size=1)
    with torch.no_grad():
        outputs = module(torch.from_numpy(inputs))
    return np.asarray(outputs[0] if isinstance(outputs, tuple) else outputs, np.float64)


def run_snntorch(graph: Any, inputs: Any) -> Any:
    from snntorch.import_nir import import_from_nir

    return step_by_step(import_from_nir(graph), inputs)


def run_spikingjelly(graph: Any, inputs: Any) -> Any:
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    return step_by_step(import_from_nir(graph, dt=1.0), inputs)


def run_spyx(graph: Any, inputs: Any) -> Any:
    """Channels last, as JAX has them."""
    import spyx.nir

    given = np.ascontiguousarray(inputs.transpose(0, 2, 3, 1)) if inputs.ndim == 4 else inputs
    _, outputs = spyx.nir.from_nir(graph, given[:, None])
    found = np.asarray(outputs, np.float64)[:, 0]
    return np.ascontiguousarray(found.transpose(0, 3, 1, 2)) if found.ndim == 4 else found


TOOLS: dict[str, Callable[[Any, Any], Any]] = {
    "norse": run_norse,
    "sinabs": run_sinabs,
    "snntorch": run_snntorch,
    "spikingjelly": run_spikingjelly,
    "spyx": run_spyx,
}


if __name__ == "__main__":
    tool, graph, given, out = sys.argv[1:]
    np.save(out, TOOLS[tool](nir.read(graph), np.load(given).astype(np.float32)))

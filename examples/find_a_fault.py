"""Inject one wrong weight and let the verifier locate it: the first divergence names population, step and neuron."""

# %% A random network with the layers of a U-Net, and an image
from dataclasses import replace

import numpy as np

from snn_deploy.backend.protocol import Record
from snn_deploy.backend.registry import load_backend
from snn_deploy.network.kernels import ConvKernel
from snn_deploy.testing import random_stimulus, random_unet
from snn_deploy.verification import Level, compare

network = random_unet("exact", seed=0)
stimulus = random_stimulus(network)
reference = load_backend("reference")

# %% Flip one bit of one weight
name = "up1->dec"
connections = []
for connection in network.connections:
    if connection.name == name and isinstance(connection.kernel, ConvKernel):
        weight = np.array(connection.kernel.weight)
        weight[0, 0, 1, 1] ^= 1
        connection = replace(connection, kernel=replace(connection.kernel, weight=weight))
    connections.append(connection)
faulty = replace(network, connections=tuple(connections))

# %% Compare: the faulty run claims to be of the correct network, as after a compiler error
correct = reference.run(network, stimulus, Record.TRAINS)
wrong = replace(reference.run(faulty, stimulus, Record.TRAINS), backend="faulty", network=correct.network)
verdict = compare(network, [correct, wrong], Level.TRAIN)
print(verdict.line)
if verdict.first is None or verdict.first.population != "dec":
    raise SystemExit("the fault was not located in the population where it was injected")

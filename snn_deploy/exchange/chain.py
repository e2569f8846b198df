"""Requirements of both lava-dl and NIR on a network: a chain of convolutions."""

from __future__ import annotations

import numpy as np

from snn_deploy.errors import NetworkError
from snn_deploy.network.cuba_lif import CubaLif
from snn_deploy.network.kernels import ConvKernel
from snn_deploy.network.network import Connection, Network, Population


def get_cuba_lif(population: Population) -> CubaLif | None:
    """The neurons of ``population`` if they are CUBA-LIF, the only ones of which both formats know all numbers."""
    return population.neuron if isinstance(population.neuron, CubaLif) else None


def follow_chain(network: Network) -> list[tuple[Connection, Population]]:
    """Connection and target of each population behind the input, of an aligned network that is one chain.

    :class:`NetworkError` names the first population that is not in the chain.
    """
    if not network.aligned:
        raise NetworkError(
            f"{network.name}: delays are not aligned with the starts; only aligned networks can be written"
        )
    chain = []
    for before, population in zip(network.populations, network.populations[1:], strict=False):
        incoming = network.incoming(population.name)
        sources = [connection.source for connection in incoming]
        if sources != [before.name]:
            raise NetworkError(
                f"{population.name}: reads {', '.join(sources)}; the format supports chains only, in which it would read "
                f"{before.name}"
            )
        chain.append((incoming[0], population))
    outputs = [output.population for output in network.outputs]
    if outputs != [network.populations[-1].name]:
        raise NetworkError(f"{network.name}: outputs {', '.join(outputs)}; the last population must be the only one")
    return chain


def require_convolution(connection: Connection) -> ConvKernel:
    """The kernel of ``connection``; :class:`NetworkError` unless it is a convolution with symmetric pads."""
    kernel = connection.kernel
    if not isinstance(kernel, ConvKernel):
        raise NetworkError(
            f"{connection.name}: the format has no layer for a {type(kernel).__name__}; only convolutions can be written"
        )
    top, left, bottom, right = kernel.pads
    if (top, left) != (bottom, right) or min(kernel.pads) < 0:
        raise NetworkError(
            f"{connection.name}: pads {kernel.pads} are not symmetric; the format supports symmetric pads only"
        )
    return kernel


def covers_map(kernel: ConvKernel, source: Population) -> bool:
    """Whether ``kernel`` reads the whole map at once: a dense layer."""
    whole = kernel.weight.shape[1:] == source.shape
    return bool(whole and not any(kernel.pads) and kernel.dilations == (1, 1) and kernel.groups == 1)


def is_identity(connection: Connection) -> bool:
    """Whether ``connection`` copies every payload, pixel to pixel, with weight 1."""
    kernel = connection.kernel
    if not isinstance(kernel, ConvKernel) or kernel.strides != (1, 1) or any(kernel.pads) or connection.exponent:
        return False
    return bool(kernel.weight.shape == (kernel.groups, 1, 1, 1) and np.all(kernel.weight == 1))

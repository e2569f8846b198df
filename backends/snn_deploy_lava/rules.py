"""Constraints of Loihi 2 on a network, checked before a bundle is written. All violations are reported at once.

Weights of int8 can always be encoded (:func:`snn_deploy_lava.runtime.arithmetic.encode_weights`), one exponent lower where
signs are mixed; the sum of several between the same two pixels of a map of pixels may be too large.

Sources: lava-nc 0.10.0 (``utils/weightutils.py``, ``proc/dense``), lava-dl 0.6.0 (``netx/utils.py``, and the compiler's
warnings in ``netx/yolo_kp/run.ipynb``), nengo-loihi ``builder/discretize.py``, brian2_loihi.
"""

from __future__ import annotations

import numpy as np

from snn_deploy.arrays import Int64
from snn_deploy.errors import BackendUnavailableError
from snn_deploy.network import bounds
from snn_deploy.network.cuba_lif import CURRENT_SHIFT, CubaLif
from snn_deploy.network.kernels import SpatialKernel
from snn_deploy.network.limits import STATE_MAX
from snn_deploy.network.network import Connection, Network, Population

EXPONENTS = range(-8, 8)
"""Weight exponents: 4 bits, signed (brian2_loihi; nengo-loihi uses -7..7)."""

DELAY_MAX = 62
"""Steps of the longest delay (lava-dl ``netx/utils.py``)."""

PAYLOAD_BITS = 24
"""Bits of a graded event, sign included (lava-nc's precision; ``NxToPyAdapter``)."""

WIDTH_MAX = 255
"""Columns of a map; beyond, "spikes originating from x_in=n*256-1 and its neighbours might get dropped" (compiler)."""


SECTIONS = (None, "two_sided", "cuba_lif", "sigma_delta")
"""Sections of an artifact's neurons that the runtime reads; ``None`` is the multi-threshold neuron."""

THRESHOLD_MAX = 2**17 - 1
"""Threshold mantissa of a LIF neuron, 17 bits (lava-nc ``proc/lif/models.py``)."""

MANTISSAS, BIAS_EXPONENTS = range(-4096, 4096), range(8)
"""Bias mantissa, 13 bits signed, and exponent, 3 bits, of a LIF neuron (same place)."""


def list_violations(network: Network) -> tuple[str, ...]:
    """One line for every violation in ``network``."""
    violations = [line for population in network.populations for line in _population(network, population)]
    return (*violations, *(line for connection in network.connections for line in _connection(connection)))


def require_runnable(network: Network) -> None:
    """:class:`BackendUnavailableError` for neurons of which the runtime has no process, and numbers that it cannot have."""
    violations: list[str] = []
    for population in network.populations:
        if population.neuron is not None and population.neuron.section not in SECTIONS:
            raise BackendUnavailableError(
                f"{population.name}: {population.neuron.kind} neurons are not implemented in Lava; run the network on the "
                "reference backend"
            )
        violations += _leaky(population)
    for connection in network.connections:
        violations += _summed(connection)
    if violations:
        raise BackendUnavailableError(f"{network.name} cannot run in Lava: " + "; ".join(violations))


def require_carried(network: Network) -> None:
    """:class:`BackendUnavailableError` for a stream of Lava's own neurons, whose states only a reset sets."""
    if any(population.neuron is not None and population.neuron.is_stock for population in network.populations):
        raise BackendUnavailableError(
            f"{network.name}: states of Lava's own neurons are not carried from frame to frame; run it on reference or cpu"
        )


def check(network: Network) -> None:
    """Raise :class:`BackendUnavailableError` with every violation."""
    violations = list_violations(network)
    if violations:
        raise BackendUnavailableError(f"{network.name} does not fit loihi2: " + "; ".join(violations))


def _population(network: Network, population: Population) -> list[str]:
    name, violations = population.name, []
    low, high = bounds.bound_payloads(network, population)
    bits = max(high, -low).bit_length() + 1
    if bits > PAYLOAD_BITS:
        violations.append(
            f"{name}: events carry {low}..{high}, {bits} bits, not {PAYLOAD_BITS}; lower the payload limit"
        )
    if population.shape[2] > WIDTH_MAX:
        violations.append(f"{name}: {population.shape[2]} columns, more than {WIDTH_MAX}; split the image into strips")
    worst = bounds.bound_population(network, population)
    reach = worst.largest
    violations += _leaky(population)
    if reach > STATE_MAX:
        violations.append(
            f"{name}: current or membrane can reach {reach}, more than {STATE_MAX}; convert with fewer levels"
        )
    return violations


def _leaky(population: Population) -> list[str]:
    """What Lava's LIF cannot have, in the simulator neither."""
    name, neuron = population.name, population.neuron
    if not isinstance(neuron, CubaLif):
        return []
    violations = []
    thresholds = np.unique(neuron.theta)
    if thresholds.size != 1 or thresholds[0] % (1 << CURRENT_SHIFT) or thresholds[0] >> CURRENT_SHIFT > THRESHOLD_MAX:
        violations.append(
            f"{name}: thresholds {thresholds[0]}..{thresholds[-1]}; Lava's LIF has one, a multiple of {1 << CURRENT_SHIFT} "
            f"up to {THRESHOLD_MAX << CURRENT_SHIFT}"
        )
    if not any(_mantissas_fit(neuron.offset, exponent) for exponent in BIAS_EXPONENTS):
        violations.append(
            f"{name}: biases {neuron.offset.min()}..{neuron.offset.max()} are not 13-bit numbers times one power of two up to "
            f"2**{BIAS_EXPONENTS[-1]}; round them, or divide weights, biases and thresholds of the layer by two"
        )
    return violations


def _mantissas_fit(offset: Int64, exponent: int) -> bool:
    mantissa = offset >> exponent
    whole = np.array_equal(mantissa << exponent, offset)
    return whole and bool(np.all((mantissa >= MANTISSAS[0]) & (mantissa <= MANTISSAS[-1])))


def _connection(connection: Connection) -> list[str]:
    name, violations = connection.name, []
    kernel = connection.kernel
    weight = kernel.data if isinstance(kernel, SpatialKernel) else kernel.weight
    mixed = bool(weight.size and weight.min() < 0 < weight.max())
    exponent = connection.exponent - int(mixed)
    if exponent not in EXPONENTS:
        violations.append(
            f"{name}: weight exponent {exponent} outside {EXPONENTS[0]}..{EXPONENTS[-1]}; "
            f"divide weights and threshold of {connection.target} by {2 ** (exponent - EXPONENTS[-1])}"
        )
    violations += _summed(connection)
    if connection.delay > DELAY_MAX:
        violations.append(f"{name}: delay {connection.delay}, more than {DELAY_MAX} steps; insert a relay population")
    return violations


def _summed(connection: Connection) -> list[str]:
    """What a matrix of synapses cannot hold, in the simulator neither: it has one weight for each pair of pixels."""
    kernel = connection.kernel
    if not isinstance(kernel, SpatialKernel) or not kernel.data.size:
        return []
    _, pairs = np.unique(np.stack([kernel.rows, kernel.indices]), axis=1, return_inverse=True)
    sums = np.zeros(kernel.data.size, np.int64)
    np.add.at(sums, pairs.ravel(), kernel.data)
    mixed = kernel.data.min() < 0 < kernel.data.max()
    low, high = (-128, 127) if mixed else (-255, 255)
    if low <= sums.min() and sums.max() <= high:
        return []
    return [
        f"{connection.name}: weights between the same two pixels add up to {sums.min()}..{sums.max()}, outside {low}..{high}; "
        "give each pair one weight"
    ]

r"""The hook for the chip: your own ``NcProcessModel`` of the neuron. This file is yours to edit.

``--target loihi2`` runs the process graph with Lava's ``Loihi2HwCfg`` and takes the models of ``process_models()``
in place of its own choice. The neuron is ``snn_deploy_lava.runtime.processes.neuron.MultiThreshold``; its Python
model beside it is the reference. One step, with :math:`M = 2^{23} - 1`, every quantity an integer:

.. math::

    v &\leftarrow \min(\max(v + I + b, -M), M) \\
    k &= \min(\max(\lfloor (v - s) / \theta \rfloor, k_{min}), k_{max}) \\
    k &\leftarrow \min(\max(k, a_{min} - a), a_{max} - a)     \qquad \text{(where counts are bounded)} \\
    k &\leftarrow 0 \text{ where } |k| \le \text{hold}  \qquad \text{(0, but in streams)} \\
    v &\leftarrow v - k \theta, \quad a \leftarrow a + k, \quad \text{send } k \text{ as a graded event if } k \ne 0

``s`` is 1 where firing is strict (:math:`v > \theta`) and else 0. With a hard reset (``hard``) :math:`v \leftarrow 0`
where :math:`k \ne 0`. The bias b enters once at the step ``start``
(``bias_repeats`` false) or at every step from it on; before ``start`` the neuron integrates and does not fire. At
the onset of an image (``clock``) :math:`v \leftarrow v_0` and :math:`a \leftarrow 0`, before the current is added. Where images are
the frames of a stream (``frames``), reset and bias are of the first alone, and the others go on from v and a.
Division by a power of two is a shift; without a divider, test the thresholds :math:`\theta 2^n, \dots, \theta` once
each in descending order (``fire_ladder`` in ``snn_deploy_lava.runtime.arithmetic``).

The neuron of LeakyReLU is ``snn_deploy_lava.runtime.processes.two_sided.TwoSided``. Of its membrane nothing is taken back, it
has a threshold :math:`\theta_b` and an offset o of its own below zero, and it sends

.. math::

    k = \min(\max(\mathrm{clip}(\lfloor v / \theta \rfloor, 0, a_{max})
        + \mathrm{clip}(\lfloor (v + o) / \theta_b \rfloor, a_{min}, 0) - a, k_{min}), k_{max}), \quad a \leftarrow a + k

two ladders, of which at most one counts.

The state of a neuron is v, 24 bits signed, and where counts are bounded a, as wide as its limits.

Check your model on the chip with ``python run.py --conformance --target loihi2``: it drives every kind of neuron of
this network through its thresholds, limits and signs, and compares every count.

Everything else in the graph is Lava's own (README.md lists it): ``Conv`` without ``weight_exp`` and with weights of 0..255,
-255..0, or even ones in -254..254, ``Sparse`` with ``weight_exp``. Their models come from lava-loihi, or from here; a class that
has none is refused by name before anything starts.
"""

from __future__ import annotations

from typing import Any


def process_models() -> dict[type, type]:
    """Models by process class, for example ``{MultiThreshold: NcMultiThreshold, TwoSided: NcTwoSided}``."""
    return {}


def callback_fxs(steps: int) -> list[Any]:  # noqa: ARG001
    """Profilers of ``lava.utils.loihi2_profiler`` for a run of ``steps`` steps, for example ``[Loihi2Activity()]``."""
    return []


def after_run(callbacks: list[Any]) -> None:
    """What to keep of the profilers ``callbacks`` when a run has ended: print or save it."""

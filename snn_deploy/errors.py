"""Every error this package raises on purpose.

::

    SnnDeployError
    ├── ModelError                 an ONNX file that cannot be read
    │   └── UnsupportedModelError  one that can be read but not mapped: every reason, at once
    ├── GraphError                 a float graph that breaks an invariant
    ├── ConversionError            a graph that cannot become integers
    │   ├── UnitError              a layer whose integers would fit with a larger unit
    │   └── OverflowProofError     an accumulator that could leave 24 bits
    ├── NetworkError               an integer network that breaks an invariant
    ├── ArtifactError              an .snn file that is damaged, forged or of another version
    ├── StimulusError              an image or array that does not fit the network
    ├── TargetError                a device description that is incomplete or contradictory
    ├── BackendError               a backend that failed, or timed out
    │   ├── BackendUnavailableError  one that is not installed, or cannot run this network
    │   └── CompiledFormError      what it has compiled cannot be read back
    ├── MisfitError                a population for which an engine has no layer
    ├── VerificationError          traces that cannot be compared
    ├── PlanError                  tiles that a network does not allow, or a plan of another network or image
    ├── OptionError                an option of the command line that has no effect
    ├── ProjectError               a project file with an unknown key or a wrong value
    └── ReportError                a report or picture that cannot be written

A message says where, what was found, what is allowed, and what to do; it is one line. One warning,
:class:`ClippedInputWarning`, tells of a result that is right and probably not wanted.
"""

from __future__ import annotations

from collections.abc import Sequence

MOST_REASONS = 20
"""Reasons that the message of :class:`UnsupportedModelError` quotes."""


def suggest_extras(*extras: str) -> str:
    """The command that installs the optional ``extras`` of this package; quoted, because zsh takes brackets for a pattern."""
    return f'pip install "snn-deploy[{",".join(sorted(set(extras)))}]"'


class SnnDeployError(Exception):
    """Base of all errors raised on purpose; the command line prints its one line and exits with status 3."""


class ModelError(SnnDeployError):
    """An ONNX file that cannot be read, or is not ONNX."""


class UnsupportedModelError(ModelError):
    """A valid ONNX file with nodes that no rule maps; ``reasons`` holds one line for each of them."""

    def __init__(self, where: str, reasons: Sequence[str]) -> None:
        self.where, self.reasons = where, tuple(reasons)
        named, left = self.reasons[:MOST_REASONS], len(self.reasons) - MOST_REASONS
        more = f"; and {left} more, which snn-deploy inspect lists" if left > 0 else ""
        super().__init__(f"{where}: {len(self.reasons)} node(s) cannot be mapped: {'; '.join(named)}{more}")

    def __reduce__(self) -> tuple[type[UnsupportedModelError], tuple[str, tuple[str, ...]]]:
        """Errors travel between processes, and are built again from what they were built from."""
        return UnsupportedModelError, (self.where, self.reasons)


class GraphError(SnnDeployError):
    """A float graph that breaks an invariant: unknown value, duplicate name, mismatched shapes."""


class ConversionError(SnnDeployError):
    """A float graph that cannot be turned into integers with the options given."""


class UnitError(ConversionError):
    """A ``layer`` whose integers are ``excess`` times too large, but fit where one count stands for as many times more."""

    def __init__(self, message: str, layer: str = "", excess: float = 1.0) -> None:
        super().__init__(message)
        self.layer, self.excess = layer, excess


class OverflowProofError(ConversionError):
    """A population whose accumulator or state cannot be proved to stay within 24 signed bits."""


class NetworkError(SnnDeployError):
    """An integer network that breaks an invariant: dtype, range, geometry or schedule."""


class ArtifactError(SnnDeployError):
    """An ``.snn`` file that is damaged, forged, too large or of an unknown schema version."""


class StimulusError(SnnDeployError):
    """An input image or array whose type, shape or range does not fit the network."""


class TargetError(SnnDeployError):
    """A device description with an unknown key, a missing number or a contradiction."""


class BackendError(SnnDeployError):
    """A backend that failed, was killed or timed out."""


class BackendUnavailableError(BackendError):
    """A backend that is not installed, or that cannot run this network."""


class MisfitError(SnnDeployError):
    """A population for which another maker's engine has no layer; the message is the reason alone."""


class CompiledFormError(BackendError):
    """What a backend has compiled a network into cannot be read back, so that nothing is proved of it."""


class VerificationError(SnnDeployError):
    """Runs or traces that cannot be compared: other network, other stimulus, other schedule, missing populations."""


class PlanError(SnnDeployError):
    """A network that cannot be cut into tiles as asked, or a plan that is damaged or made for something else."""


class OptionError(SnnDeployError):
    """An option of the command line that has no effect in the mode that others chose."""


class ProjectError(SnnDeployError):
    """A project file (``snn-deploy.toml``) that cannot be read, or holds something unknown."""


class ReportError(SnnDeployError):
    """A report, table or picture that cannot be written."""


class ClippedInputWarning(UserWarning):
    """Images outside of the range that a network was calibrated for: their values were clipped to it.

    ``share`` of their values is outside; ``extreme`` is the one of largest magnitude, ``low`` and ``high`` the range.
    """

    def __init__(self, share: float, extreme: float, low: float, high: float) -> None:
        self.share, self.extreme, self.low, self.high = share, extreme, low, high
        super().__init__(share, extreme, low, high)

    @property
    def _remedy(self) -> str:
        if 100 <= self.extreme <= 255 and self.high < 2:
            return "divide the values by 255, or, if the model was trained on 0..255, convert it with --range 0..255"
        return f"give images from {self.low:.4g} to {self.high:.4g}, or calibrate with images like these"

    def __str__(self) -> str:
        return (
            f"{self.share:.2%} of the input's values are outside of {self.low:.4g} to {self.high:.4g}, what the network was "
            f"calibrated for, and are clipped; the largest is {self.extreme:.4g}; {self._remedy}"
        )

"""What the sweep tests score; a module of its own, so that worker processes can import it."""

from snn_deploy.errors import ConversionError
from snn_deploy.evaluation.sweep import Settings


def score(settings: Settings) -> dict[str, float]:
    steps = int(settings["steps"])
    if settings["mode"] == "rate" and steps == 4:
        raise ConversionError("too long")
    return {"psnr_db": 20.0 + steps, "energy_j": steps * (2.0 if settings["mode"] == "rate" else 1.0)}

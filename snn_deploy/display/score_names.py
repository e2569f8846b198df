"""How scores are called, and written."""

from __future__ import annotations

SCORES = {
    "psnr_db": "PSNR [dB]",
    "ssim": "SSIM",
    "accuracy": "accuracy",
    "miou": "mIoU",
    "f1": "F1",
    "jaccard": "Jaccard",
    "auc": "AUC",
}
"""Headings of scores by their names."""

COMPARED = {
    "scores": "spiking network",
    "model": "float network",
    "agreement": "spiking against float network",
}
"""What is compared, by the names of :class:`~snn_deploy.evaluation.stream.Comparisons`."""


def format_score(name: str, value: float | None) -> str:
    """A score as text, empty where there is none."""
    return "" if value is None else f"{value:.3f}" if name == "psnr_db" else f"{value:.4f}"

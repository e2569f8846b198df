"""Pictures for people: images side by side."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

from snn_deploy import files
from snn_deploy.data import images
from snn_deploy.data.metrics import psnr_db


def write_comparison(path: Path, clean: images.Image, others: Mapping[str, images.Image]) -> None:
    """One PNG: whole images above, their middle quarter enlarged below, PSNR against ``clean`` in each title."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = {"clean": clean, **others}
    figure = Figure(figsize=(3.2 * len(shown), 6.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, len(shown), squeeze=False)
    for column, (name, image) in enumerate(shown.items()):
        height, width = image.shape[2] // 4, image.shape[3] // 4
        title = name if name == "clean" else f"{name}, {psnr_db(image, clean):.2f} dB"
        for row, part in enumerate((image, images.center_crop(image, height, width))):
            picture = part[0].transpose(1, 2, 0).clip(0, 1)
            axes[row, column].imshow(picture[..., 0] if picture.shape[2] == 1 else picture, cmap="gray", vmin=0, vmax=1)
            axes[row, column].set_axis_off()
        axes[0, column].set_title(title)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, format="png")
    files.write(path, buffer.getvalue())

"""The U-Nets that this folder trains: small, with the skips, pooling and upsampling of published ones.

``DenoisingUNet`` follows Spiking-UNet (arXiv 2307.10974): two 3x3 convolutions and ReLU per level, average pooling,
transposed convolution with ReLU, skips by concatenation, a linear head that predicts the noise, and
``restored = noisy - head``. ``SegmentationUNet`` is the classical one: batch normalization and max pooling.
"""

from __future__ import annotations

import torch
from torch import nn


def _block(channels_in: int, channels_out: int, *, batch_norm: bool) -> nn.Sequential:
    """Two 3x3 convolutions, each followed by (batch normalization and) ReLU."""
    layers: list[nn.Module] = []
    for index in range(2):
        layers.append(nn.Conv2d(channels_in if index == 0 else channels_out, channels_out, 3, padding=1))
        if batch_norm:
            layers.append(nn.BatchNorm2d(channels_out))
        layers.append(nn.ReLU())
    return nn.Sequential(*layers)


class DenoisingUNet(nn.Module):
    """Residual denoiser: (N, 1, H, W) noisy to restored, in [0, 1]; H and W are multiples of 2**(levels - 1)."""

    def __init__(self, width: int = 24, levels: int = 3, channels: int = 1) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(levels)]
        self.encoders = nn.ModuleList(
            _block(channels if level == 0 else widths[level - 1], widths[level], batch_norm=False)
            for level in range(levels)
        )
        self.pool = nn.AvgPool2d(2)
        self.ups = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(widths[level + 1], widths[level], 2, stride=2), nn.ReLU())
            for level in range(levels - 1)
        )
        self.decoders = nn.ModuleList(
            _block(2 * widths[level], widths[level], batch_norm=False) for level in range(levels - 1)
        )
        self.head = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, noisy: torch.Tensor) -> torch.Tensor:
        """Restore ``noisy``."""
        skips: list[torch.Tensor] = []
        x = noisy
        for level, encoder in enumerate(self.encoders):
            x = encoder(self.pool(x) if level else x)
            skips.append(x)
        for level in reversed(range(len(self.ups))):
            x = self.decoders[level](torch.cat([skips[level], self.ups[level](x)], dim=1))
        clean: torch.Tensor = noisy - self.head(x)
        return clean


class SegmentationUNet(nn.Module):
    """Classifier of pixels: (N, C, H, W) in [0, 1] to (N, classes, H, W) logits; batch normalization, max pooling."""

    def __init__(self, width: int = 16, levels: int = 4, channels: int = 1, classes: int = 2) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(levels)]
        self.encoders = nn.ModuleList(
            _block(channels if level == 0 else widths[level - 1], widths[level], batch_norm=True)
            for level in range(levels)
        )
        self.pool = nn.MaxPool2d(2)
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(widths[level + 1], widths[level], 2, stride=2) for level in range(levels - 1)
        )
        self.decoders = nn.ModuleList(
            _block(2 * widths[level], widths[level], batch_norm=True) for level in range(levels - 1)
        )
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits of every pixel."""
        skips: list[torch.Tensor] = []
        x = image
        for level, encoder in enumerate(self.encoders):
            x = encoder(self.pool(x) if level else x)
            skips.append(x)
        for level in reversed(range(len(self.ups))):
            x = self.decoders[level](torch.cat([skips[level], self.ups[level](x)], dim=1))
        out: torch.Tensor = self.head(x)
        return out

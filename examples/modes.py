"""Exact mode against rate mode, and connection-wise against layer-wise normalization.

The same model and photograph each time; the score is the PSNR relative to the float network.
"""

# %%
from pathlib import Path

import snn_deploy as sd
from snn_deploy.conversion.convert import open_float_probe
from snn_deploy.data import images
from snn_deploy.data.metrics import psnr_db

model = Path(__file__).resolve().parent.parent / "models" / "denoiser_s25.onnx"
size = (64, 64)
clean = images.center_crop(images.load_photograph("camera", 1), *size)
noisy = images.add_noise(clean, 25, seed=0)
best = psnr_db(next(iter(open_float_probe(model, size)(noisy).values())), clean)
print(f"float network: {best:.3f} dB")

# %% Convert with several options
choices = {
    "exact, N = 127": sd.Options(),
    "exact, N = 31": sd.Options(levels=31),
    "rate, T = 16": sd.Options(mode="rate", steps=16),
    "rate, T = 16, layer-wise": sd.Options(mode="rate", steps=16, normalization="layer-wise"),
}
for name, options in choices.items():
    net = sd.convert(model, options=options, noise=25, size=size)
    run = net.run(noisy)
    events = sum(int(events.sum()) for events in run.events.values())
    change = psnr_db(run.output, clean) - best
    print(f"{name:26} {change:+.3f} dB, {events:,} events, {net.network.duration} steps")

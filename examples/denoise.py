"""Denoise a photograph with spikes: convert, run, score, save the pictures.

Run it from the root of the repository, or cell by cell in an editor that supports ``# %%`` cells.
"""

# %% A trained model of this repository, and a photograph that was not used for training
from pathlib import Path

import snn_deploy as sd
from snn_deploy.data import images
from snn_deploy.data.metrics import psnr_db
from snn_deploy.display.picture import write_comparison

root = Path(__file__).resolve().parent.parent
clean = images.center_crop(images.load_photograph("camera", 1), 128, 128)
noisy = images.add_noise(clean, 25, seed=0)

# %% Convert. Calibration uses noisy patches, because the network will process noisy images.
net = sd.convert(root / "models" / "denoiser_s25.onnx", noise=25, size=(128, 128))
print(net)

# %% Run
run = net.run(noisy)
print(run)
print(f"noisy {psnr_db(noisy, clean):.2f} dB, spiking {psnr_db(run.output, clean):.2f} dB")

# %% Save the clean, noisy and restored pictures side by side
out = Path("denoise.png")
write_comparison(out, clean, {"noisy": noisy, "spiking": run.output.astype("float32")})
print(f"wrote {out}")

"""Every public function once, in cells that an editor or Jupyter (with jupytext) runs one by one."""

# %% A model, a photograph, and what becomes of the model's nodes
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import skimage.data
from onnx.parser import parse_model
from PIL import Image

import snn_deploy as sd

MODEL = Path(__file__).resolve().parent.parent / "models" / "denoiser_s25.onnx"
Image.fromarray(skimage.data.camera()[224:288, 224:288]).save("photo.png")
photo = sd.read_image("photo.png")
noisy = (photo + np.random.default_rng(0).normal(0, 25 / 255, photo.shape)).astype(np.float32)

print(sd.inspect(MODEL, size=(64, 64)))

# %% Convert, and read what is lost
net = sd.convert(MODEL, noise=25, size=(64, 64))
print(net)
print(net.findings)

# %% The options of a published conversion
print(sd.convert(MODEL, noisy, sd.preset("spiking-unet"), size=(64, 64)))

# %% A model that reads a number beside the image becomes one that does not
two_inputs = parse_model("""<ir_version: 8, opset_import: ["" : 17]>
net (float[1, 1, 8, 8] image, float[1] level) => (float[1, 1, 8, 8] restored) {
    scaled = Mul(image, level)
    restored = Relu(scaled)
}""")
print(sd.inspect(sd.prepare_model(two_inputs, constants={"level": 0.25}).model))

# %% Keep it, and have it back
net.save("denoiser.snn")
net = sd.load("denoiser.snn")

# %% Run
result = net.run(noisy)
print(result)
result.save("restored.png")

# %% Compare backends, and prove one of them for all images
print(sd.verify(net, noisy, "reference,cpu", level="state"))
print(sd.prove(net, "cpu"))

# %% Energy and time
print(sd.load_target("loihi2"))
print(net.estimate(noisy, "loihi2"))

# %% A large image on one chip
plan, options = sd.plan(net, np.tile(noisy, (1, 1, 4, 4)), chips=1)
print(*options, f"chosen: {plan}", sep="\n")

# %% A stream, of which only changes are computed
video = sd.convert(MODEL, noise=25, size=(64, 64), options=sd.Options(stream=True))
stream = video.stream()
print(stream.push(noisy), stream.push(noisy), sep="\n")
print(sd.evaluate_stream(video, [noisy, noisy], "denoise", references=[photo, photo], model=MODEL))

# %% Scores over a folder
Path("pictures").mkdir(exist_ok=True)
for name in ("coins", "moon"):
    Image.fromarray(getattr(skimage.data, name)()[:64, :64]).save(f"pictures/{name}.png")
print(sd.evaluate(net, "pictures", "denoise", noise=25))

# %% Files for other tools, and one page about all of it
print(sd.emit(net, "denoiser.integer.onnx", "onnx"))
contents = sd.write_report(net, "report.html", photo, model=MODEL, noise=25)
print(contents.verdict)

# %% Train the network's integers, where PyTorch is installed; two iterations show that it works, 400 are the default
if find_spec("torch"):
    print(sd.finetune(MODEL, "pictures", "denoise", "tuned.snn", noise=25, iterations=2, batch=1, validation=0.5))

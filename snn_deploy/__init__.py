"""Trained U-Nets, from ONNX to spiking networks with the same spikes on the simulator, in Lava and on Loihi."""

__version__ = "0.1.0"

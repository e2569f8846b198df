"""Frontends read model files into float graphs; ``frontend.onnx`` is the one there is."""

"""The onnx backend: spike counts of ``exact``-mode networks, computed by onnxruntime."""

from snn_deploy_onnx.backend import OnnxBackend

__all__ = ["OnnxBackend"]

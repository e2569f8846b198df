"""What a backend is, what it returns, and how it is found."""

from snn_deploy.backend.protocol import Backend, Progress, Record, Run
from snn_deploy.backend.registry import list_backends, load_backend, run_backend
from snn_deploy.backend.stimulus import check_stimulus, digest_stimulus, quantize_images

__all__ = [
    "Backend",
    "Progress",
    "Record",
    "Run",
    "check_stimulus",
    "digest_stimulus",
    "list_backends",
    "load_backend",
    "quantize_images",
    "run_backend",
]

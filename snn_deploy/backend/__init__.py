"""What a backend is, what it returns, and how it is found."""

from snn_deploy.backend.protocol import Backend, Progress, Record, Run
from snn_deploy.backend.registry import backend_names, load_backend, run_backend
from snn_deploy.backend.stimulus import check_stimulus, stimulus_digest, stimulus_of

__all__ = [
    "Backend",
    "Progress",
    "Record",
    "Run",
    "backend_names",
    "check_stimulus",
    "load_backend",
    "run_backend",
    "stimulus_digest",
    "stimulus_of",
]

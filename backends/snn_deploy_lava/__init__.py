"""The Lava backend. Importing it imports neither Lava nor SciPy; both load in the worker process."""

from snn_deploy_lava.backend import LavaBackend

__all__ = ["LavaBackend"]

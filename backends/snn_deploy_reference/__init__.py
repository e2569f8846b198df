"""The reference backend: NumPy int64, one step after the other, obviously right. Any schedule, any mode."""

from snn_deploy_reference.backend import ReferenceBackend

__all__ = ["ReferenceBackend"]

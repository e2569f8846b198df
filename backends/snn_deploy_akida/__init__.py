"""The akida backend: exact-mode networks as layers of BrainChip's engine, which is installed apart and has its own licence."""

from snn_deploy_akida.backend import AkidaBackend

__all__ = ["AkidaBackend"]

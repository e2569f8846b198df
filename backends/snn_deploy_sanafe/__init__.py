"""The sanafe backend: plain integrate-and-fire networks on SANA-FE, another maker's simulator of a chip's cores and mesh."""

from snn_deploy_sanafe.backend import SanafeBackend

__all__ = ["SanafeBackend"]

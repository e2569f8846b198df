"""The fast backend: layer by layer over all steps, in integer or provably exact float convolutions."""

from snn_deploy_cpu.backend import CpuBackend

__all__ = ["CpuBackend"]

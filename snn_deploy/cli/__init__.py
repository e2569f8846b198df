"""The command line: ``snn-deploy`` and ``python -m snn_deploy``."""

from snn_deploy.cli.app import main

__all__ = ["main"]

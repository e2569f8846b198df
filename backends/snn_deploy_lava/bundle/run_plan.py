"""Run this plan: ``python run.py --help``. Needs Python 3.10 to 3.12 and lava-nc 0.10.0, nothing else."""

import sys
from pathlib import Path

from snn_deploy_lava.runtime.plan_command import main

if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent))

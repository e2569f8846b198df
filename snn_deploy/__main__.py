"""``python -m snn_deploy``."""

import sys

from snn_deploy.cli.app import main

if __name__ == "__main__":
    sys.exit(main())

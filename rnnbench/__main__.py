"""`python -m rnnbench` is launch.py, wherever the package is installed."""

import sys

from rnnbench.cli.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv))

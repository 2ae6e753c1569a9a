"""`python -m rnnbench`: the command line wherever the package is installed, the same as launch.py."""

import sys

from rnnbench.cli import run

if __name__ == "__main__":
    sys.exit(run(sys.argv))

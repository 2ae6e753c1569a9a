"""Trains what a config file describes: the command line of rnnbench in a checkout.

python launch.py --config=configs/bit_parity.py:lstm,small --workdir=runs/first
"""

import sys

from rnnbench.cli import run

if __name__ == "__main__":
    sys.exit(run(sys.argv))

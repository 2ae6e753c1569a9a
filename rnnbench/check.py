"""The checks of `mixers/contract.py`, to run on a mixer of your own:

    python -m rnnbench.check my_package.my_module:MyMixer [--dim 16] [--length 37] [heads=2 ...]

One line per check; exit code 1 if one fails.
"""

import sys

from rnnbench import terminal
from rnnbench.mixers.contract import main

if __name__ == "__main__":
    sys.exit(terminal.run(main, sys.argv[1:]))

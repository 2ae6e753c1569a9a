"""The tables of results/ that hold all nine presets against each other: a command each.

    python launch.py --config=configs/table.py:parity --workdir=runs/parity

The argument is the table, a folder in results/: see STUDIES. The rows of finished cells are added to it and
count as done, so a table can be filled in pieces, with --shard, over days and on several machines. Expected:
what the pages linked in results/README.md say. Cost on one CPU core: parity 38 min, controlled_bit_parity
44 min, dyck 1 h 28 min, mqar 2 h 23 min, original 2 h 46 min: its 40,000 steps are
shortened to 4,000, which its rows say, and its one seed is made three by
--config.population.seeds="(0,1,2)". The literature tables want an accelerator.
"""

from pathlib import Path

from rnnbench.config import ConfigError
from rnnbench.config.load import module
from rnnbench.config.schema import PRESETS

TASKS = module(Path(__file__).with_name("study.py")).TASKS
# table -> tasks, protocol, grid
STUDIES = {
    "parity": (("bit_parity",), "small", ()),
    "mqar": (("mqar",), "small", ()),
    "dyck": (("dyck",), "small", ()),
    "controlled_bit_parity": (("controlled_bit_parity",), "small", ()),
    "original": (tuple(TASKS), "original", (("train.steps", (4000,)),)),
    "parity_literature": (("bit_parity",), "literature", ()),
    "dyck_literature": (("dyck",), "literature", ()),
    "mqar_literature": (("mqar",), "literature", ()),
    "mqar_literature_64": (("mqar",), "literature_64", ()),
    "mqar_literature_128": (("mqar",), "literature_128", ()),
    "mqar_literature_512": (("mqar",), "literature_512", ()),
    "mqar_literature_mix": (("mqar",), "literature_mix", ()),
}


def get_config(argument="parity"):
    if argument not in STUDIES:
        raise ConfigError("", f"no table {argument!r}; choose one of: {' '.join(STUDIES)}")
    tasks, protocol, grid = STUDIES[argument]
    config = TASKS[tasks[0]].get_config(f"deltanet,{protocol}")
    config.study.models, config.study.tasks, config.study.grid = tuple(PRESETS), tasks, grid
    config.study.table = str(Path(__file__).parents[1] / "results" / argument)
    return config

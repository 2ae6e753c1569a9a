"""The output of a command line that does not train: help, a list, a config, a batch."""

from absl import flags
from ml_collections import ConfigDict

from rnnbench.config import first_line, load
from rnnbench.config.keys import comment, ordered
from rnnbench.mixers import PRESETS

USAGE = """Trains what a config file describes, and keeps the results in a workdir.

    python -m rnnbench --config=configs/bit_parity.py:lstm,small --workdir=runs/x [--config.KEY=VALUE ...]
    python -m rnnbench --help | --list | --config=... --show_config | --config=... --show_batch
    python -m rnnbench --config=configs/study.py --workdir=runs/study [--shard=3/8] [--dry_run]
    python -m rnnbench --config=FILE --workdir=FOLDER --sweep.optim.clip=0,1 --sweep.model.dim=32,64

In a checkout, `python launch.py` is the same. Config files that come with the package are found from any
folder. A command that cannot work ends before anything is compiled or written, with exit code 2 and one line
that names the flag to change.
"""


def show_help(values: flags.FlagValues) -> int:
    """The usage, and the flags."""
    print(USAGE)
    for flag in values.get_flags_for_module(values.find_module_defining_flag("workdir")):
        print(f"  --{flag.name:18} {first_line(flag.help)}")
    return 0


def show_list() -> int:
    """Tasks with their protocols, and the presets."""
    print("models (--config=configs/TASK.py:MODEL,PROTOCOL)")
    for name, preset in PRESETS.items():
        settings = " ".join(f"{key}={value}" for key, value in preset.settings.items())
        what = f"pattern {preset.pattern}" if preset.pattern else f"mixer {preset.mixer.__name__}"
        print(f"  {name:20} {what}  {settings}".rstrip())
    print("tasks and their protocols")
    for path in sorted(load.CONFIGS.glob("*.py")):
        there = vars(load.module(path))
        arguments = " ".join(there.get("PROTOCOLS", ()))
        print(f"  configs/{path.name:26} {arguments or 'a study, needs no MODEL'}")
    return 0


def show_config(config: ConfigDict) -> int:
    """Every key, value and comment."""
    for key, value in ordered(config).items():
        print(f"{key + ' = ' + repr(value):64} # {comment(key, config)}")
    return 0


def show_batch(config: ConfigDict) -> int:
    """Three samples of the first training case: tokens, and targets at the supervised positions."""
    import jax

    from rnnbench.tasks.contract import names
    from rnnbench.train import population

    task = population.prepare(config).task
    case = task.train_cases()[0][0]
    sizes = f"{task.vocab_size} tokens, {task.num_classes} classes"
    print(f"{config.task.name}, training case {case}, {sizes}")
    token_names, class_names = names(task)
    for i in range(3):
        batch = task.sample(jax.random.fold_in(jax.random.key(0), i), case)
        pairs = zip(batch.targets.tolist(), batch.mask.tolist())
        targets = [class_names[target] if asked else "." for target, asked in pairs]
        tokens = [token_names[token] for token in batch.inputs.tolist()]
        width = max(map(len, tokens + targets))
        print("tokens  " + " ".join(token.rjust(width) for token in tokens))
        print("targets " + " ".join(target.rjust(width) for target in targets))
    return 0

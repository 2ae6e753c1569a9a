"""The tasks by name, and the building of one from a config."""

from dataclasses import fields

from rnnbench.config import ConfigError
from rnnbench.config.build import COMMON
from rnnbench.config.schema import KEYS
from rnnbench.tasks import contract
from rnnbench.tasks.bit_parity import BitParity
from rnnbench.tasks.controlled_bit_parity import ControlledBitParity
from rnnbench.tasks.dyck import Dyck
from rnnbench.tasks.mqar import MQAR

TASKS = {
    "bit_parity": BitParity,
    "controlled_bit_parity": ControlledBitParity,
    "dyck": Dyck,
    "mqar": MQAR,
}


def takes(name: str, key: str) -> bool:
    """Whether a config key means something to this task of the registry; those of other sections do."""
    section, _, option = key.partition(".")
    known = {field.name for field in fields(TASKS[name])}
    if section == "task":
        return option in known or option in ("name", *COMMON)
    return key != "eval.pairs" or "eval_pairs" in known


def build(config):
    """The task that `config.task` names; fields come from `config.task`, `eval_*` from `config.eval`."""
    if config.task["module"]:
        return contract.build(config)
    if (name := config.task["name"]) not in TASKS:
        raise ConfigError("task.name", f"no task {name!r}, choose one of {', '.join(TASKS)}")
    for key, (default, _) in KEYS.items():
        section, _, option = key.partition(".")
        if not takes(name, key) and getattr(config, section).get(option, default) != default:
            own = " ".join(field.name for field in fields(TASKS[name]) if not field.name.startswith("eval_"))
            raise ConfigError(key, f"{name} has no such setting; it has: {own}")
    settings = {key: config.task[key] for key in config.task}
    settings |= {f"eval_{key}": config.eval[key] for key in config.eval}
    task = TASKS[name]
    return task(**{field.name: settings[field.name] for field in fields(task) if field.name in settings})

"""Why the PyTorch original could not recall more than three keys: its setting rebuilt, then mended.

    python launch.py --config=results/mqar_autopsy/study.py:PART --workdir=runs/autopsy_PART

PART is `ablation`, `ladder`, `linear` or `climb`: see the functions of these names. Finished cells are added
to the rows beside this file. A cell takes half a minute on one CPU core, a cell of `climb` up to 25 minutes.
"""

from rnnbench.config import ConfigError
from rnnbench.config.build import changed, experiment, tabled

PROTOCOL = {
    "model.name": "faulty_deltanet",
    "task.name": "faulty_recall",
    "model.dim": 16,
    "model.layers": 2,
    "model.heads": 1,
    "eval.batches": 32,
    "eval.every": 0,
    "train.batch_size": 32,
    "train.steps": 1500,
    "train.chunk": 500,
    "population.learning_rates": (3e-3, 1e-2),
    "population.seeds": (0, 1, 2),
}
# The rebuilt original, in the order in which the ladder mends it; and what else was suspected.
FAULTS = ("diagonal", "shared_ids", "one_query", "stale")
SUSPECTS = ("off_by_one", "number")


def cell(keys, faults=(), mixer="FaultyDeltaNet", **more):
    """Twice as many values as keys, as in the original (6 and 3), and 2 to `keys` pairs in training."""
    names = " ".join(fault for fault in FAULTS + SUSPECTS if fault in faults)
    return {
        "model.mixer": f"autopsy_mixer:{mixer}",
        "model.options.faults": names,
        "task.faults": names,
        "task.num_keys": keys,
        "task.num_values": 2 * keys,
        "task.pairs": (min(2, keys - 1), keys),
        **more,
    }


def ablation():
    """With four keys: the original with one fault mended, and the mended setting with one fault made."""
    one_less = [[fault for fault in FAULTS if fault != mended] for mended in FAULTS]
    one_more = [[fault] for fault in FAULTS + SUSPECTS]
    return [cell(4, faults) for faults in (FAULTS, *one_less, (), *one_more)]


def ladder():
    """One mend after another, each with 2, 3, 4 and 8 keys; the ends of the ladder come first."""
    rungs = sorted(range(len(FAULTS) + 1), key=lambda mended: mended % len(FAULTS))
    return [cell(keys, FAULTS[mended:]) for mended in rungs for keys in (2, 3, 4, 8)]


def linear():
    """Linear attention, which also read the diagonal: broken, read rightly, read wrongly only, mended."""
    kinds = (FAULTS, FAULTS[1:], ("diagonal",), ())
    return [cell(keys, faults, "FaultyLinearAttention") for keys in (2, 4) for faults in kinds]


def climb():
    """The mended setting with longer training, then with width 64, a short convolution, the diagonal.

    Settings that failed at 32 keys are not tried at 64.
    """
    convolved = (64, 4, ())
    sizes = [(16, 0, ()), (64, 0, ()), convolved, (64, 4, ("diagonal",))]
    return [
        cell(keys, faults, **{"model.dim": dim, "model.conv_size": conv, "train.steps": 2500})
        for keys, dim, conv, faults in [(keys, *size) for keys in (8, 16, 32) for size in sizes]
        + [(64, *convolved)]
    ]


PARTS = {"ablation": ablation, "ladder": ladder, "linear": linear, "climb": climb}


def get_config(argument="ablation"):
    if argument not in PARTS:
        raise ConfigError("", f"the autopsy has no part {argument!r}; choose one of: {' '.join(PARTS)}")
    model = "autopsy_mixer:FaultyDeltaNet"
    config = experiment("autopsy_task:FaultyRecall", f"{model},autopsy", {"autopsy": PROTOCOL})
    if argument == "climb":
        config.population.learning_rates = (3e-3,)  # one rate only, because these cells are large
    return tabled(__file__, [changed(config, settings) for settings in PARTS[argument]()])

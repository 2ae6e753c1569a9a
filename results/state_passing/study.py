"""State passing: one window of 32 tokens, or eight windows with the state carried from one to the next.

    python launch.py --config=results/state_passing/study.py --workdir=runs/state_passing

Expected: three of four seeds learn the task either way, and hold far longer with the state carried. Cost: 20
minutes on two CPU cores.
"""

from configs import bit_parity
from rnnbench.config.build import changed, experiment, tabled

# The quickstart had 1,000 steps when the rows were made; their overrides name what differs from that.
PROTOCOLS = {"quickstart_1000": bit_parity.PROTOCOLS["quickstart"] | {"train.steps": 1000}}
SHARED = {
    "model.conv_size": 4,
    "eval.lengths": (32, 64, 128, 256, 512, 1024),
    "eval.batches": 8,
    "train.steps": 1500,
    "train.batch_size": 32,
    "population.seeds": (0, 1, 2, 3),
}
WINDOWS = (
    {"task.train_lengths": (32, 32), "train.windows": 1},
    {"task.train_lengths": (256, 256), "train.windows": 8},
)


def get_config():
    config = changed(experiment("bit_parity", "deltanet_neg,quickstart_1000", PROTOCOLS), SHARED)
    return tabled(__file__, [changed(config, windows) for windows in WINDOWS])

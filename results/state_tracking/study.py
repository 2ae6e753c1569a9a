"""Groups in order of difficulty against depth: how many layers does tracking a group's state need?

    python launch.py --config=results/state_tracking/study.py --workdir=runs/state_tracking

Running products in Z2, Z5, S3, A4, S4, A5 and S5 with one to four layers, for presets that can track at least
Z2 in theory (rnnbench/tasks/theory.py): real diagonal transitions track Z2 alone of these; complex ones need
a layer for each step of a solvable group's series and cannot track A5 and S5; those of rank 1 down to -1
track all of them, in at most four layers. The tokens are generators and the identity: with all elements as
tokens the LSTM of this size learned neither A4 nor S4. `--shard=1/8` runs a part, `--dry_run` predicts the
time.
"""

from configs import group_word
from rnnbench.config.build import changed, tabled

GROUPS = ("Z2", "Z5", "S3", "A4", "S4", "A5", "S5")
DEPTHS = (1, 2, 3, 4)
SETTINGS = {"task.tokens": "generators", "study.positions": False}
MODELS = (
    "mamba_neg", "mamba3", "deltanet_neg", "gated_deltanet_neg", "deltaproduct2", "slice", "lstm",
)  # fmt: skip


def get_config():
    return tabled(
        __file__,
        [
            changed(
                group_word.get_config(f"{model},map"),
                {"task.group": group, "model.layers": depth} | SETTINGS,
            )
            for group in GROUPS
            for depth in DEPTHS
            for model in MODELS
        ],
    )

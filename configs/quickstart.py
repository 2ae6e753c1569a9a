"""Quickstart: nine models, of every family, on short bit parity in a few minutes.

    python launch.py --config=configs/quickstart.py --workdir=runs/quickstart

Expected: `lstm`, `deltanet_neg` and `mamba_neg` answer every bit correctly at eight times the longest
training length. `lru` learns the training lengths and no more. The others stay at chance, 0.5. Cost: see
results/quickstart/README.md.
"""

from configs import bit_parity

# Also those of the tables under results/.
MODELS = (
    "gpt", "linear_transformer", "lstm", "qlstm", "lru", "deltanet", "mamba", "deltanet_neg", "mamba_neg",
)  # fmt: skip


def get_config():
    return [bit_parity.get_config(f"{name},quickstart") for name in MODELS]

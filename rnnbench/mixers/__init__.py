"""The mixers: what moves information along time. One NNX module per file, all with one interface.

`Mixer(dim, *, rngs, **options)`; `init_state(batch, max_length) -> state` of static shapes;
`__call__(x [B, T, D], state=None) -> (y [B, T, D], state)`. One token (T = 1) is the decoding step, and a
sequence fed in pieces with the state carried gives what it gives in one. `python -m rnnbench.check` tells
whether a mixer of yours keeps these promises. A mixer whose call takes `axis_name` as well can be split over
time (see ops/over_time.py): x is then this device's part of the sequence, the states are those of the whole.
"""

from rnnbench.config import ConfigError
from rnnbench.config.build import imported
from rnnbench.mixers.attention import Attention
from rnnbench.mixers.deltanet import DeltaNet
from rnnbench.mixers.linear_attention import LinearAttention
from rnnbench.mixers.lru import LRU
from rnnbench.mixers.lstm import LSTM
from rnnbench.mixers.mamba import Mamba
from rnnbench.mixers.qlstm import QLSTM

MIXERS: dict[str, type] = {
    "attention": Attention,
    "linear_attention": LinearAttention,
    "lstm": LSTM,
    "qlstm": QLSTM,
    "lru": LRU,
    "deltanet": DeltaNet,
    "mamba": Mamba,
}


def find(name: str) -> type:
    """A mixer class by its name in MIXERS, or by the path of your own, `my_package.my_module:MyMixer`."""
    if name in MIXERS:
        return MIXERS[name]
    if ":" not in name:
        known = " ".join(MIXERS)
        raise ConfigError(
            "model.mixer", f"{name!r} is neither one of {known} nor of the form package.module:Name"
        )
    return imported("model.mixer", name)

"""The mixers, which move information along time. One NNX module per file, which ends with its presets.

`Mixer(dim, *, rngs, **options)`; `init_state(batch, max_length) -> state` of static shapes;
`__call__(x [B, T, D], state=None) -> (y [B, T, D], state)`. One token (T = 1) is the decoding step, and a
sequence fed in pieces with the state carried gives the same output as in one piece.
`python -m rnnbench.check` checks whether your mixer satisfies this contract. A mixer whose call also takes
`axis_name` can be split over time (see ops/over_time.py): x is then this device's part of the sequence, and
the states are those of the whole sequence.
"""

from rnnbench.errors import ConfigError
from rnnbench.mixers.preset import Preset, external
from rnnbench.plugins import modules


def _discovered() -> dict[str, Preset]:
    found: dict[str, Preset] = {}
    for module in modules(__name__, __path__):
        presets = getattr(module, "PRESETS", {})
        if twice := sorted(found.keys() & presets.keys()):
            raise ValueError(f"{module.__file__}: there is already a preset {twice[0]!r}")
        found |= presets
    return dict(sorted(found.items(), key=lambda item: item[1].order))


PRESETS = _discovered()


def find(name: str) -> Preset:
    """A preset by its name, or that of an external mixer by its path, `my_package.my_module:MyMixer`."""
    if ":" in name:
        return external(name)
    if name not in PRESETS:
        raise ConfigError("model.name", f"unknown model {name!r}; choose one of: {' '.join(PRESETS)}")
    return PRESETS[name]

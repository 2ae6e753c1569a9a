"""A config's label depends on its values beside those of its protocol, not on how they were set."""

import copy

import numpy as np
import pytest
from helpers import tiny
from ml_collections import ConfigDict

from configs import bit_parity
from rnnbench.config import ConfigError, load
from rnnbench.config.build import base, changed, experiment, label
from rnnbench.train.run import cell_name

pytestmark = pytest.mark.fast

CHANGED = (("model.dim", 16), ("train.steps", 500))
HEAD = "from configs import bit_parity\nfrom rnnbench.config.build import *\n\n\ndef get_config():\n    "
SMALL = 'bit_parity.get_config("lstm,small")'
# Ways to take `small` and give it another width and other steps.
WAYS = {
    "set": f"c = {SMALL}\n    c.train.steps, c.model.dim = 500, 16\n    return c\n",
    "changed": f'return changed({SMALL}, {{"train.steps": 500, "model.dim": 16}})\n',
    "copied": f"c = {SMALL}.copy_and_resolve_references()\n    c.train.steps, c.model.dim = 500, 16\n"
    "    return c\n",
    "a table of that name": 'table = bit_parity.PROTOCOLS["small"] | {"train.steps": 500, "model.dim": 16}\n'
    '    return experiment("bit_parity", "lstm,small", {"small": table})\n',
    "the table itself": 'bit_parity.PROTOCOLS["small"].update({"train.steps": 500, "model.dim": 16})\n'
    f"    try:\n        return {SMALL}\n    finally:\n"
    '        bit_parity.PROTOCOLS["small"].update({"train.steps": 2000, "model.dim": 32})\n',
    "the name alone": f"own = {SMALL}\n    c = base('bit_parity', 'lstm')\n"
    '    own.protocol = Protocol("")\n    for key, value in flat(own).items():\n        put(c, key, value)\n'
    '    c.protocol, c.train.steps, c.model.dim = "small", 500, 16\n    return c\n',
    "frozen": "from ml_collections import FrozenConfigDict\n"
    f'    return FrozenConfigDict(changed({SMALL}, {{"train.steps": 500, "model.dim": 16}}))\n',
    "numpy": "import numpy as np\n"
    f'    return changed({SMALL}, {{"train.steps": np.int64(500), "model.dim": np.int32(16)}})\n',
}


@pytest.mark.parametrize("way", WAYS)
def test_a_file_that_changes_a_protocol_is_custom(way, tmp_path):
    (tmp_path / "own.py").write_text(HEAD + WAYS[way])
    config = label(load.make(str(tmp_path / "own.py")))
    assert (config.protocol, config.overrides) == ("custom", CHANGED)
    by_flags = label(changed(bit_parity.get_config("lstm,small"), dict(CHANGED)))
    assert cell_name(config) == cell_name(by_flags)


@pytest.mark.parametrize("freeze", [False, True])
def test_what_is_free_leaves_the_label(freeze, tmp_path):
    (tmp_path / "own.py").write_text(
        f"{HEAD}c = {SMALL}\n    c.population.seeds, c.train.chunk, c.mesh.seed = (5,), 7, 1\n"
        "    from ml_collections import FrozenConfigDict as Frozen\n"
        f"    return Frozen(c) if {freeze} else c\n"
    )
    config = label(load.make(str(tmp_path / "own.py")))
    assert (config.protocol, config.overrides, cell_name(config)) == ("small", (), "bit_parity-small-lstm")
    assert config.population.seeds == (5,) and type(config) is ConfigDict


def test_set_back_it_is_the_protocol_again():
    config = changed(changed(tiny("lstm", {}), {"train.steps": 7}), {"train.steps": 20})
    assert label(config).protocol == "tiny"


def test_protocols_of_one_s_own_keep_their_names():
    assert label(experiment("bit_parity", "lstm,mine", {"mine": {"train.steps": 5}})).protocol == "mine"


def test_without_a_protocol_whatever_is_no_default_is_an_override():
    config = base()
    config.train.steps = 5
    assert label(config).overrides == (("train.steps", 5),) and config.protocol == "custom"


def test_an_external_mixer_is_a_model_of_the_protocol():
    """Like a preset: chosen by the argument or by a flag, it leaves the setting as it is."""
    path = "external_mixer:RunningSum"
    by_flag = label(changed(tiny("deltanet", {}), {"model.mixer": path}))
    by_argument = label(tiny(path, {}))
    assert by_flag == by_argument
    assert (by_flag.protocol, by_flag.model.name, by_flag.overrides) == ("tiny", "RunningSum", ())
    other = label(changed(tiny(path, {}), {"model.options.gain": 2.0, "model.name": "sum"}))
    assert (other.protocol, dict(other.overrides)) == ("custom", {"model.options.gain": 2.0})


def test_a_label_survives_copies_and_is_text_in_the_end():
    config = tiny("lstm", {})
    for other in (copy.deepcopy(config), config.copy_and_resolve_references(), ConfigDict(config)):
        other.train.steps = 7
        assert label(other).overrides == (("train.steps", 7),)
        assert type(other.protocol) is str
    assert "protocol: tiny" in str(config)


PLAIN = {
    "population.seeds": (range(3), (0, 1, 2)),
    "population.learning_rates": (np.array([0.1, 0.25]), (0.1, 0.25)),
    "eval.lengths": ((np.int64(8), (np.int64(3), 9)), (8, (3, 9))),
    "optim.clip": (np.float64(0.5), 0.5),
    "eval.cases": (({"length": [np.int64(3), 9]},), ({"length": [3, 9]},)),
}


@pytest.mark.parametrize("key", PLAIN)
def test_values_of_numpy_ranges_and_frozen_ones_are_plain_ones(key):
    given, wanted = PLAIN[key]
    value = changed(tiny("lstm", {}), {key: given})
    for name in key.split("."):
        value = value[name]
    assert repr(value) == repr(wanted)


@pytest.mark.parametrize("line", ["c.train.steps = np.int64(5)", "c.population.seeds = range(3)"])
def test_what_is_not_taken_is_refused_with_its_line(line, tmp_path):
    (tmp_path / "own.py").write_text(f"import numpy as np\n{HEAD}c = {SMALL}\n    {line}\n    return c\n")
    with pytest.raises(ConfigError, match=r"own\.py:8: TypeError: .*field '(steps|seeds)'") as error:
        load.make(str(tmp_path / "own.py"))
    assert "\n" not in str(error.value)


def test_numpy_values_that_fit_are_made_plain_where_a_file_is_read(tmp_path):
    (tmp_path / "own.py").write_text(
        f"import numpy as np\n{HEAD}c = {SMALL}\n"
        "    c.population.learning_rates = tuple(np.logspace(-3, -2, 3))\n"
        "    c.optim.clip = np.float64(0.5)\n    return [c]\n"
    )
    (config,) = load.make(str(tmp_path / "own.py"))
    assert [type(rate) for rate in config.population.learning_rates] == [float] * 3
    assert type(config.optim.clip) is float

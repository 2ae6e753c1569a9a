"""Every setting that cannot work is refused with the flag to change."""

from types import SimpleNamespace

import pytest

from rnnbench.config import ConfigError
from rnnbench.tasks import build

REFUSALS = [
    # task, its settings, the settings of eval, the flag to name
    ("sorting", {}, {}, "task.name"),
    ("bit_parity", {"supervision": "some"}, {}, "task.supervision"),
    ("bit_parity", {"train_lengths": (9, 3)}, {}, "task.train_lengths"),
    ("bit_parity", {"train_lengths": (0, 3)}, {}, "task.train_lengths"),
    ("bit_parity", {"train_lengths": (3, 9, 27)}, {}, "task.train_lengths"),
    ("bit_parity", {"train_lengths": (True, 3)}, {}, "task.train_lengths"),
    ("bit_parity", {"train_lengths": "3,9"}, {}, "task.train_lengths"),
    ("bit_parity", {}, {"lengths": 64}, "eval.lengths"),
    ("bit_parity", {}, {"lengths": (64, (9, 3))}, "eval.lengths"),
    ("bit_parity", {}, {"lengths": (64.0,)}, "eval.lengths"),
    ("bit_parity", {}, {"cases": ({"size": 64},)}, "eval.cases"),
    ("bit_parity", {}, {"cases": ({"length": 64, "pairs": 3},)}, "eval.cases"),
    ("bit_parity", {}, {"cases": (64,)}, "eval.cases"),
    ("bit_parity", {}, {"cases": ({"length": -1},)}, "eval.cases"),
    ("controlled_bit_parity", {"supervision": "last"}, {}, "task.supervision"),
    ("controlled_bit_parity", {"supervision": "some"}, {}, "task.supervision"),
    ("controlled_bit_parity", {"num_ones": 0}, {}, "task.num_ones"),
    ("controlled_bit_parity", {"num_ones": 12, "train_lengths": (11, 32)}, {}, "task.num_ones"),
    ("controlled_bit_parity", {"train_lengths": (33, 32)}, {}, "task.train_lengths"),
    ("controlled_bit_parity", {}, {"lengths": (8,)}, "eval.lengths"),
    ("controlled_bit_parity", {}, {"cases": ({"length": 8, "ones": 9},)}, "eval.cases"),
    ("controlled_bit_parity", {}, {"cases": ({"length": 8, "ones": "all"},)}, "eval.cases"),
    ("controlled_bit_parity", {}, {"cases": ({"length": 64, "depth": 9},)}, "eval.cases"),
    ("dyck", {"train_lengths": (3, 8)}, {}, "task.train_lengths"),
    ("dyck", {"train_lengths": (2, 9)}, {}, "task.train_lengths"),
    ("dyck", {"train_lengths": (8, 2)}, {}, "task.train_lengths"),
    ("dyck", {}, {"lengths": (63,)}, "eval.lengths"),
    ("dyck", {}, {"lengths": ((62, 65),)}, "eval.lengths"),
    ("dyck", {}, {"cases": ({"length": 65},)}, "eval.cases"),
    ("dyck", {}, {"cases": ({"length": 64, "depth": 0},)}, "eval.cases"),
    ("dyck", {"num_types": 0}, {}, "task.num_types"),
    ("dyck", {"num_types": 1, "mode": "close"}, {}, "task.num_types"),
    ("dyck", {"depth": 0}, {}, "task.depth"),
    ("dyck", {"depth": 2.5}, {}, "task.depth"),
    ("dyck", {"corruption": 1.5}, {}, "task.corruption"),
    ("dyck", {"corruption": float("nan")}, {}, "task.corruption"),
    ("dyck", {"mode": "open"}, {}, "task.mode"),
    ("mqar", {"num_keys": 4, "train_pairs": (2, 8)}, {}, "task.num_keys"),
    ("mqar", {"num_keys": 8}, {"lengths": (64,), "pairs": (16,)}, "task.num_keys"),
    ("mqar", {"num_keys": 0}, {}, "task.num_keys"),
    ("mqar", {"num_values": 1}, {}, "task.num_values"),
    ("mqar", {"unique_keys": 1}, {}, "task.unique_keys"),
    ("mqar", {"queries": "some"}, {}, "task.queries"),
    ("mqar", {"query_power": -0.1}, {}, "task.query_power"),
    ("mqar", {"filler": "zero"}, {}, "task.filler"),
    ("mqar", {"separator": "yes"}, {}, "task.separator"),
    ("mqar", {"separator": True, "queries": "spread"}, {}, "task.separator"),
    ("mqar", {"train_pairs": (8, 2)}, {}, "task.train_pairs"),
    ("mqar", {"train_pairs": (0, 2)}, {}, "task.train_pairs"),
    ("mqar", {"train_lengths": (31, 64)}, {}, "task.train_lengths"),
    ("mqar", {"train_lengths": (16, 16), "queries": "one"}, {}, "task.train_lengths"),
    ("mqar", {"train_lengths": (23, 23), "queries": "all"}, {}, "task.train_lengths"),
    ("mqar", {"train_lengths": (24, 24), "queries": "one", "separator": True}, {}, "task.train_lengths"),
    ("mqar", {"train_lengths": (32, 64), "queries": "all"}, {}, "task.train_lengths"),
    ("mqar", {"train_mix": ((64,),)}, {}, "task.train_mix"),
    ("mqar", {"train_mix": (64, 4)}, {}, "task.train_mix"),
    ("mqar", {"train_mix": ((64, 4, 0.0),)}, {}, "task.train_mix"),
    ("mqar", {"train_mix": ((64, 4, "much"),)}, {}, "task.train_mix"),
    ("mqar", {"train_mix": ((64, 17),)}, {}, "task.train_mix"),
    ("mqar", {}, {"lengths": (64, 128), "pairs": (4,)}, "eval.pairs"),
    ("mqar", {}, {"lengths": (64,), "pairs": (0,)}, "eval.pairs"),
    ("mqar", {}, {"lengths": (64,), "pairs": 4}, "eval.pairs"),
    ("mqar", {}, {"lengths": (64,), "pairs": (17,)}, "eval.lengths"),
    ("mqar", {}, {"cases": ({"length": 64},)}, "eval.cases"),
    ("mqar", {}, {"cases": ({"length": 64, "pairs": 17},)}, "eval.cases"),
]


@pytest.mark.parametrize("name, task, evaluation, key", REFUSALS)
def test_refusals_name_the_flag(name, task, evaluation, key):
    with pytest.raises(ConfigError) as refusal:
        build(SimpleNamespace(task={"name": name, "module": "", **task}, eval=evaluation))
    assert refusal.value.key == key
    assert str(refusal.value).startswith(f"--config.{key}: ") and "\n" not in str(refusal.value)
    assert key == "task.name" or len(str(refusal.value)) < 160  # that one lists the tasks

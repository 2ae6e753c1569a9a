"""What a step sends over each axis of the mesh, and parameters shared out over the devices of the batch."""

import jax
import numpy as np
import pytest
import traffic
from helpers import tiny

from rnnbench.parallel import mesh as meshes
from rnnbench.train import evaluate, population
from rnnbench.train.checkpoint import Checkpoints

PLACES = {
    "one": {},
    "seed": {"mesh.seed": 4},
    "data": {"mesh.data": 4},
    "sharded": {"mesh.data": 4, "mesh.params": "sharded"},
}
BATCH, DIM = 8, 32


@pytest.fixture(scope="module")
def trained():
    """{place: (setup, state after 3 steps, its metrics, collectives per step)} of the same population."""
    found = {}
    for name, place in PLACES.items():
        settings = {"model.dim": DIM, "population.seeds": (0, 1, 2, 3), "train.batch_size": BATCH, **place}
        setup = population.prepare(tiny("deltanet", settings))
        state = population.init_state(setup)
        chunk = population.make_train_chunk(setup).lower(state, np.int32(1)).compile()
        sent = traffic.collectives(chunk.as_text(), setup.mesh.devices.shape, setup.mesh.axis_names)
        found[name] = setup, *chunk(state, np.int32(3)), sent
    return found


def parameter_bytes(state):
    """Of one member."""
    return sum(leaf[0].size * 4 for leaf in jax.tree.leaves(state.members.params))


def test_members_on_different_devices_send_nothing(trained):
    assert trained["one"][3] == trained["seed"][3] == {}


def test_what_the_host_reads_of_members_is_not_gathered_either(trained):
    """On a CPU with fewer cores than devices, collectives at once can wait for each other forever."""
    setup, state, *_ = trained["seed"]
    chunk = population.make_train_chunk(setup).lower(state, np.int32(1)).compile()
    case = setup.task.selection_case()
    batch = evaluate.make_sampler(setup.task, case, BATCH, setup.mesh, case["length"])
    batch = batch.lower(jax.random.key(0), np.int32(0))
    answer = evaluate.make_answerer(setup.apply, setup.mesh, setup.mode)
    answer = answer.lower(state.members.params, batch.out_info)
    add_up = evaluate.make_adder(setup.mesh, setup.mode).lower(answer.out_info, batch.out_info)
    for program in (chunk, *(lowered.compile() for lowered in (batch, answer, add_up))):
        assert not [kind for kind in traffic.KINDS if f"{kind}(" in program.as_text()]


def test_the_batch_costs_an_all_reduce_of_the_gradient(trained):
    _, state, _, sent = trained["data"]
    assert set(sent) == {("all-reduce", "data")}
    count, total = sent["all-reduce", "data"]
    assert count == 2 and 0 <= total - parameter_bytes(state) <= 16  # with a few counts


def test_sharded_parameters_are_gathered_for_the_step(trained):
    _, state, _, sent = trained["sharded"]
    gathered, reduced = sent["all-gather", "data"], sent["all-reduce", "data"]
    assert gathered[1] > 0.8 * parameter_bytes(state) and reduced[1] < 1.1 * parameter_bytes(state)
    kernel = state.members.params["blocks"][0]["mlp"]
    leaves = [leaf for leaf in jax.tree.leaves((kernel, state.members.opt_state)) if leaf.ndim == 3]
    assert leaves
    for leaf in leaves:
        assert leaf.addressable_shards[0].data.size == leaf.size // 4, leaf.sharding


@pytest.mark.parametrize("place", ["seed", "data", "sharded"])
def test_training_is_the_same_wherever_it_runs(place, trained):
    metrics = trained["one"][2]
    for name, value in trained[place][2].items():
        np.testing.assert_allclose(value, metrics[name], rtol=1e-5, err_msg=name)


def test_a_checkpoint_of_sharded_parameters_goes_on_where_they_are_not(trained, tmp_path):
    state = trained["sharded"][1]
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(3, state, {})
    checkpoints.wait()
    for place in ("one", "data", "sharded"):
        restored, _, step = checkpoints.restore(population.state_shapes(trained[place][0]))
        assert step == 3
        same = jax.tree.map(lambda x, y: np.array_equal(x, y), restored.members.params, state.members.params)
        assert all(jax.tree.leaves(same))
    checkpoints.close()


@pytest.mark.fast
def test_the_longest_axis_is_split():
    mesh = jax.make_mesh((1, 4), ("seed", "data"))
    split = lambda *shape: meshes.by_member_in_parts(mesh, (2, *shape)).spec
    assert split(8, 16) == jax.P("seed", None, "data")
    assert split(16, 8) == jax.P("seed", "data", None)
    assert split(6, 16, 12) == jax.P("seed", None, "data", None)
    assert split(20, 6) == jax.P("seed", "data", None)
    assert split(6, 7) == jax.P("seed", None, None)
    assert split() == jax.P("seed")


HLO = """
%add (x: f32[], y: f32[]) -> f32[] {
  ROOT %z = f32[] add(%x, %y)
}
%scan (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %r = bf16[8,4]{1,0} collective-permute(%a), channel_id=3, source_target_pairs={{0,1},{1,0},{2,3},{3,2}}
}
%step (p: (s32[], f32[8])) -> (s32[], f32[8]) {
  %g = (f32[4,8]{1,0}, f32[2]{0}) all-reduce(%b, %c), replica_groups=[2,2]<=[2,2]T(1,0), to_apply=%add
  %w = (s32[], f32[8]) while(%t), condition=%c, body=%scan, backend_config={"known_trip_count":{"n":"5"}}
}
ENTRY %main (p: f32[8]) -> f32[8] {
  %s = (s32[], f32[8]) while(%u), condition=%c, body=%step
  %o = f32[8]{0} all-gather(%v), channel_id=4, replica_groups={{0,1,2,3}}, dimensions={0}
}
"""


@pytest.mark.fast
@pytest.mark.parametrize(
    "text",
    [
        "replica_groups={{0,2},{1,3}}, to_apply=%add",
        "replica_groups=[2,2]<=[2,2]T(1,0), to_apply=%add",
        "replica_groups=mesh['axis_0'=2,'axis_1'=2] {'axis_0'}, to_apply=%add",
        "channel_id=1, source_target_pairs={{0,2},{2,0},{1,3},{3,1}}",
    ],
)
def test_groups_in_every_notation(text):
    assert {frozenset(group) for group in traffic.groups_of(text)} == {frozenset({0, 2}), frozenset({1, 3})}


@pytest.mark.fast
def test_hlo_is_read_by_axis_and_round():
    """Groups {0, 2} lie along the first axis of 2 x 2 devices, pairs (0, 1) along the second, 5 rounds."""
    found = traffic.collectives(HLO, (2, 2), ("seed", "data"))
    assert found == {("all-reduce", "seed"): (1, 4 * 8 * 4 + 8), ("collective-permute", "data"): (5, 5 * 64)}


def test_its_command_prints_a_line_per_collective(capsys, monkeypatch):
    monkeypatch.setattr(traffic.jax.config, "update", lambda *_: None)  # the tests' devices stay
    sizes = ["model.dim=16", "model.layers=1", "mesh.data=2", "population.seeds=(0,)", "train.batch_size=8"]
    assert traffic.main(["configs/bit_parity.py:lru,small", *sizes]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["collective", "axis", "per", "step", "bytes"]
    assert ["all-reduce", "data"] in [line.split()[:2] for line in lines]
    assert traffic.main(["configs/bit_parity.py:lru,small", "mesh.data=3"]) == 2
    assert capsys.readouterr().err.startswith("--config.mesh.data: must divide")
    assert traffic.main(["configs/bit_parity.py:lru,small", "--devices=0"]) == 2
    assert capsys.readouterr().err.startswith("--devices: must be at least 1")

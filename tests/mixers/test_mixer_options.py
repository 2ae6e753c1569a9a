"""Every option of a mixer does what it says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from rnnbench.mixers import PRESETS
from rnnbench.mixers.attention import rotate
from rnnbench.mixers.contract import functional
from rnnbench.mixers.short_conv import ShortConv
from rnnbench.ops.attention import softmax_attention
from rnnbench.sizes import num_params, state_size

DIM, BATCH = 16, 2


def build(name, **options):
    return PRESETS[name].build(DIM, rngs=nnx.Rngs(0), **options)


def run(mixer, x, state=None):
    """Compiled as a whole: op by op, a mixer costs a compilation per operation."""
    forward, params = functional(mixer)
    return forward(params, x, state)


def inputs(length=13, dim=DIM):
    return jax.random.normal(jax.random.key(7), (BATCH, length, dim))


@pytest.mark.parametrize("name, extra", [("lstm", {}), ("qlstm", {"heads": 1})])
def test_forget_bias_sets_how_long_memory_lasts(name, extra):
    """With input and recurrence silenced, c decays by exactly σ(forget_bias) per step."""
    mixer = build(name, forget_bias=2.0, **extra)
    state = mixer.init_state(BATCH, 1) | {"c": jnp.ones((BATCH, DIM))}
    for _ in range(3):
        _, state = run(
            mixer,
            jnp.zeros((BATCH, 1, DIM)),
            state | ({"h": jnp.zeros((BATCH, DIM))} if name == "lstm" else {}),
        )
    np.testing.assert_allclose(state["c"], jax.nn.sigmoid(2.0) ** 3, rtol=1e-5)


@pytest.mark.parametrize("power", [0.3, 1.6])
def test_slstm_forget_power(power):
    """The bias of f falls from 5 to −7 within each head: with 0.3 mostly at once, with 1.6 mostly late."""
    bias = np.asarray(build("slstm", heads=2, forget_power=power).gates.bias[...])
    falling = 5 - 12 * np.linspace(0, 1, DIM // 2) ** power
    np.testing.assert_allclose(bias[DIM:], np.tile(falling, 2), rtol=1e-5)
    assert not bias[:DIM].any()


def test_slstm_starts_with_a_closed_input_gate():
    """i = exp(−100) of an empty memory: c / n is tanh(z̃) all the same."""
    mixer = build("slstm", heads=2, conv_size=0)
    mixer.gates.bias[...] = mixer.gates.bias[...].at[:DIM].set(-100.0)
    mixer.gates.kernel[...] *= 0
    y, state = run(mixer, inputs())
    assert all(np.isfinite(leaf).all() for leaf in (y, *state.values()))
    loss = lambda params: functional(mixer)[0](params, inputs(), None)[0].sum()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.grad(loss)(functional(mixer)[1])))


def test_rglru_gates_start_as_small_as_those_of_an_undivided_matrix():
    kernel = PRESETS["rglru"].build(64, rngs=nnx.Rngs(0), heads=4).gates_kernel[...]
    assert kernel.std() == pytest.approx(64**-0.5, rel=0.1)


@pytest.mark.parametrize("r_min, r_max", [(0.0, 0.5), (0.9, 0.999), (0.7, 0.7)])
def test_lru_ring(r_min, r_max):
    """Without input the state turns and shrinks by λ: all radii on the ring, phases within max_phase."""
    mixer = build("lru", state_dim=512, r_min=r_min, r_max=r_max, max_phase=1.5)
    _, state = run(mixer, jnp.zeros((1, 1, DIM)), {"h": jnp.ones((1, 512), jnp.complex64)})
    radius, phase = np.abs(state["h"]), np.angle(state["h"])
    assert radius.min() >= r_min - 1e-5 and radius.max() <= r_max + 1e-5
    assert phase.min() >= 0 and phase.max() <= 1.5
    # uniform by area: half of them beyond the root mean square of the two radii
    assert np.median(radius) == pytest.approx(np.sqrt((r_min**2 + r_max**2) / 2), abs=0.03)
    assert np.median(phase) == pytest.approx(0.75, abs=0.1)


def test_lru_state_has_the_size_of_its_input():
    """γ: for white input E|h|² → E|B x|² whatever the radius."""
    x = jax.random.normal(jax.random.key(0), (16, 100, DIM))
    for radius in (0.5, 0.9):
        _, state = run(build("lru", state_dim=256, r_min=radius, r_max=radius), x)
        assert np.mean(np.abs(state["h"]) ** 2) == pytest.approx(1.0, rel=0.15)


def test_mamba_step_sizes_start_within_their_range():
    mixer = build("mamba", expand=32, dt_min=1e-2, dt_max=0.5)
    step = np.asarray(jax.nn.softplus(mixer.dt_bias[...]))
    assert step.min() >= 1e-2 * 0.999 and step.max() <= 0.5 * 1.001
    assert np.median(step) == pytest.approx(np.sqrt(1e-2 * 0.5), rel=0.25)  # log-uniform


@pytest.mark.parametrize("negative", [False, True])
def test_mamba_eigenvalues(negative):
    """Long steps drive Ā to its lower end: 0, or −1 with negative eigenvalues; short ones to 1."""
    mixer = build("mamba", conv_size=0, negative_eigenvalues=negative)
    start = {"h": jnp.ones((1, 2 * DIM, 16))}
    for bias, lowest, highest in (
        ((40.0, -1.0, -1.0), (-40.0, 1.0, 1.0)) if negative else ((40.0, 0, 0), (-40.0, 1, 1))
    ):
        mixer.dt_bias[...] = jnp.full(2 * DIM, bias)
        _, state = run(mixer, jnp.zeros((1, 1, DIM)), start)
        assert np.min(state["h"]) == pytest.approx(lowest, abs=1e-5)
        assert np.max(state["h"]) == pytest.approx(highest, abs=1e-5)


@pytest.mark.parametrize("negative, top", [(False, 1.0), (True, 2.0)])
def test_deltanet_write_strength(negative, top):
    x = 30 * inputs(100)
    strength = build("deltanet", negative_eigenvalues=negative).write_strength(x)
    assert strength.min() >= 0 and strength.min() < 0.05 * top
    assert strength.max() <= top and strength.max() > 0.95 * top
    biased = build("deltanet", negative_eigenvalues=negative, beta_bias=-3.0).write_strength(0 * x)
    np.testing.assert_allclose(biased, top * jax.nn.sigmoid(-3.0), rtol=1e-5)


def test_deltanet_neg_reflects():
    """β = 2 at every step with one key flips the sign of what is stored along it: a state of period two."""
    mixer = build("deltanet", negative_eigenvalues=True, heads=1, beta_bias=40.0)
    mixer.qkv.linear.kernel[...] = (
        mixer.qkv.linear.kernel[...].at[:, 2 * DIM :].set(0.0)
    )  # nothing is written
    x = jnp.tile(inputs(1), (1, 2, 1))
    start = {"memory": jax.random.normal(jax.random.key(2), (BATCH, 1, DIM, DIM))}
    _, once = run(mixer, x[:, :1], start)
    _, twice = run(mixer, x, start)
    np.testing.assert_allclose(twice["memory"], start["memory"], atol=1e-4)
    assert np.abs(once["memory"] - start["memory"]).max() > 0.1


@pytest.mark.parametrize("name", ["gpt", "linear_transformer", "qlstm", "deltanet", "mamba"])
def test_conv_size_adds_a_tail_to_the_state(name):
    for conv_size in (2, 4):
        tail = build(name, conv_size=conv_size).init_state(BATCH, 5)["conv"]
        assert tail.shape[:2] == (BATCH, conv_size - 1)
    assert "conv" not in build(name, conv_size=0).init_state(BATCH, 5)


def test_short_conv_by_its_definition():
    conv = ShortConv(3, 4, rngs=nnx.Rngs(0), dtype=jnp.float32, use_bias=True)
    conv.bias[...] = jnp.arange(3.0)
    x = np.asarray(inputs(6, 3))
    padded = np.concatenate([np.zeros((BATCH, 3, 3)), x], axis=1)
    kernel = np.asarray(conv.kernel[...])
    expected = np.stack([(kernel * padded[:, t : t + 4]).sum(axis=1) for t in range(6)], axis=1)
    y, tail = conv(x)
    np.testing.assert_allclose(y, jax.nn.silu(expected + np.arange(3.0)[None, None]), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(tail, x[:, -3:])
    reset = jnp.zeros((BATCH, 6), bool).at[0, 4].set(True).at[1, jnp.array([0, 5])].set(True)
    packed, tail = conv(x, jnp.ones((BATCH, 3, 3)), reset)
    for b, start, stop in ((0, 4, 6), (1, 0, 5), (1, 5, 6)):
        alone, alone_tail = conv(x[b : b + 1, start:stop])
        np.testing.assert_allclose(packed[b, start:stop], alone[0], rtol=1e-4, atol=1e-5)
        if stop == 6:
            np.testing.assert_allclose(tail[b], alone_tail[0])


def test_positions_of_attention():
    """Without positions the last token sees a set; alibi's preference for near keys is exactly its slope."""
    x = inputs(9)
    swapped = x[:, jnp.array([1, 0, *range(2, 9)])]
    last = lambda positions, x: run(build("gpt", positions=positions), x)[0][:, -1]
    np.testing.assert_allclose(last("none", swapped), last("none", x), atol=1e-5)
    for positions in ("rope", "alibi"):
        assert np.abs(last(positions, swapped) - last(positions, x)).max() > 1e-4

    flat = jnp.zeros((1, 9, 2, 4))  # all scores equal: what is left is the bias
    one_hot = jnp.tile(jnp.eye(9)[None, :, None], (1, 1, 2, 1))
    weights = softmax_attention(flat, flat, one_hot, slopes=np.array([1.0, 0.25]))[0, -1]
    distance = np.arange(8, -1, -1.0)
    for head, slope in enumerate((1.0, 0.25)):
        expected = np.exp(-slope * distance)
        np.testing.assert_allclose(weights[head], expected / expected.sum(), rtol=1e-5)


def test_rope_scores_depend_on_distance_only():
    q, k = (jax.random.normal(jax.random.key(i), (1, 1, 1, 8)) for i in range(2))
    score = lambda t, s: float(jnp.sum(rotate(q, t) * rotate(k, s)))
    assert score(5, 3) == pytest.approx(score(105, 103), abs=1e-4)
    assert abs(score(5, 3) - score(5, 2)) > 1e-3


def test_kv_cache_is_never_silently_wrong():
    """Right up to its end, NaN beyond, however the overflow comes about; and it stays so."""
    mixer = build("gpt")
    forward, params = functional(mixer)
    x = inputs(12)
    whole, _ = forward(params, x, None)
    y, state = forward(params, x[:, :8], mixer.init_state(BATCH, 8))
    np.testing.assert_allclose(y, whole[:, :8], atol=1e-5)
    for extra in (x[:, 8:9], x[:, 8:12], jnp.tile(x, (1, 2, 1))):
        y, after = forward(params, extra, state)
        assert np.isnan(y).all()
        assert np.isnan(forward(params, x[:, :1], after)[0]).all()


def test_growing_state_grows():
    """Without a cache attention carries the tokens seen, no more and no less."""
    mixer = build("gpt")
    _, state = run(mixer, inputs(5))
    assert set(state) == {"k", "v"} and state["k"].shape[1] == 5
    _, state = run(mixer, inputs(3), state)
    assert state["v"].shape[1] == 8


def test_sizes():
    mixer = build("lru", state_dim=5)
    assert state_size(mixer, 9) == 10  # complex values count twice
    assert state_size(build("gpt"), 9) == 2 * 9 * DIM  # the position does not count
    assert state_size(build("mamba", conv_size=4), 9) == 2 * DIM * (16 + 3)
    assert num_params(nnx.state(build("gpt"), nnx.Param)) == 4 * DIM**2

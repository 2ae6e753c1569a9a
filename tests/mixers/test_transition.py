"""What presets declare about the transition of their state, against its Jacobian at random inputs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from flax import nnx
from helpers import presets
from scipy.sparse.csgraph import connected_components

from rnnbench.mixers import PRESETS
from rnnbench.mixers.preset import Preset

DIM = 16
SMALL = {"heads": 2, "state_dim": 8}  # settings of the mixers that have them: heads of 8 channels
SCALES = (1, 1, 1, 2, 2, 4, 4, 16)  # of the inputs
# Held fixed: the last inputs of a convolution, and the log-scale of a state with exponential gates.
FIXED = ("conv", "m")
UNMEASURED = ("", "attention", "hybrid")
MEASURED = [name for name, preset in PRESETS.items() if preset.structure not in UNMEASURED]


@functools.cache
def transitions(name):
    """∂S_t/∂S_{t-1} [inputs, states, n, n] of a preset with noise on its parameters.

    Of a complex value z the coordinates are z and its conjugate.
    """
    settings = {key: value for key, value in SMALL.items() if key in PRESETS[name].parameters}
    mixer = PRESETS[name].build(DIM, rngs=nnx.Rngs(0), **settings)
    graphdef, params = nnx.split(mixer)
    params, start = noisy(params, 0.3, jax.random.key(1)), mixer.init_state(1, 4)
    state, other = (noisy(start, 1.0, jax.random.key(i)) for i in range(2))
    x = jax.random.normal(jax.random.key(3), (len(SCALES), DIM)) * jnp.array(SCALES, jnp.float32)[:, None]
    step = lambda state, x: nnx.merge(graphdef, params)(x[None, None], state)[1]
    at = memory(step, state, x[0])

    def kept_after(kept, x):
        return parts(step(replaced(state, at, kept), x), at)

    def jacobian(x, kept):
        rows = zip(jax.jacrev(kept_after)(kept, x), kept, strict=True)
        return jnp.concatenate([jnp.concatenate([b.reshape(y.size, -1) for b in row], 1) for row, y in rows])

    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), parts(state, at), parts(other, at))
    every = jax.vmap(jax.vmap(jacobian, (None, 0)), (0, None))
    return in_complex_coordinates(np.asarray(jax.jit(every)(x, both), np.float64), parts(state, at))


def memory(step, state, x):
    """The places of the leaves that depend on their own last value; a mere copy of the input does not."""
    named = jax.tree_util.tree_leaves_with_path(state)
    name = lambda path: jax.tree_util.keystr(path[-1:], simple=True)
    floats = [
        i
        for i, (path, leaf) in enumerate(named)
        if jnp.issubdtype(leaf.dtype, jnp.inexact) and name(path) not in FIXED
    ]

    def sensitivity(kept, i):
        after = lambda part: parts(step(replaced(state, [i], [part]), x), [i])[0]
        return jax.vjp(after, kept)[1](jax.random.normal(jax.random.key(4), kept.shape))[0]

    found = jax.jit(lambda: [sensitivity(parts(state, [i])[0], i) for i in floats])()
    return [i for i, gradient in zip(floats, found) if np.abs(gradient).max() > 0]


def parts(state, at):
    """The leaves at these places, each with a first axis of its real and imaginary part, or its real one."""
    split = lambda x: jnp.stack([x.real, x.imag]) if jnp.iscomplexobj(x) else x[None]
    leaves = jax.tree.leaves(state)
    return [split(leaves[i]) for i in at]


def replaced(state, at, kept):
    """The state with these parts at these places."""
    leaves, structure = jax.tree.flatten(state)
    for i, leaf in zip(at, kept, strict=True):
        leaves[i] = jax.lax.complex(*leaf) if len(leaf) == 2 else leaf[0]
    return jax.tree.unflatten(structure, leaves)


def in_complex_coordinates(J, kept):
    bases = [
        np.kron([[1, 1j], [1, -1j]] if len(leaf) == 2 else np.eye(1), np.eye(leaf[0].size)) for leaf in kept
    ]
    basis = scipy.linalg.block_diag(*bases)
    return J if np.isrealobj(basis) else basis @ J @ np.linalg.inv(basis)


def noisy(tree, scale, key):
    """Normal noise on the floats of a tree; integers, such as positions, stay."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(key, len(leaves))
    add = lambda leaf, key: leaf + scale * jax.random.normal(key, leaf.shape, leaf.dtype)
    inexact = lambda leaf: jnp.issubdtype(leaf.dtype, jnp.inexact)
    return jax.tree.unflatten(structure, [add(x, k) if inexact(x) else x for x, k in zip(leaves, keys)])


def blocks(J):
    """The blocks of the coordinates that depend on each other: a list of [inputs, states, size, size]."""
    _, label = connected_components(np.abs(J).max((0, 1)) > 1e-5, directed=False)
    places = [np.flatnonzero(label == i) for i in range(label.max() + 1)]
    return [J[..., place, :][..., place] for place in places]


def rank(block):
    """The largest rank of what is off the diagonal: of the rows of one half and the columns of the other."""
    if block.shape[-1] == 1:
        return 0
    half = block.shape[-1] // 2
    corners = np.stack([block[..., :half, -half:], block[..., -half:, :half]])
    size = np.linalg.svd(corners, compute_uv=False)
    return int((size > 1e-4).sum(-1).max())


def check(J, spectrum, structure, selective):
    """AssertionError unless the transitions are as declared."""
    same = lambda a, b: np.abs(a - b).max() < 1e-4
    assert selective == (not same(J[0, 0], J[1, 0])), "selective"
    assert (structure == "nonlinear") == (not same(J[:, 0], J[:, 1])), "nonlinear"
    if structure == "nonlinear":
        return
    found = blocks(J)
    sizes = {block.shape[-1] for block in found}
    eigenvalues = np.concatenate([np.linalg.eigvals(block).ravel() for block in found])
    assert (spectrum == "unbounded") == (np.abs(eigenvalues).max() > 1 + 1e-3), "outside of the unit disc"
    real = spectrum not in ("complex", "unbounded")
    assert real == (np.abs(eigenvalues.imag).max() < 2e-3), "complex"
    if real:
        least = eigenvalues.real.min()
        assert (spectrum in ("(-1, 1]", "[-1, 1]")) == (least < -1e-2), "negative"
        assert least < -1e-2 or least > -1e-3, "slightly negative"
        assert (spectrum == "[-1, 1]") == (least < -0.9), "as low as -1"
    if structure == "diagonal":  # a rotation of two real coordinates is diagonal in complex ones
        assert sizes == ({1} if spectrum != "complex" else sizes & {1, 2}), "diagonal"
    elif structure == "dense":
        assert {rank(block) for block in found} == {size // 2 for size in sizes}, "dense"
    else:
        assert structure == f"diagonal + rank {max(rank(block) for block in found)}", "rank"
        assert min(sizes) >= 2 * int(structure[-1]) + 2, "too small to tell"


@pytest.mark.parametrize("name", presets(among=MEASURED))
def test_the_transition_is_as_declared(name):
    preset = PRESETS[name]
    check(transitions(name), preset.spectrum, preset.structure, preset.selective)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_declares_its_structure(name):
    assert PRESETS[name].structure
    assert PRESETS[name].structure in UNMEASURED or PRESETS[name].selective is not None


WRONG = [
    ("deltanet_neg", {"spectrum": "[0, 1]"}, "negative"),
    ("deltanet", {"spectrum": "[-1, 1]"}, "negative"),
    ("rwkv7", {"spectrum": "[-1, 1]"}, "as low as -1"),
    ("lru", {"spectrum": "[0, 1]"}, "complex"),
    ("mamba", {"selective": False}, "selective"),
    ("linear_transformer", {"selective": True}, "selective"),
    ("deltanet", {"structure": "diagonal"}, "diagonal"),
    ("deltanet", {"structure": "diagonal + rank 2"}, "rank"),
    ("deltanet", {"structure": "dense"}, "dense"),
    ("qlstm", {"structure": "diagonal + rank 1"}, "rank"),
    ("qlstm", {"structure": "nonlinear"}, "nonlinear"),
    ("lstm", {"structure": "diagonal"}, "nonlinear"),
]


@pytest.mark.parametrize("name, wrong, message", WRONG, ids=[f"{n}-{w}" for n, w, _ in WRONG])
def test_a_wrong_declaration_is_found(name, wrong, message):
    preset = PRESETS[name]
    declared = {key: getattr(preset, key) for key in ("spectrum", "structure", "selective")}
    with pytest.raises(AssertionError, match=message):
        check(transitions(name), **declared | wrong)


@pytest.mark.parametrize(
    "declared, message",
    [
        (
            {"spectrum": "(0, 1)", "structure": "diagonal"},
            "Mixer: spectrum must be one of .*got '\\(0, 1\\)'",
        ),
        ({"structure": "rank 1"}, "Mixer: structure must be one of"),
        ({"selective": "yes"}, "Mixer: selective must be one of"),
        ({"structure": "diagonal"}, "spectrum '' does not go with structure 'diagonal'"),
        ({"spectrum": "[0, 1]", "structure": "nonlinear"}, "does not go with structure 'nonlinear'"),
    ],
)
def test_unknown_words_are_refused(declared, message):
    class Mixer:
        def __init__(self, dim, *, rngs):
            pass

    with pytest.raises(TypeError, match=message):
        Preset(Mixer, **declared)

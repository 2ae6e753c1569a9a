"""Every op, every way of computing it, against the loops of naive.py: outputs, final state, all gradients."""

import functools
import math
import re
import sys

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from helpers import assert_trees_close
from jax.sharding import AxisType

from rnnbench.ops import naive
from rnnbench.ops.block_scan import block_scan
from rnnbench.ops.chunks import chunk_length
from rnnbench.ops.delta_rule import delta_rule, generalised_delta_rule
from rnnbench.ops.linear_attention import linear_attention
from rnnbench.ops.linear_scan import linear_scan
from rnnbench.ops.max_plus import max_plus
from rnnbench.ops.products import matmul, matmul_columns, matmul_rows
from rnnbench.ops.recurrent import recurrent
from rnnbench.ops.selective_scan import selective_scan

BATCH, HEADS, KEY, VALUE, DIM, STATES = 2, 2, 4, 3, 3, 4
LENGTHS = (1, pytest.param(7, marks=pytest.mark.slow), 63, pytest.param(100, marks=pytest.mark.slow))


def normal(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


def scan_inputs(length, kind):
    rng = np.random.default_rng(length)
    shape = (BATCH, length, DIM, 2)
    a, b, state = (
        rng.uniform(-1, 1, shape).astype(np.float32),
        normal(rng, *shape),
        normal(rng, BATCH, DIM, 2),
    )
    if kind == "real":
        return a, b, state
    a = a * np.exp(1j * normal(rng, *shape)).astype(np.complex64)
    if kind == "complex":
        return a, b + 1j * normal(rng, *shape), state + 1j * normal(rng, BATCH, DIM, 2)
    if kind == "complex a, real b":
        return a, b, state + 1j * normal(rng, BATCH, DIM, 2)
    if kind.endswith("constant over batch and time"):
        return a[:1, :1], b + 1j * normal(rng, *shape), state + 0j
    raise ValueError(kind)


def max_plus_inputs(length, kind):
    rng = np.random.default_rng(length)
    shape = (BATCH, length, DIM)
    return -0.3 * np.abs(normal(rng, *shape)), normal(rng, *shape), 3 * normal(rng, BATCH, DIM)


def selective_inputs(length, kind):
    rng = np.random.default_rng(length)
    delta = np.exp(normal(rng, BATCH, length, DIM) - 1)
    delta[1] *= 30  # the second sequence forgets nearly all at each step
    sequences = [normal(rng, BATCH, length, n) for n in (DIM, STATES, STATES)]
    A, D = -np.exp(normal(rng, DIM, STATES)), normal(rng, DIM)
    return sequences[0], delta, A, sequences[1], sequences[2], D, normal(rng, BATCH, DIM, STATES)


def log_decays(rng, length, kind):
    """The first sequence decays mildly; the second from hardly at all to e^-300, in one step."""
    if kind.endswith("no decay"):
        return None
    shape = (length, HEADS) + (() if kind.endswith("decay per head") else (KEY,))
    return -np.stack([rng.uniform(0, 0.3, shape), 10 ** rng.uniform(-3, 2.5, shape)]).astype(np.float32)


def attention_inputs(length, kind):
    rng = np.random.default_rng(length)
    q, k, v = (normal(rng, BATCH, length, HEADS, n) for n in (KEY, KEY, VALUE))
    return q, k, v, log_decays(rng, length, kind), normal(rng, BATCH, HEADS, KEY, VALUE)


def delta_inputs(length, kind):
    q, k, v, log_decay, state = attention_inputs(length, kind)
    beta = np.random.default_rng(length).uniform(0, 2, k.shape[:3]).astype(np.float32)
    return q, k / np.linalg.norm(k, axis=-1, keepdims=True), v, beta, log_decay, state


def resets(kind, length):
    """None, or [B, T]: at the first and the last token and two in a row, elsewhere in the other sequence."""
    if not kind.startswith("resets"):
        return None
    reset = np.zeros((BATCH, length), bool)
    reset[0, [0, length // 2, length // 2 - 1, -1]] = True
    reset[1, length // 3 :: 20] = True
    return reset


def general_inputs(length, kind):
    """Erase and write keys apart, eigenvalues 1 − eᵀu in [−1, 1]; "n steps": so many per token."""
    q, _, _, log_decay, state = attention_inputs(length, kind)
    rng, steps = np.random.default_rng(length), re.search(r"(\d) steps", kind)
    shape = (BATCH, length, HEADS, *((int(steps[1]),) if steps else ()))
    u = normal(rng, *shape, KEY)
    u /= np.linalg.norm(u, axis=-1, keepdims=True)
    e = u + 0.2 * normal(rng, *shape, KEY)
    e *= rng.uniform(0, 1.6, (*shape, 1)).astype(np.float32) / np.linalg.norm(e, axis=-1, keepdims=True)
    return q, u, e, normal(rng, *shape, VALUE), log_decay, state


def block_inputs(length, kind):
    """Blocks of spectral norm at most 1, some of them orthogonal."""
    rng = np.random.default_rng(length)
    blocks, _ = np.linalg.qr(normal(rng, BATCH, length, HEADS, KEY, KEY))
    blocks[1] *= rng.uniform(0, 1, (length, HEADS, 1, KEY))
    columns = (VALUE,) if kind.endswith("columns") else ()
    return blocks, normal(rng, BATCH, length, HEADS, KEY, *columns), normal(rng, BATCH, HEADS, KEY, *columns)


DECAYS = ("no decay", "decay per head", "decay per channel")
STEPS = ("2 steps, decay per channel", "resets, 3 steps, no decay", "3 steps, decay per head")
OPS = {
    "linear_scan": (
        linear_scan,
        naive.linear_scan,
        scan_inputs,
        (
            "real",
            "complex",
            "complex a, real b",
            "constant over batch and time",
            "resets, constant over batch and time",
        ),
        ({"impl": "associative"}, {"impl": "sequential"}),
    ),
    "max_plus": (
        max_plus,
        naive.max_plus,
        max_plus_inputs,
        ("plain", "resets"),
        ({"impl": "associative"}, {"impl": "sequential"}),
    ),
    "selective_scan": (
        selective_scan,
        naive.selective_scan,
        selective_inputs,
        ("plain", "negative eigenvalues", "resets"),
        (
            {},
            {"impl": "segments", "chunk": 4},
            {"impl": "chunked", "chunk": 16},
            {"impl": "sequential", "chunk": 8},
            {"impl": "pallas"},  # interpreted
        ),
    ),
    "linear_attention": (
        linear_attention,
        naive.linear_attention,
        attention_inputs,
        (*DECAYS, "resets, no decay", "resets, decay per channel"),
        ({"impl": "chunked"}, {"impl": "chunked", "chunk": 8}, {"impl": "sequential"}),
    ),
    "delta_rule": (
        delta_rule,
        naive.delta_rule,
        delta_inputs,
        (*DECAYS, "resets, no decay", "resets, decay per channel"),
        ({"impl": "chunked"}, {"impl": "chunked", "chunk": 8}, {"impl": "sequential"}),
    ),
    "generalised_delta_rule": (
        generalised_delta_rule,
        naive.generalised_delta_rule,
        general_inputs,
        (*DECAYS, "resets, decay per channel", *STEPS),
        ({"impl": "chunked"}, {"impl": "chunked", "chunk": 4}, {"impl": "sequential"}),
    ),
    "block_scan": (
        block_scan,
        naive.block_scan,
        block_inputs,
        ("one column", "resets, columns"),
        ({}, {"impl": "chunked", "chunk": 16}, {"impl": "sequential"}),
    ),
}
CASES = [(name, kind) for name, row in OPS.items() for kind in row[3]]


def options_of(kind, length):
    options = {"negative_eigenvalues": True} if kind == "negative eigenvalues" else {}
    reset = resets(kind, length)
    return options if reset is None else options | {"reset": reset}


def value_and_gradients(op, inputs, weights, **options):
    def loss(*inputs):
        outputs = op(*inputs, **options)
        return naive.weighted_sum(outputs, weights), outputs

    with_gradients = jax.value_and_grad(loss, argnums=tuple(range(len(inputs))), has_aux=True)
    (_, outputs), gradients = jax.jit(with_gradients)(*inputs)
    return outputs, gradients


def scaled(tree, expected):
    """Each leaf in units of the largest magnitude expected in it, so that one tolerance fits all."""
    return jax.tree.map(lambda x, y: x / max(1.0, np.max(np.abs(y))), tree, expected)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(("name", "kind"), CASES)
def test_outputs_state_and_all_gradients(name, kind, length, monkeypatch):
    op, spec, make, _, impls = OPS[name]
    inputs, options = make(length, kind), options_of(kind, length)
    expected = naive.values(spec, *inputs, **options)
    rng = np.random.default_rng(0)
    weights = tuple(normal(rng, *x.shape) * (1 + 0.5j if np.iscomplexobj(x) else 1) for x in expected)
    expected_gradients = naive.gradients(spec, weights, *inputs, **options)
    if name in ("linear_attention", "delta_rule", "generalised_delta_rule") and length == 100:
        # As on an accelerator, several chunks side by side: 13 chunks in groups of 4.
        monkeypatch.setitem(sys.modules[op.__module__].DEFAULTS, "cpu", ("chunked", ("chunked",), 8, 4))
    # Compiling is what takes the time: every impl at one length only.
    for impl in impls if length == 63 else impls[:1]:
        outputs, gradients = value_and_gradients(op, inputs, weights, **impl, **options)
        assert_trees_close(scaled(outputs, expected), scaled(expected, expected), atol=5e-6)
        assert_trees_close(
            scaled(gradients, expected_gradients), scaled(expected_gradients, expected_gradients), atol=2e-5
        )


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_length_1000(name, kind):
    op, spec, make, _, impls = OPS[name]
    inputs, options = make(1000, kind), options_of(kind, 1000)
    expected = naive.values(spec, *inputs, **options)
    for impl in impls[:2]:
        outputs = jax.jit(functools.partial(op, **impl, **options))(*inputs)
        assert_trees_close(scaled(outputs, expected), scaled(expected, expected), atol=2e-5)


@pytest.mark.parametrize("name", OPS)
def test_pieces_with_carried_state_equal_the_whole(name):
    op, _, make, kinds, impls = OPS[name]
    *inputs, state = make(63, kinds[1])
    run = jax.jit(functools.partial(op, **impls[0]))
    whole, final = run(*inputs, state)
    pieces, carried = [], state
    for start, stop in ((0, 1), (1, 32), (32, 63)):
        piece = [x[:, start:stop] if np.ndim(x) > 2 else x for x in inputs]
        y, carried = run(*piece, carried)
        pieces.append(y)
    assert_trees_close((jnp.concatenate(pieces, axis=1), carried), (whole, final), atol=3e-5)


@pytest.mark.parametrize("name", ["linear_attention", "selective_scan", "generalised_delta_rule"])
def test_a_reset_at_every_token_keeps_gradients_finite(name):
    op, spec, make, kinds, impls = OPS[name]
    inputs, options = make(63, kinds[-1]), {"reset": np.ones((BATCH, 63), bool)}
    expected = naive.values(spec, *inputs, **options)
    weights = tuple(np.ones_like(x) for x in expected)
    outputs, gradients = value_and_gradients(op, inputs, weights, **options, **impls[1])
    expected_gradients = naive.gradients(spec, weights, *inputs, **options)
    assert_trees_close(
        scaled((*outputs, *gradients), (*expected, *expected_gradients)),
        scaled((*expected, *expected_gradients), (*expected, *expected_gradients)),
        atol=2e-5,
    )


@pytest.mark.parametrize("name", OPS)
def test_no_state_means_zeros(name):
    op, _, make, kinds, _ = OPS[name]
    *inputs, state = make(7, kinds[0])
    assert_trees_close(op(*inputs), op(*inputs, np.zeros_like(state)))


@pytest.mark.parametrize("name", OPS)
def test_bfloat16_inputs_keep_a_float32_state(name):
    op, spec, make, kinds, impls = OPS[name]
    *inputs, state = make(63, kinds[0])
    inputs = [x if x is None else x.astype(ml_dtypes.bfloat16) for x in inputs]
    expected = naive.values(spec, *inputs, state)
    for impl in impls:
        y, final = jax.jit(functools.partial(op, **impl))(*inputs, state)
        assert (y.dtype, final.dtype) == (jnp.bfloat16, jnp.float32)
        # The inputs are exact in float32: the state is as good as ever, y is rounded once.
        assert_trees_close(scaled(final, expected[1]), scaled(expected[1], expected[1]))
        assert_trees_close(y.astype(jnp.float32), expected[0], rtol=2**-8, atol=1e-4)


@pytest.mark.parametrize("name", OPS)
def test_vmap_and_a_sharded_batch_change_nothing(name):
    op, _, make, kinds, _ = OPS[name]
    inputs = make(7, kinds[0])
    members = jax.tree.map(lambda x: np.stack([x, 0.5 * x]), inputs)
    mapped = jax.jit(jax.vmap(op))(*members)
    for i in range(2):
        assert_trees_close(
            jax.tree.map(lambda x, i=i: x[i], mapped), op(*(x if x is None else x[i] for x in members))
        )
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:2])
    by_batch = jax.NamedSharding(mesh, jax.P("data"))
    placed = [x if np.ndim(x) < 3 else jax.device_put(x, by_batch) for x in inputs]
    assert_trees_close(jax.jit(op)(*placed), op(*inputs))


@pytest.mark.parametrize("impl", ["chunked", "segments", "sequential"])
def test_selective_scan_never_holds_all_states(impl):
    length, dim, states, chunk = 512, 32, 32, 8
    rng = np.random.default_rng(0)
    u, B = normal(rng, BATCH, length, dim), normal(rng, BATCH, length, states)
    inputs = (u, np.abs(u), -np.ones((dim, states), np.float32), B, B, np.ones(dim, np.float32))
    all_states = 4 * BATCH * length * dim * states

    def loss(*inputs):
        y, state = selective_scan(*inputs, impl=impl, chunk=chunk)
        return jnp.sum(y**2) + jnp.sum(state)

    compiled = jax.jit(jax.grad(loss, argnums=range(6))).lower(*inputs).compile()
    # What is left: a state per chunk, a few arrays of a chunk's states, and some the size of the inputs.
    assert compiled.memory_analysis().temp_size_in_bytes < 0.75 * all_states


@pytest.mark.parametrize("kind", ["decay per head", "resets, decay per channel"])
def test_more_steps_than_a_piece_has(kind):
    inputs, options = delta_inputs(600, kind), options_of(kind, 600)
    expected = naive.values(naive.delta_rule, *inputs, **options)
    weights = tuple(normal(np.random.default_rng(0), *x.shape) for x in expected)
    expected = expected, naive.gradients(naive.delta_rule, weights, *inputs, **options)
    found = value_and_gradients(delta_rule, inputs, weights, impl="sequential", **options)
    assert_trees_close(scaled(found, expected), scaled(expected, expected), atol=2e-5)


def test_steps_never_hold_all_states():
    length, size = 1024, 32
    vector, gate = jnp.zeros((BATCH, length, 1, size)), jnp.zeros((BATCH, length, 1))
    all_states = 4 * BATCH * length * size * size

    def loss(*inputs):
        y, state = delta_rule(*inputs, impl="sequential")
        return jnp.sum(y**2) + jnp.sum(state)

    compiled = jax.jit(jax.grad(loss, argnums=range(5))).lower(vector, vector, vector, gate, gate).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 0.5 * all_states  # in one piece more than 1


def test_the_selective_scan_goes_step_by_step_on_a_cpu():
    u, B, A = jnp.zeros((1, 40, 3)), jnp.zeros((1, 40, 4)), jnp.zeros((3, 4))
    program = lambda **options: str(
        jax.make_jaxpr(functools.partial(selective_scan, **options))(u, u, A, B, B)
    )
    assert program() == program(impl="sequential", chunk=16) != program(impl="sequential", chunk=4)
    assert program() != program(impl="segments")
    assert program(impl="chunked") == program(impl="chunked", chunk=4) != program(chunk=4)


@pytest.mark.parametrize("length, chunk", [(1, None), (10, 2)])
def test_the_kernel_of_the_selective_scan_fills_its_blocks(length, chunk):
    """11 channels and 5 states, where a program has 8 channels and states in fours; all options at once."""
    rng = np.random.default_rng(length)
    u, B, C = (normal(rng, BATCH, length, n) for n in (11, 5, 5))
    A, state = -np.exp(normal(rng, 11, 5)), normal(rng, BATCH, 11, 5)
    inputs = u, np.exp(normal(rng, *u.shape) - 1), A, B, C, normal(rng, 11), state
    options = {"negative_eigenvalues": True, "reset": rng.random((BATCH, length)) < 0.3}
    expected = naive.values(naive.selective_scan, *inputs, **options)
    weights = tuple(normal(rng, *x.shape) for x in expected)
    expected = expected, naive.gradients(naive.selective_scan, weights, *inputs, **options)
    found = value_and_gradients(selective_scan, inputs, weights, impl="pallas", chunk=chunk, **options)
    assert_trees_close(scaled(found, expected), scaled(expected, expected), atol=5e-6)


@pytest.fixture
def on_a_gpu(monkeypatch):
    """Programs as on a GPU: they can be traced and lowered here, but not run."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(sys.modules[selective_scan.__module__], "_compute_capability", lambda: 9.0)
    return monkeypatch


def in_one_kernel(run=selective_scan, place=lambda x: x, **options):
    u, B, A = place(jnp.zeros((2, 8, 3))), jnp.zeros((2, 8, 4)), jnp.zeros((3, 4))
    return "pallas_call" in str(jax.make_jaxpr(functools.partial(run, **options))(u, u, A, B, B))


def mesh_of(kind, **axes):
    devices = jax.devices()[: math.prod(axes.values())]
    return jax.make_mesh(tuple(axes.values()), tuple(axes), axis_types=(kind,) * len(axes), devices=devices)


def test_a_gpu_runs_the_selective_scan_in_one_kernel(on_a_gpu):
    assert in_one_kernel() and not in_one_kernel(impl="segments")
    assert not in_one_kernel(chunk=64)  # such a chunk means that of the segments
    for version, expected in ((8.0, True), (7.5, False), (0.0, False)):
        on_a_gpu.setattr(sys.modules[selective_scan.__module__], "_compute_capability", lambda v=version: v)
        assert in_one_kernel() is expected


@pytest.mark.parametrize("axes, expected", [({"seed": 2, "data": 1}, True), ({"seed": 1, "data": 2}, False)])
def test_the_compiler_never_has_to_split_the_kernel(axes, expected, on_a_gpu):
    """As the trainer has it: members on the manual axis `seed`, the batch on the automatic axis `data`."""
    mesh = mesh_of(AxisType.Auto, **axes)
    member = jax.shard_map(
        lambda *inputs: selective_scan(*inputs)[0],
        mesh=mesh, in_specs=jax.P(), out_specs=jax.P(), axis_names={"seed"}, check_vma=False,
    )  # fmt: skip
    assert in_one_kernel(member) is expected


def test_other_splits_take_no_kernel(on_a_gpu):
    def varying(u, delta, A, *rest):
        return selective_scan(u, delta, A, *rest, state=u[:, 0, :, None] * A[None])[0]

    mesh, split = mesh_of(AxisType.Auto, data=2), jax.P("data")
    in_specs = (split, split, jax.P(), split, split)
    assert not in_one_kernel(jax.shard_map(varying, mesh=mesh, in_specs=in_specs, out_specs=split))
    explicit = jax.NamedSharding(mesh_of(AxisType.Explicit, data=2), jax.P("data"))
    assert not in_one_kernel(place=lambda u: jax.device_put(u, explicit))


@pytest.mark.filterwarnings("ignore:.*Triton.*:DeprecationWarning")  # of jax 0.11
@pytest.mark.parametrize("reset", [None, np.zeros((BATCH, 10), bool)])
def test_the_kernels_can_be_compiled_for_a_gpu(reset, on_a_gpu):
    """So far as jax goes without one: to the code that Triton gets."""
    try:  # a card for jax 0.11, which asks for it
        from jax._src.pallas.triton import gpu_info

        h100 = gpu_info.get_gpu_info_from_version(gpu_info.GpuVersion.H100)
        on_a_gpu.setitem(gpu_info.registry, "cpu", lambda: h100)
    except ImportError:
        pass
    of = jax.ShapeDtypeStruct
    u, B = of((BATCH, 10, 11), jnp.float32), of((BATCH, 10, 20), jnp.float32)
    inputs = u, u, of((11, 20), jnp.float32), B, B

    def loss(*inputs):
        y, state = selective_scan(*inputs, reset=reset, negative_eigenvalues=True)
        return jnp.sum(y**2) + jnp.sum(state)

    lowered = jax.jit(jax.vmap(jax.grad(loss, argnums=range(5)), in_axes=0, axis_size=3))
    members = [of((3, *x.shape), x.dtype) for x in inputs]
    text = lowered.trace(*members).lower(lowering_platforms=("cuda",)).as_text()
    assert "selective_scan_forward" in text and "selective_scan_backward" in text


def test_the_kernel_by_members_and_with_a_part_of_the_results():
    """vmap with one A for all; gradients by y alone and by the final state alone, in a checkpoint."""
    *inputs, D, state = map(jnp.asarray, selective_inputs(10, "plain"))
    members = [x if i == 2 else jnp.stack([x, 0.5 * x]) for i, x in enumerate(inputs)]
    axes = [None if i == 2 else 0 for i in range(5)]
    for part in (0, 1):

        def gradient(impl, part=part):
            run = jax.checkpoint(lambda *inputs: selective_scan(*inputs, D, state, impl=impl)[part])
            loss = lambda *inputs: jnp.sum(run(*inputs) ** 2)
            return jax.jit(jax.vmap(jax.grad(loss, argnums=range(5)), in_axes=axes))(*members)

        expected = gradient("sequential")
        assert_trees_close(scaled(gradient("pallas"), expected), scaled(expected, expected), atol=5e-6)


def test_a_long_chunk_of_the_kernel_is_refused():
    with pytest.raises(ValueError, match="selective_scan: chunk must be at most 8 with pallas, got 16"):
        selective_scan(*selective_inputs(63, "plain"), impl="pallas", chunk=16)


@pytest.mark.parametrize("op", [linear_attention, delta_rule])
@pytest.mark.parametrize(
    "decay, small, large", [("no", 8, 12), ("per head", 16, 17), ("per channel", 32, 33)]
)
def test_small_states_go_step_by_step_on_a_cpu(op, decay, small, large):
    """By default; an impl or a chunk decides otherwise."""

    def program(size, **options):
        q = jnp.zeros((1, 9, 1, size))
        inputs = (q, q, q) if op is linear_attention else (q, q, q, q[..., 0])
        log_decay = {"no": None, "per head": q[..., 0], "per channel": q}[decay]
        return str(jax.make_jaxpr(functools.partial(op, log_decay=log_decay, **options))(*inputs))

    assert program(small) == program(small, impl="sequential") != program(small, impl="chunked")
    assert program(large) == program(large, impl="chunked") != program(large, impl="sequential")
    assert program(small, chunk=8) == program(small, impl="chunked", chunk=8)


@pytest.mark.parametrize("rows, columns", [(3, 5), (5, 3)])
@pytest.mark.parametrize(
    "product, equation, left, right",
    [(matmul, "bmk,bkn->bmn", "mk", "kn"), (matmul_columns, "bmk,bnk->bmn", "mk", "nk"),
     (matmul_rows, "bkm,bkn->bmn", "km", "kn")],
)  # fmt: skip
def test_products_and_their_gradients_are_those_of_the_equation(
    product, equation, left, right, rows, columns
):
    """Gradients of gradients, too."""
    rng, sizes = np.random.default_rng(0), {"m": rows, "n": columns, "k": 4}
    x, y = (normal(rng, 2, *(sizes[axis] for axis in axes)) for axes in (left, right))

    def derivatives(f):
        loss = lambda x, y: jnp.sum(jnp.sin(f(x, y)))
        slope = lambda x, y: sum(jnp.sum(g**2) for g in jax.grad(loss, (0, 1))(x, y))
        return f(x, y), jax.grad(loss, (0, 1))(x, y), jax.grad(slope, (0, 1))(x, y)

    expected = derivatives(lambda x, y: jnp.einsum(equation, x, y, precision="highest"))
    assert_trees_close(derivatives(product), expected, atol=1e-4)


@pytest.mark.parametrize("name", OPS)
def test_refusals(name):
    op, _, make, kinds, _ = OPS[name]
    inputs = make(7, kinds[0])
    with pytest.raises(ValueError, match=f"{name}: impl must be one of .*sequential, got 'fast'"):
        op(*inputs, impl="fast")
    if name not in ("linear_scan", "max_plus"):
        with pytest.raises(ValueError, match=f"{name}: chunk must be a power of two, got 24"):
            op(*inputs, chunk=24)


def test_shapes_that_do_not_fit_are_refused():
    q, k, v, _, state = attention_inputs(7, "no decay")
    with pytest.raises(ValueError, match="log_decay must be"):
        linear_attention(q, k, v, v, state)
    with pytest.raises(ValueError, match="linear_scan: a"):
        linear_scan(q[:, :3], q)
    with pytest.raises(ValueError, match="max_plus: a"):
        max_plus(q[:, :1], q)
    with pytest.raises(ValueError, match="generalised_delta_rule: shapes that do not fit"):
        generalised_delta_rule(q, q, k, v[:, :3], None, state)
    with pytest.raises(ValueError, match="block_scan: A must be"):
        block_scan(q, q)


@pytest.mark.parametrize("kind", ["decay per channel", "resets, 3 steps, decay per head"])
def test_the_delta_rule_is_a_block_scan(kind):
    """Its transitions and writes as matrices: an independent way to the same states."""
    q, u, e, w, log_decay, state = general_inputs(63, kind)
    u, e, w = (x.reshape(*q.shape[:3], -1, x.shape[-1]) for x in (u, e, w))
    A = np.exp(log_decay.reshape(*q.shape[:3], -1))[..., None] * np.eye(KEY, dtype=np.float32)
    b = np.zeros((*q.shape, VALUE), np.float32)
    for i in range(u.shape[3]):
        step = np.eye(KEY, dtype=np.float32) - u[..., i, :, None] * e[..., i, None, :]
        A, b = step @ A, step @ b + u[..., i, :, None] * w[..., i, None, :]
    options = options_of(kind, 63)
    states, final = block_scan(A, b, state, **options)
    found = generalised_delta_rule(q, u, e, w, log_decay, state, **options)
    expected = np.einsum("bthkv,bthk->bthv", states, q), final
    assert_trees_close(scaled(found, expected), scaled(expected, expected), atol=2e-5)


@pytest.mark.parametrize("impl, kind", [("chunked", "resets, decay per channel"), ("sequential", "no decay")])
def test_a_write_key_is_a_second_step_that_erases_nothing(kind, impl):
    q, u, e, w, log_decay, state = general_inputs(63, kind)
    k = normal(np.random.default_rng(1), *u.shape)
    options = options_of(kind, 63) | {"impl": impl, "chunk": 16}

    def in_two(q, u, e, w, k, log_decay, state):
        pairs = (jnp.stack(pair, axis=3) for pair in ((u, k), (e, 0 * k), (0 * w, w)))
        return generalised_delta_rule(q, *pairs, log_decay, state, **options)

    def in_one(q, u, e, w, k, log_decay, state):
        return generalised_delta_rule(q, u, e, w, log_decay, state, write_key=k, **options)

    inputs = q, u, e, w, k, jnp.zeros(q.shape[:3]) if log_decay is None else log_decay, state
    weights = tuple(normal(np.random.default_rng(2), *x.shape) for x in (w, state))
    expected = value_and_gradients(in_two, inputs, weights)
    found = value_and_gradients(in_one, inputs, weights)
    assert_trees_close(scaled(found, expected), scaled(expected, expected), atol=2e-5)


def test_recurrent_is_the_loop_over_the_cell():
    rng = np.random.default_rng(0)
    params, x, state = normal(rng, DIM, DIM), normal(rng, BATCH, 7, DIM), normal(rng, BATCH, DIM)

    def cell(params, state, inputs):
        state = jnp.tanh(state @ params + inputs["x"])
        return state, {"y": 2 * state}

    def outputs(op):
        def of_arrays(params, x, state, **options):
            y, state = op(cell, params, {"x": x}, state, **options)
            return y["y"], state

        return of_arrays

    weights = normal(rng, BATCH, 7, DIM), normal(rng, BATCH, DIM)
    for options in ({}, {"reset": resets("resets", 7)}):
        assert_trees_close(
            value_and_gradients(outputs(recurrent), (params, x, state), weights, **options),
            value_and_gradients(outputs(naive.recurrent), (params, x, state), weights, **options),
        )
    with pytest.raises(ValueError, match="recurrent: impl"):
        recurrent(cell, params, {"x": x}, state, impl="associative")


@pytest.mark.parametrize(
    "length, expected", [(1, 1), (5, 8), (32, 32), (33, 8), (40, 16), (64, 32), (100, 16), (129, 32)]
)
def test_a_default_chunk_pads_little(length, expected):
    assert chunk_length("op", None, 32, length) == expected
    assert chunk_length("op", 32, 32, length) == min(32, 1 << (length - 1).bit_length())


@pytest.mark.parametrize("name", ["linear_attention", "delta_rule"])
@pytest.mark.parametrize("kind", ["decay per head", "decay per channel"])
def test_a_decay_to_zero_is_a_reset(name, kind):
    """log 0 is −∞, which a mask would multiply by 0."""
    op, spec, make, *_ = OPS[name]
    *inputs, log_decay, state = make(23, kind)
    log_decay[:, 5] = log_decay[0, 11] = -np.inf
    expected = naive.values(spec, *inputs, log_decay, state)
    for options in ({"impl": "chunked"}, {"impl": "sequential"}):
        assert_trees_close(op(*inputs, log_decay, state, **options), expected, atol=5e-6)
        loss = lambda log_decay, options=options: op(*inputs, log_decay, state, **options)[0].sum()
        assert np.isfinite(jax.grad(loss)(log_decay)).all()


def test_an_odd_number_of_steps_above_the_smallest_block():
    """9 steps per token with a decay per channel: chunks of 9 have no halves."""
    inputs = general_inputs(3, "9 steps, decay per channel")
    chunked, sequential = (generalised_delta_rule(*inputs, impl=impl) for impl in ("chunked", "sequential"))
    assert_trees_close(chunked, sequential, atol=5e-6)

"""The protocols named `literature` have the settings of the public code that they follow."""

import re
from pathlib import Path

import pytest
from task_samples import batch

from configs import (
    bit_parity,
    copy,
    dyck,
    flip_flop,
    group_word,
    induction,
    modular_arithmetic,
    mqar,
    noisy_recall,
    selective_copy,
)
from configs.study import FILES
from rnnbench.config.build import flat
from rnnbench.train import population

# What the public code of each published setting has; docs/literature.md says where ours differs from it.
ZOOLOGY = {
    "model.layers": 2, "model.mlp_dim": 0, "model.head": "tied", "model.embedding_std": 0.02,
    "task.num_keys": 4095, "task.num_values": 4096, "task.unique_keys": True, "task.queries": "spread",
    "task.query_power": 0.01, "optim.name": "adamw", "optim.weight_decay": 0.1, "optim.decay": "all",
    "optim.b1": 0.9, "optim.b2": 0.999, "optim.warmup": 0.0, "optim.schedule": "cosine", "optim.clip": 0.0,
}  # fmt: skip
ZOOLOGY_BLOCK = {
    "model.heads": 1, "model.norm": "layer", "model.init": "normal", "model.init_residual": 2,
    "model.dropout": 0.1, "model.dropout_at": "embedding",
}  # fmt: skip
ZOOLOGY_MAMBA = {
    "model.conv_size": 4, "model.norm": "rms", "model.init": "torch", "model.conv_init": "torch",
    "model.init_residual": 1, "model.dropout": 0.0,
}  # fmt: skip
FIGURE_2 = {
    "task.filler": "token",
    "task.examples": 100_000,
    "population.learning_rates": (1e-4, 4.64e-4, 2.15e-3, 1e-2),
}
BASED = {
    "task.filler": "random", "task.examples": 180_000, "train.batch_size": 256,
    "population.learning_rates": (1e-3, 3.16e-3, 1e-2, 3.16e-2),
}  # fmt: skip
GRAZZI = {
    "model.dim": 128, "model.layers": 2, "model.head": "linear", "model.dropout": 0.0,
    "task.supervision": "last", "task.train_lengths": (3, 40), "task.examples": 0, "train.batch_size": 256,
    "train.steps": 20_000, "optim.name": "adamw", "optim.decay": "kernels", "optim.b1": 0.9,
    "optim.b2": 0.999, "optim.warmup": 0.1, "optim.schedule": "cosine", "optim.clip": 0.0,
    "population.learning_rates": (1e-2, 1e-3, 5e-4, 1e-4),
    "population.seeds": (0, 1, 2),
}  # fmt: skip
GRAZZI_MAMBA = {
    "model.conv_size": 0, "model.mlp_dim": 0, "model.embedding_std": 1.0, "model.init": "torch",
    "model.norm": "rms", "optim.weight_decay": 0.0,
}  # fmt: skip
GRAZZI_DELTANET = {
    "model.heads": 4, "model.conv_size": 4, "model.conv_init": "torch", "model.embedding_std": 0.02,
    "model.init": "normal", "model.norm": "rms", "optim.weight_decay": 0.0,
}  # fmt: skip
SARROF = {
    "model.dim": 80, "model.layers": 2, "task.mode": "close", "task.num_types": 8, "task.depth": 10,
    "train.batch_size": 10, "optim.name": "adam", "optim.weight_decay": 0.0,
    "optim.b1": 0.9, "optim.b2": 0.999, "optim.warmup": 0.0, "optim.clip": 0.0,
}  # fmt: skip
SARROF_MAMBA = {
    "model.conv_size": 4, "model.mlp_dim": 0, "model.embedding_std": 0.02, "model.norm": "layer",
    "model.init": "torch", "model.conv_init": "torch", "model.init_residual": 1,
}  # fmt: skip
TORCH_ADAMW = {"optim.name": "adamw", "optim.b1": 0.9, "optim.b2": 0.999}
DELTAPRODUCT = TORCH_ADAMW | {
    "model.dim": 128, "model.layers": 1, "model.heads": 8, "model.conv_size": 0, "task.tokens": "all",
    "task.supervision": "every", "task.train_lengths": (128, 128), "task.examples": 99_000,
    "train.batch_size": 2048, "optim.weight_decay": 1e-6, "optim.decay": "all", "optim.warmup": 0.0,
    "optim.schedule": "cosine", "optim.clip": 0.0, "population.learning_rates": (1e-3,),
}  # fmt: skip
GRAZZI_WORDS = TORCH_ADAMW | {
    "model.dim": 128, "model.heads": 4, "model.conv_size": 0, "task.group": "S5", "task.supervision": "every",
    "task.train_lengths": (32, 32), "task.examples": 1_600_000, "train.batch_size": 512,
    "optim.weight_decay": 0.01, "optim.clip": 1.0, "population.learning_rates": (1e-4,),
}  # fmt: skip
SLICE = TORCH_ADAMW | {
    "model.layers": 1, "model.dropout": 0.1, "task.group": "A5", "task.train_lengths": (3, 40),
    "train.batch_size": 256, "train.steps": 100_000, "optim.warmup": 0.1, "optim.weight_decay": 0.01,
    "optim.clip": 0.0, "population.learning_rates": (1e-3,),
}  # fmt: skip
LIU = TORCH_ADAMW | {
    "model.dim": 512, "model.layers": 6, "model.heads": 8, "task.ignore": 0.8,
    "task.train_lengths": (512, 512), "eval.ignore": (0.8, 0.98, 0.1), "train.batch_size": 16,
    "train.steps": 10_000, "optim.weight_decay": 0.1, "population.learning_rates": (3e-4,),
}  # fmt: skip
JELASSI = TORCH_ADAMW | {
    "model.dim": 1024, "model.layers": 12, "task.num_symbols": 26, "task.answers": "shown",
    "task.train_lengths": (10, 40), "train.batch_size": 8, "train.steps": 2000, "optim.weight_decay": 0.1,
    "optim.decay": "all", "optim.clip": 1.0, "population.learning_rates": (1e-5,),
}  # fmt: skip
MAD = TORCH_ADAMW | {
    "model.dim": 128, "model.layers": 2, "model.embedding_std": 0.02, "task.examples": 12_800,
    "train.batch_size": 128, "train.steps": 20_000, "optim.warmup": 0.0, "optim.clip": 0.0,
    "population.learning_rates": (1e-4, 5e-4, 1e-3),
}  # fmt: skip
GU = {
    "model.layers": 2, "model.mlp_dim": 0, "optim.name": "adam", "optim.schedule": "constant",
    "optim.weight_decay": 0.0, "optim.warmup": 0.0, "optim.b2": 0.999,
}  # fmt: skip
GU_COPYING = {
    "model.dim": 64, "task.num_marked": 16, "task.answers": "hidden", "train.batch_size": 64,
    "train.steps": 400_000, "population.learning_rates": (1e-4,),
}  # fmt: skip
GU_INDUCTION = {
    "task.supervision": "marked", "task.train_lengths": (256, 256), "train.batch_size": 8,
    "train.steps": 25 * 8192, "population.learning_rates": (2e-4, 1e-3),
}  # fmt: skip
PUBLISHED = [
    (mqar, "gpt,literature", ZOOLOGY | ZOOLOGY_BLOCK | FIGURE_2 | {"model.positions": "learned"}),
    (mqar, "mamba,literature_64", ZOOLOGY | ZOOLOGY_MAMBA | FIGURE_2),
    (mqar, "mamba2,literature", ZOOLOGY | ZOOLOGY_MAMBA | FIGURE_2),
    (mqar, "gpt,literature_mix", ZOOLOGY | ZOOLOGY_BLOCK | BASED | {"model.positions": "none"}),
    (mqar, "mamba,literature_mix", ZOOLOGY | ZOOLOGY_MAMBA | BASED),
    (bit_parity, "mamba_neg,literature", GRAZZI | GRAZZI_MAMBA),
    (bit_parity, "deltanet_neg,literature", GRAZZI | GRAZZI_DELTANET),
    (bit_parity, "slstm,literature", GRAZZI | {"model.conv_size": 0, "optim.weight_decay": 0.1}),
    (bit_parity, "lstm,literature", GRAZZI | {"optim.weight_decay": 0.1}),
    (dyck, "mamba,literature", SARROF | SARROF_MAMBA),
    (group_word, "deltaproduct2,literature", DELTAPRODUCT | {"task.group": "S3"}),
    (group_word, "deltaproduct2,literature_a5", DELTAPRODUCT | {"task.group": "A5"}),
    (group_word, "deltanet_neg,literature_swaps", GRAZZI_WORDS | {"task.tokens": "swaps"}),
    (group_word, "deltanet_neg,literature_threes", GRAZZI_WORDS | {"task.tokens": "threes"}),
    (group_word, "slice,literature_slice", SLICE | {"model.dim": 256}),
    (group_word, "mamba,literature_slice", SLICE | {"model.dim": 1024}),
    (
        modular_arithmetic,
        "lstm,literature_slice",
        TORCH_ADAMW | {"model.dim": 128, "model.dropout": 0.01, "population.learning_rates": (2e-3,)},
    ),
    (modular_arithmetic, "mamba,literature", {"task.operators": "+-*", "train.steps": 100_000}),
    (modular_arithmetic, "mamba,literature_brackets", {"task.operators": "+-", "task.brackets": True}),
    (flip_flop, "gpt,literature", LIU),
    (flip_flop, "lstm,literature", {"model.dim": 128, "model.layers": 1, "train.steps": 500}),
    (copy, "gpt,literature", JELASSI | {"model.heads": 16}),
    (copy, "mamba,literature", JELASSI | {"model.options.state_dim": 32, "model.mlp_dim": 0}),
    (noisy_recall, "mamba,literature", MAD | {"task.num_noise": 16, "model.options.state_dim": 4}),
    (noisy_recall, "gpt,literature_plain", MAD | {"task.noise": 0.0, "model.heads": 16}),
    (selective_copy, "gpt,literature_mad", MAD | {"task.num_symbols": 14, "task.num_marked": 16}),
    (selective_copy, "mamba,literature", GU | GU_COPYING),
    (induction, "mamba,literature", GU | GU_INDUCTION | {"model.dim": 64}),
    (induction, "gpt,literature", GU | GU_INDUCTION | {"model.dim": 128, "model.heads": 8}),
]


@pytest.mark.parametrize("file, argument, published", PUBLISHED)
def test_literature_is_as_published(file, argument, published):
    config = flat(file.get_config(argument))
    assert {key: config[key] for key in published} == published


def test_the_page_compares_every_protocol():
    text = (Path(__file__).parents[2] / "docs" / "literature.md").read_text()
    for file in FILES:
        name = file.__name__.rpartition(".")[2]
        for protocol in file.PROTOCOLS:
            if protocol.startswith("literature"):
                assert re.search(rf"`configs/{name}\.py`:[^;.]*`{protocol}`", text), (name, protocol)


def test_as_many_examples_and_steps_as_published():
    parity = bit_parity.get_config("deltanet_neg,literature")
    assert (40, 256) in parity.eval.lengths
    assert parity.train.batch_size * parity.eval.batches == 8192
    words = dyck.get_config("mamba,literature")
    assert words.train.steps * words.train.batch_size == 15 * words.task.examples
    for file, protocol, epochs in (
        (group_word, "literature", 100),
        (group_word, "literature_swaps", 100),
        (noisy_recall, "literature", 200),
        (selective_copy, "literature_mad", 200),
    ):
        config = file.get_config(f"lstm,{protocol}")
        seen = config.train.steps * config.train.batch_size
        assert seen == pytest.approx(epochs * config.task.examples, rel=0.02)


def test_a_fifth_of_the_tokens_is_noise():
    """As in MAD, where noise comes in twos, like pairs."""
    task = population.prepare(noisy_recall.get_config("mamba,literature")).task
    inputs = batch(task, {"length": 400}, 500).inputs
    noise = inputs > task.num_keys + task.num_values
    assert noise.mean() == pytest.approx(0.2, abs=0.005)


@pytest.mark.parametrize(
    "protocol, length, pairs, batch",
    [
        ("literature_64", 64, 4, 512),
        ("literature_128", 128, 8, 512),
        ("literature", 256, 16, 256),
        ("literature_512", 512, 64, 128),
    ],
)
def test_the_settings_of_zoology(protocol, length, pairs, batch):
    config = mqar.get_config(f"mamba,{protocol}")
    (case, _), *others = population.prepare(config).task.train_cases()
    assert case == {"length": length, "pairs": pairs} and not others
    assert population.prepare(config).task.cases() == (case,)
    assert config.train.batch_size == batch and config.eval.batches * batch == 3072
    assert config.train.steps * batch == pytest.approx(64 * 100_000, rel=0.001)
    assert (config.optim.clip, config.optim.warmup, config.optim.weight_decay) == (0.0, 0.0, 0.1)


def test_the_mix_of_based():
    config = mqar.get_config("deltanet,literature_mix")
    task = population.prepare(config).task
    parts = {(case["length"], case["pairs"]): weight for case, weight in task.train_cases()}
    assert parts == {(64, 4): 5, (128, 8): 1, (256, 16): 1, (256, 32): 1, (256, 64): 1}
    unseen = {(64, 8), (64, 16), (128, 32), (512, 128), (1024, 256)}
    assert unseen <= {(case["length"], case["pairs"]) for case in task.cases()}
    assert config.train.steps * config.train.batch_size == 32 * config.task.examples

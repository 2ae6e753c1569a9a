"""Rows as a run would write them, for the tests of the report."""

import json

from rnnbench.store.rows import Row, write_jsonl

LENGTHS = (32, 64, 256)
METRICS = (
    "accuracy", "last_accuracy", "last_quarter_accuracy", "sequence_accuracy", "scaled_accuracy",
)  # fmt: skip


def row(model="lstm", length=32, accuracy=0.75, seed=0, learning_rate=0.003, **changes):
    case = length if isinstance(length, dict) else {"length": length}
    made = Row(
        cell=f"cell-{model}",
        task="bit_parity",
        protocol="small",
        model=model,
        overrides={},
        seed=seed,
        learning_rate=learning_rate,
        step=100,
        final=True,
        case=case,
        selection=case["length"] == 32,
        sequences=64,
        loss=None if accuracy is None else 1 - accuracy,
        **dict.fromkeys(METRICS, accuracy),
        headline="accuracy",
        chance=0.5,
        diverged=accuracy is None,
        params=12345,
        state_size=2048,
        train_seconds=12.4,
        compile_seconds=5.0,
        eval_seconds=2.6,
        device="1 x cpu",
        versions={"jax": "0.10"},
    )
    assert made.keys() == Row.__required_keys__
    return made | changes


def member(accuracies, **changes):
    return [row(length=length, accuracy=value, **changes) for length, value in zip(LENGTHS, accuracies)]


def write_run(folder, rows, config=None):
    """A run's workdir with these rows, and curves and positions that fit them."""
    curves, positions = [], []
    for each in rows:
        who = {key: each[key] for key in ("cell", "seed", "learning_rate", "step")}
        starts = list(range(0, each["case"]["length"], 8))
        positions.append(who | {"case": each["case"], "starts": starts, "accuracy": [0.5] * len(starts)})
        if each["selection"]:
            measured = {"loss": each["loss"], "accuracy": 0.5, "grad_norm": 1.0, "tokens_per_second": 9.0}
            curves += [who | measured | {"step": step} for step in (50, 100)]
    write_jsonl(folder / "results.jsonl", rows)
    write_jsonl(folder / "positions.jsonl", positions)
    write_jsonl(folder / "metrics.jsonl", curves)
    if config:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


def write_study(folder):
    """Two models on two tasks at two learning rates and three seeds; one member diverged, one cell failed."""
    cells = {}
    for task in ("bit_parity", "mqar"):
        for model, values in {"gpt": (0.6, 0.5, 0.5), "deltanet_neg": (1.0, 0.99, 0.98)}.items():
            rows = []
            for seed in range(3):
                for rate in (0.001, 0.01):
                    wild = (model, seed, rate) == ("gpt", 2, 0.01)
                    rows += member(
                        [None if wild else value - 0.01 * seed for value in values],
                        model=model,
                        cell=f"{task}-{model}",
                        task=task,
                        seed=seed,
                        learning_rate=rate,
                    )
            cells[f"{task}-{model}"] = {"model": {"name": model}, "task": {"name": task}, "protocol": "small"}
            write_run(folder / "cells" / f"{task}-{model}", rows, cells[f"{task}-{model}"])
    for cell in ("dyck-gpt", "dyck-lstm"):
        cells[cell] = cells["mqar-gpt"] | {"task": {"name": "dyck"}}
    broken = folder / "cells" / "dyck-gpt"
    broken.mkdir()
    error = {"cell": "dyck-gpt", "error": "XlaRuntimeError: out of <memory>", "traceback": "Traceback …"}
    (broken / "error.json").write_text(json.dumps(error))
    (folder / "study.json").write_text(json.dumps({"cells": cells}))
    return folder

"""The tables for a paper: columns, escapes, spreads, what is bold; compiled where there is a TeX."""

import csv
import itertools
import re
import shutil
import subprocess

import numpy as np
import pytest
from report_rows import member, write_run

from rnnbench.report import latex
from rnnbench.report.__main__ import main
from rnnbench.report.spread import spreads

SEEDS = {"deltanet_neg": (1.0, 0.9, 0.8, 0.7), "lstm": (0.9, 0.9, 0.8, 0.8), "gpt": (None, 0.6, 0.6, 0.6)}


@pytest.fixture
def folder(tmp_path):
    rows = []
    for model, values in SEEDS.items():
        for seed, value in enumerate(values):
            rows += member((value, value, 0.5), model=model, seed=seed)
    return write_run(tmp_path, rows)


def lines(folder):
    text = (folder / "tables.tex").read_text()
    found = [line.removesuffix(r" \\").split(" & ") for line in text.splitlines() if line.endswith(r" \\")]
    return text, {line[0]: line[1:] for line in found}


@pytest.mark.parametrize(
    "spread, negative, diverged",
    [
        ("range", r"\textbf{0.850} (0.700--1.000)", "0.600 (diverged--0.600)"),
        ("quartiles", r"\textbf{0.850} (0.775--0.925)", "0.600 (diverged--0.600)"),
        ("error", r"\textbf{0.850} $\pm$ 0.065", "diverged"),
    ],
)
def test_a_table_with_its_spread(folder, spread, negative, diverged, capsys):
    assert main([str(folder), "--latex", f"--spread={spread}"]) == 0
    text, found = lines(folder)
    assert found[r"deltanet\_neg"][0] == negative and found["gpt"][0] == diverged
    assert found["lstm"][0].startswith(r"\textbf{0.850}")  # a tie at the printed digits
    assert f"{latex.SPREADS[spread]}, 4 seeds, at" in text and latex.BOLD in text
    assert found["chance"] == ["0.500"] * 3
    columns = re.search(r"\\begin\{tabular\}\{(l+r+)\}", text)[1]
    assert {len(columns) - 1} == {len(cells) for cells in found.values()} == {3}
    written = list(csv.DictReader((folder / "tables.csv").read_text().splitlines()))
    assert len(written) == 9 and {row["bold"] for row in written if row["model"] == "gpt"} == {"0", "1"}
    assert (folder / "accuracy_vs_length.pdf").read_bytes().startswith(b"%PDF")


def test_settings_and_mixers_are_told_apart(tmp_path, capsys):
    rows = []
    for i, (mixer, group) in enumerate(itertools.product(("v1:EMA", "v2:EMA"), ("Z2", "S5"))):
        overrides = {"model.mixer": mixer, "task.group": group}
        rows += member((0.1 * i, 0.5, 0.5), model="EMA", cell=f"cell-{i}", overrides=overrides)
    write_run(tmp_path, rows)
    assert main([str(tmp_path), "--latex"]) == 0
    text, found = lines(tmp_path)
    assert found.keys() >= {"EMA mixer=v1:EMA", "EMA mixer=v2:EMA"} and "0.300" in text
    written = list(csv.DictReader((tmp_path / "tables.csv").read_text().splitlines()))
    told = {(row["task"], row["setting"], row["model"], row["case"]): row["value"] for row in written}
    assert len(told) == len(written) == 12
    assert told["bit_parity", "Bit parity · group S5", "EMA mixer=v1:EMA", "length=32"] == "0.1"


def test_quartiles_are_those_of_the_report():
    """Also where a seed diverged; between it and the next there is no number."""
    values = [-np.inf, 0.5, 0.6, 0.7, 0.8, 0.9]
    (found,) = spreads([("", value) for value in values]).values()
    assert latex.middle(values, "quartiles") == pytest.approx((0.65, found["low"], found["high"]))
    low, high = latex.middle([-np.inf, -np.inf, 0.5], "quartiles")[1:]
    assert not np.isfinite(low) and not np.isfinite(high)


def test_a_spread_without_tables_is_refused(folder, capsys):
    before = sorted(folder.iterdir())
    assert main([str(folder), "--spread=error"]) == 2
    assert capsys.readouterr().err == "rnnbench: --spread: is for the tables of --latex, which is missing\n"
    assert sorted(folder.iterdir()) == before


def test_escapes():
    assert latex.escape(r"a_b 50% {x} & 2× \y") == r"a\_b 50\% \{x\} \& 2$\times$ \textbackslash{}y"


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs pdflatex")
def test_it_compiles(folder, tmp_path, capsys):
    main([str(folder), "--latex"])
    text = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\\input{tables}\\end{document}"
    (folder / "paper.tex").write_text(text)
    subprocess.run(["pdflatex", "-halt-on-error", "paper.tex"], cwd=folder, check=True, capture_output=True)

"""Accuracy against pairs / d_k: `python results/remake.py results/mqar_capacity`."""

import statistics

from rnnbench.report.figures import line
from rnnbench.report.panels import Panel, Plot
from rnnbench.report.spread import spreads
from rnnbench.report.style import Style

DIM = 64  # the model's width; d_k is that of a head
STYLES = {
    16: Style("#E69F00", (), "square"),
    32: Style("#0072B2", (), "circle"),
    64: Style("#000000", (), "triangle-up"),
}


def pages(rows):
    found = curves(rows)
    return {"accuracy_vs_load.png": figure(found), "table.md": table(found)}


def curves(rows):
    """d_k -> number of pairs -> accuracy of each seed, worst first."""
    found = {}
    for row in rows:
        key_dim = DIM // row["overrides"].get("model.heads", 1)
        by_pairs = found.setdefault(key_dim, {})
        by_pairs.setdefault(row["case"]["pairs"], []).append(row["accuracy"] or 0.0)
    return {d: {n: sorted(by_pairs[n]) for n in sorted(by_pairs)} for d, by_pairs in sorted(found.items())}


def figure(found):
    lines = []
    for key_dim, by_pairs in found.items():
        values = [(pairs / key_dim, value) for pairs, seeds in by_pairs.items() for value in seeds]
        label = f"d_k = {key_dim}, {DIM // key_dim} head{'s' * (key_dim < DIM)}"
        lines.append(line(label, STYLES[key_dim], [(x, "", s) for x, s in spreads(values).items()]))
    panel = Panel(
        "DeltaNet: how many pairs a memory of d_k × d_k holds",
        "median over seeds, band from worst to best",
        "pairs / d_k",
        "accuracy over the queries",
        lines,
        x_log=2,
        x_ticks=[(2.0**power, f"{2.0**power:g}") for power in range(-4, 4)],
    )
    return Plot("accuracy_vs_load", panel.title, "", [panel])


def table(found):
    """pairs × d_k: median (worst–best) over the seeds."""
    pairs = sorted({n for by_pairs in found.values() for n in by_pairs})
    show = lambda seeds: f"{statistics.median(seeds):.3f} ({seeds[0]:.3f}–{seeds[-1]:.3f})" if seeds else ""
    lines = [["pairs", *(f"d_k = {d}" for d in found)], ["---:"] * (1 + len(found))]
    lines += [[str(n), *(show(by_pairs.get(n)) for by_pairs in found.values())] for n in pairs]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"

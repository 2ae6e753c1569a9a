"""Accuracy against pairs / d_k: `python results/remake.py results/mqar_capacity`."""

import statistics

from matplotlib.figure import Figure

DIM = 64  # the model's width; d_k is that of a head
COLOURS = {16: "#E69F00", 32: "#0072B2", 64: "#000000"}
MARKERS = {16: "s", 32: "o", 64: "^"}


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
    drawing = Figure(figsize=(7.6, 4.6), layout="constrained", facecolor="white")
    axes = drawing.subplots()
    for key_dim, by_pairs in found.items():
        loads = [pairs / key_dim for pairs in by_pairs]
        middle = [statistics.median(seeds) for seeds in by_pairs.values()]
        colour, label = COLOURS[key_dim], f"d_k = {key_dim}, {DIM // key_dim} head{'s' * (key_dim < DIM)}"
        axes.plot(loads, middle, color=colour, marker=MARKERS[key_dim], label=label)
        low, high = ([pick(seeds) for seeds in by_pairs.values()] for pick in (min, max))
        axes.fill_between(loads, low, high, color=colour, alpha=0.12, linewidth=0)
    axes.axvline(1, color="#8A8A8A", linestyle=":", linewidth=1)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set(xlabel="pairs / d_k", ylabel="accuracy over the queries", ylim=(0, 1.03))
    axes.set_title(
        "DeltaNet: how many pairs a memory of d_k × d_k holds (median, worst to best)", fontsize=11
    )
    axes.legend(frameon=False)
    return drawing


def table(found):
    """d_k × pairs, median (worst–best) over the seeds."""
    pairs = sorted({n for by_pairs in found.values() for n in by_pairs})
    show = lambda seeds: f"{statistics.median(seeds):.3f} ({seeds[0]:.3f}–{seeds[-1]:.3f})" if seeds else ""
    lines = [["pairs", *(f"d_k = {d}" for d in found)], ["---:"] * (1 + len(found))]
    lines += [[str(n), *(show(by_pairs.get(n)) for by_pairs in found.values())] for n in pairs]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"

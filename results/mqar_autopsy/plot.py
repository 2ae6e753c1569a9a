"""The pages of the autopsy from its rows: `python results/remake.py results/mqar_autopsy`."""

import statistics

from matplotlib.figure import Figure
from study import FAULTS, SUSPECTS

# What a fault's mending is called, in the order of the ladder.
MENDS = {
    "diagonal": "the memory read as a matrix",
    "shared_ids": "keys and values with ids of their own",
    "one_query": "every key asked",
    "stale": "no state of another sequence",
}
COLUMNS = ("setting", "accuracy", "learning rate")
COLOURS = ("#000000", "#D55E00", "#E69F00", "#56B4E9", "#0072B2", "#009E73", "#CC79A7", "#7A5195", "#A0522D")


def pages(rows):
    found = settings(rows)
    return {"accuracy_vs_keys.png": figure(found), "tables.md": tables(found)}


def settings(rows):
    """A dict per setting: what it is, and the headline of each seed at the learning rate that counts.

    That is the one with the best median over seeds at the selection case; ties go to the lower loss.
    """
    found = {}
    for row in rows:
        if row["selection"]:
            found.setdefault(row["cell"], []).append(row)
    return [_setting(of_cell) for of_cell in found.values()]


def _setting(rows):
    changes = rows[0]["overrides"]
    rates = {}
    for row in rows:
        rates.setdefault(row["learning_rate"], []).append(row)
    median = lambda rate, name: statistics.median(row[name] or 0.0 for row in rates[rate])
    chosen = max(rates, key=lambda rate: (median(rate, "accuracy"), -median(rate, "loss")))
    return {
        "mixer": changes.get("model.mixer", "autopsy_mixer:FaultyDeltaNet").partition(":Faulty")[2],
        "faults": tuple(changes.get("model.options.faults", "").split()),
        "keys": changes.get("task.num_keys", 3),
        "dim": changes.get("model.dim", 16),
        "conv": changes.get("model.conv_size", 0),
        "steps": rows[0]["step"],
        "rate": chosen,
        "chance": rows[0]["chance"],
        "seeds": sorted(row["accuracy"] or 0.0 for row in rates[chosen]),
    }


def line_of(setting):
    """The line a setting of the ladder or the climb belongs to; None for the others."""
    faults, size = setting["faults"], (setting["dim"], setting["conv"])
    if setting["mixer"] != "DeltaNet":
        return None
    if size != (16, 0):
        grown = "+ width 64" + (" and a short convolution" if setting["conv"] else "")
        return grown + (", read by the diagonal" if faults else "")
    mended = len(FAULTS) - len(faults)
    if faults != FAULTS[mended:]:
        return None
    longer = f", {setting['steps']:,} steps" if setting["steps"] > 1500 else ""
    return f"+ {MENDS[FAULTS[mended - 1]]}{longer}" if mended else "the original, rebuilt"


def figure(found):
    """Accuracy against the number of keys, a line per mend."""
    drawing = Figure(figsize=(11.0, 4.8), layout="constrained", facecolor="white")
    axes = drawing.subplots()
    lines = {}
    for setting in found:
        if name := line_of(setting):
            lines.setdefault(name, []).append(setting)
    mends = ["the original, rebuilt", *(f"+ {mend}" for mend in MENDS.values())]
    order = sorted(lines, key=lambda name: (mends.index(name) if name in mends else len(mends), name))
    for colour, name in zip(COLOURS, order):
        line = sorted(lines[name], key=lambda setting: setting["keys"])
        keys = [setting["keys"] for setting in line]
        middle = [statistics.median(setting["seeds"]) for setting in line]
        axes.plot(keys, middle, color=colour, marker="o", label=name)
        low, high = ([pick(setting["seeds"]) for setting in line] for pick in (min, max))
        axes.fill_between(keys, low, high, color=colour, alpha=0.12, linewidth=0)
    keys = sorted({setting["keys"] for setting in found})
    axes.plot(keys, [1 / (2 * n) for n in keys], color="#8A8A8A", linestyle=":", linewidth=1, label="chance")
    axes.set_xscale("log", base=2)
    axes.set_xticks(keys, map(str, keys))
    axes.set(xlabel="keys, as many as pairs", ylabel="accuracy over the queries", ylim=(0, 1.03))
    axes.set_title("One mend after another: median of three seeds, band from worst to best", fontsize=11)
    drawing.legend(loc="outside right upper", frameon=False, fontsize=9)
    return drawing


def tables(found):
    """Both directions of the ablation, and every setting that was run."""
    parts = ["# All settings of the autopsy", "Median over three seeds (worst–best) at the better rate."]
    for mixer in dict.fromkeys(setting["mixer"] for setting in found):
        alike = [s for s in found if (s["mixer"], s["dim"], s["steps"]) == (mixer, 16, 1500)]
        by_faults = {(s["faults"], s["keys"]): s for s in alike}
        for keys in sorted({keys for _, keys in by_faults}):
            lines = [
                (name, by_faults[faults, keys]) for name, faults in _kinds() if (faults, keys) in by_faults
            ]
            if lines:
                heading = f"## {mixer}, {keys} keys (chance {1 / (2 * keys):.3f})"
                parts += [heading, _table(COLUMNS, map(_line, lines))]
    larger = [s for s in found if s["steps"] > 1500]
    if larger:
        lines = [_line((f"{s['keys']} keys, {line_of(s).removeprefix('+ ')}", s)) for s in larger]
        parts += [f"## More keys, {larger[0]['steps']:,} steps", _table(COLUMNS, lines)]
    return "\n\n".join(parts) + "\n"


def _kinds():
    """(what a setting is called, its faults), the original first and the mended one in the middle."""
    yield "the original: all four faults", FAULTS
    for fault in FAULTS:
        yield f"the original but for {fault}", tuple(each for each in FAULTS if each != fault)
    for mended in range(2, len(FAULTS) - 1):
        yield f"only {' and '.join(FAULTS[mended:])}", FAULTS[mended:]
    yield "no fault", ()
    for fault in FAULTS + SUSPECTS:
        yield f"only {fault}", (fault,)


def _line(named):
    name, setting = named
    seeds = setting["seeds"]
    return name, f"{statistics.median(seeds):.3f} ({seeds[0]:.3f}–{seeds[-1]:.3f})", f"{setting['rate']:g}"


def _table(columns, lines):
    rule = ["---", *["---:"] * (len(columns) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (columns, rule, *lines))

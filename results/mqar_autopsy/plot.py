"""Makes the pages of the autopsy from its rows: `python results/remake.py results/mqar_autopsy`."""

import statistics

from study import FAULTS, SUSPECTS

from rnnbench.report.figures import line
from rnnbench.report.panels import Panel, Plot
from rnnbench.report.spread import spreads
from rnnbench.report.style import Style

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
    """A dict per setting: what it is, and the headline of each seed at the chosen learning rate.

    The chosen rate has the best median over seeds at the selection case; ties go to the lower loss.
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
    lines = {}
    for setting in found:
        if name := line_of(setting):
            lines.setdefault(name, []).extend((setting["keys"], value) for value in setting["seeds"])
    mends = ["the original, rebuilt", *(f"+ {mend}" for mend in MENDS.values())]
    order = sorted(lines, key=lambda name: (mends.index(name) if name in mends else len(mends), name))
    curve = lambda name: [(keys, "", spread) for keys, spread in sorted(spreads(lines[name]).items())]
    drawn = [line(name, Style(colour, (), "circle"), curve(name)) for colour, name in zip(COLOURS, order)]
    keys = sorted({setting["keys"] for setting in found})
    panel = Panel(
        "One mend after another",
        "median of three seeds, band from worst to best",
        "keys, as many as pairs",
        "accuracy over the queries",
        drawn,
        x_log=2,
        x_ticks=[(n, str(n)) for n in keys],
        chance=[(n, 1 / (2 * n)) for n in keys],
    )
    return Plot("accuracy_vs_keys", panel.title, "", [panel])


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

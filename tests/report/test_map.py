"""The map: how far a cell holds, its marks and its place, the picture, the agreement with theory."""

from dataclasses import replace

import pytest
from report_rows import row

from configs import bit_parity, counting
from rnnbench.report import agreement, draw
from rnnbench.report import map as maps
from rnnbench.report.read import Results
from rnnbench.report.summary import summarise


def cell(model, *seeds, lengths=(32, 64, 128, 256)):
    """Rows of seeds with these accuracies at the lengths; chance is 0.5."""
    return [
        row(model, length, accuracy, seed=seed, cell=f"bit_parity-map-{model}", protocol="map")
        for seed, accuracies in enumerate(seeds)
        for length, accuracy in zip(lengths, accuracies)
    ]


def drawn(rows):
    """The map of these rows, which have the configs of bit parity."""
    configs = {(None, row["cell"]): bit_parity.get_config(f"{row['model']},map").to_dict() for row in rows}
    (panel,) = maps.plot(summarise(rows), Results(rows, [], [], configs, [], [], []), whole=True).panels
    return panel


def test_code_that_is_not_here_leaves_theory_open():
    """Such as a mixer beside the config file of another project: rows are enough for a map."""
    rows = [each | {"model": "Mixer"} for each in cell("lstm", (1.0, 1.0, 1.0, 1.0))]
    config = bit_parity.get_config("lstm,map").to_dict()
    config["model"] |= {"name": "Mixer", "mixer": "not_here:Mixer"}
    found = Results(rows, [], [], {(None, rows[0]["cell"]): config}, [], [], [])
    (panel,) = maps.plot(summarise(rows), found, whole=True).panels
    assert panel.cells["Mixer", "Bit parity"].theory == "open"


@pytest.mark.parametrize("config", [{}, {"model": {}}, {"model": 3, "task": []}, {"task": {}, "model": {}}])
def test_a_config_of_another_kind_leaves_theory_open(config):
    rows = cell("lstm", (1.0, 1.0, 1.0, 1.0))
    found = Results(rows, [], [], {(None, rows[0]["cell"]): config}, [], [], [])
    (panel,) = maps.plot(summarise(rows), found, whole=True).panels
    assert panel.cells["lstm", "Bit parity"].theory == "open"


@pytest.mark.parametrize(
    "accuracies, held",
    [
        ((1.0, 1.0, 1.0, 0.96), 8),
        ((1.0, 1.0, 0.94, 1.0), 2),  # not beyond the first multiple that it loses
        ((0.96, 0.5, 0.5, 0.5), 1),
        ((0.9, 1.0, 1.0, 1.0), 0),
        ((None, None, None, None), 0),
    ],
)
def test_a_cell_holds_up_to_the_first_multiple_that_it_loses(accuracies, held):
    (entry,) = summarise(cell("lstm", accuracies))
    assert maps.reach(entry).median == held


def test_a_seed_of_another_learning_rate_takes_the_mark_but_not_the_place():
    """Both rates are perfect at 1×, the first with the smaller loss; the second holds 8×."""
    low = [r | {"learning_rate": 1e-3, "loss": 0.01} for r in cell("deltanet_neg", (1.0, 1.0, 0.5, 0.5))]
    high = [r | {"learning_rate": 1e-2, "loss": 0.02} for r in cell("deltanet_neg", (1.0, 1.0, 1.0, 1.0))]
    (alone,), (both,) = drawn(low).cells.values(), drawn(low + high).cells.values()
    assert (alone.median, alone.any, alone.mark) == (2, 2, "ring")
    assert (both.median, both.best, both.any, both.mark) == (2, 2, 8, "")
    assert agreement.outcome(both) == "in part" and agreement.outcome(alone) == "does not hold"
    assert "learning rate 0.001 (at 0.01 the median holds 8×)" in maps.details(both)["words"]


def test_lengths_near_a_multiple_count_as_it():
    (entry,) = summarise(cell("lstm", (1.0, 1.0, 1.0, 0.96), lengths=(32, 63, 126, 257)))
    assert list(maps.shares(entry)) == [1, 2, 4, 8] and maps.reach(entry).median == 8


def test_theorems_about_single_presets_count():
    rows = [row | {"task": "counting"} for row in cell("gru", (1.0, 1.0, 1.0, 1.0))]
    configs = {(None, rows[0]["cell"]): counting.get_config("gru,map").to_dict()}
    (panel,) = maps.plot(summarise(rows), Results(rows, [], [], configs, [], [], []), whole=True).panels
    assert [(cell.theory, cell.mark) for cell in panel.cells.values()] == [("no", "cross")]


@pytest.mark.parametrize(
    "key, value, theory",
    [
        ("model.options.negative_eigenvalues", True, "open"),
        ("model.mixer", "my_file:Mixer", "open"),
        ("model.pattern", ["deltanet", "gpt"], "open"),
        ("model.layers", 4, "no"),
        ("task.lengths", 4, "no"),
    ],
)
def test_theory_is_of_the_preset_as_it_is(key, value, theory):
    (found,) = drawn(
        [each | {"overrides": {key: value}} for each in cell("deltanet", (1.0,) * 4)]
    ).cells.values()
    assert found.theory == theory


def test_beyond_training_the_hardest_case_of_a_length_counts():
    easy, hard = ({"length": 64, "ones": ones} for ones in ("fixed", "any"))
    trained, harder = {"length": 32, "ones": "fixed"}, {"length": 32, "ones": "any"}
    rows = cell("lstm", (1.0, 0.5, 1.0, 0.6), lengths=(trained, harder, easy, hard))
    rows[1]["selection"] = False
    (entry,) = summarise(rows)
    assert maps.shares(entry) == {
        1: dict.fromkeys(maps.SPREAD, 1.0),
        2: dict.fromkeys(maps.SPREAD, pytest.approx(0.2)),
    }


def test_marks_places_and_picture():
    good, bad = (1.0, 1.0, 1.0, 1.0), (1.0, 0.5, 0.5, 0.5)
    rows = [*cell("lstm", good, bad, bad), *cell("mamba", bad, bad, good), *cell("deltanet_neg", bad, bad)]
    panel = drawn([*rows, *cell("gpt", bad)])
    found = {model: cell for (model, task), cell in panel.cells.items() if task == "Bit parity"}
    texts = {model: (cell.theory, cell.text, cell.between, cell.mark) for model, cell in found.items()}
    assert texts == {
        "lstm": ("yes", "1×", "1–8", ""),
        "mamba": ("no", "1×", "1–8", "cross"),
        "deltanet_neg": ("yes", "1×", "", "ring"),
        "gpt": ("open", "1×", "", ""),
    }
    families, classes = dict(panel.families), dict(panel.classes)
    assert "gru" in families["nonlinear"] and "mamba" in families["diagonal, selective"]
    assert "Bit parity" in classes["regular, solvable"] and "Dyck" in classes["star free"]
    svg = draw.files(maps.Plot("map", "Map", "", [panel]), ("svg",))["svg"]
    assert svg.startswith(b"<?xml") and svg.count(b"<!-- 1\xc3\x97 -->") == 4
    renamed = replace(panel, names={"lstm": "the LSTM"})
    svg = draw.files(maps.Plot("map", "Map", "", [renamed]), ("svg",))["svg"]
    assert b"<!-- the LSTM -->" in svg and b"<!-- lstm -->" not in svg and b"<!-- slstm -->" in svg
    csv = agreement.files(panel)["agreement.csv"].splitlines()
    assert "selective,yes,can,0,1,1" in csv and "selective,yes,cannot,0,1,0" in csv
    assert (
        'class of task,"regular, solvable",can,0,1,1' in csv
        and 'class of task,"regular, solvable",open,0,0,1' in csv
    )
    assert agreement.exceptions(panel) == {
        ("ring", "Bit parity"): ["`deltanet_neg` (1×)"],
        ("cross", "Bit parity"): ["`mamba` (1×, 1–8)"],
    }


@pytest.mark.parametrize(
    "seeds, words",
    [
        (
            ((1.0, 1.0, 0.5, 0.5), (0.5,) * 4, (1.0,) * 4),
            "Of 3 seeds the median holds 2×, the worst nothing",
        ),
        (((0.5,) * 4, (0.6,) * 4), "No seed learns the training length; learning rate "),
        (((1.0, 1.0, 1.0, 0.5),), "The only seed holds 4×; "),
    ],
)
def test_a_cell_tells_how_far_its_seeds_hold(seeds, words):
    (cell_,) = drawn(cell("lstm", *seeds)).cells.values()
    assert maps.details(cell_)["words"].startswith(words)


def test_a_cell_tells_of_a_seed_at_another_learning_rate():
    """The rate that counts has the better median at 1×, and a seed of the other alone learns it."""
    rows = [each | {"learning_rate": 0.001} for each in cell("lstm", (0.8,) * 4, (0.8,) * 4, (0.8,) * 4)]
    rows += [each | {"learning_rate": 0.01} for each in cell("lstm", (1.0,) * 4, (0.6,) * 4, (0.6,) * 4)]
    (cell_,) = drawn(rows).cells.values()
    assert maps.details(cell_)["words"].startswith(
        "No seed of this learning rate learns the training length, one of another holds 8×; learning rate "
    )


def test_a_cell_tells_the_command_that_makes_it():
    (cell_,) = drawn(cell("lstm", (1.0,))).cells.values()
    command = maps.details(cell_)["command"]
    assert (
        command == "python launch.py --config=configs/bit_parity.py:lstm,map --workdir=runs/bit_parity-lstm"
    )

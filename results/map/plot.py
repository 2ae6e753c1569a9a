"""The map from its rows: `python results/remake.py results/map`."""

from pathlib import Path

from rnnbench.report import agreement
from rnnbench.report import map as maps
from rnnbench.report.read import read
from rnnbench.report.summary import summarise


def pages(rows):
    found = read([Path(__file__).parent])
    drawn = maps.plot(summarise(found.rows), found, whole=True)
    (panel,) = drawn.panels
    return {"map.png": drawn, "map.svg": drawn, **agreement.files(panel)}

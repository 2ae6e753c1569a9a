"""report.html: one file that needs no network, from the template page.html."""

from collections.abc import Sequence
from pathlib import Path

from rnnbench.report import tables, text
from rnnbench.report.findings import findings, scale
from rnnbench.report.panels import Heatmap, Plot
from rnnbench.report.read import Results
from rnnbench.report.summary import groups


def lacking() -> str:
    """What is missing for the page, in words; nothing if all is there."""
    try:
        import jinja2  # noqa: F401
        import plotly  # noqa: F401
    except ImportError as error:
        return f"it needs {error.name}; install the extra: pip install -e '.[report]'"
    return ""


def html(entries: Sequence[dict], found: Results, drawn: Sequence[Plot]) -> str:
    """The page as text."""
    import jinja2
    from plotly.offline import get_plotlyjs

    folder = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=folder, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.undefined = jinja2.StrictUndefined
    shared, own = tables.configs(found)
    return environment.get_template("page.html").render(
        plotlyjs=get_plotlyjs(),
        introduction=text.introduction(entries),
        about=text.about(entries),
        findings=findings(entries),
        scale=scale(),
        missing=text.missing(found),
        plots=[(plot, _layout(plot), [_div(plot, i) for i in range(len(plot.panels))]) for plot in drawn],
        groups=[(g, tables.results(g), tables.note(g), tables.warnings(g.entries)) for g in groups(entries)],
        diverged=tables.diverged(entries),
        failures=found.failures,
        cost=tables.cost(entries),
        cost_sentence=tables.cost_sentence(entries),
        versions=tables.versions(found),
        shared=shared,
        own=own,
    )


def _div(plot: Plot, i: int) -> str:
    from rnnbench.report import interactive

    settings = {"displayModeBar": False, "responsive": True}
    return interactive.figure(plot.panels[i]).to_html(
        full_html=False, include_plotlyjs=False, div_id=f"{plot.name}-{i}", config=settings
    )


def _layout(plot: Plot) -> str:
    """The style class of its panels' grid."""
    if isinstance(plot.panels[0], Heatmap) or len(plot.panels) == 1:
        return "single"
    return "thirds" if plot.name == "cost" else "halves"

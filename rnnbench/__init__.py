"""rnnbench: what can a recurrence learn, does it extrapolate in length, and what does it cost?

In a notebook, `rnnbench.load(workdir)` loads a trained member, `rnnbench.stream(model)` feeds it token by
token, and `rnnbench.results(*workdirs)` returns a DataFrame of all rows.
"""

__version__ = "0.1.0"
__all__ = ["load", "results", "stream"]


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def __getattr__(name: str):
    if name in __all__:
        from rnnbench import notebook  # imported on use: JAX takes seconds to load

        return getattr(notebook, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""A preset: a mixer under a name, with some of its settings fixed."""

import inspect
from typing import Any

from flax import nnx

from rnnbench.errors import ConfigError
from rnnbench.plugins import Options, imported

# The settings of `config.model` that mixers share, and their values for a mixer whose constructor lacks them.
SHARED: dict[str, Any] = {"heads": 0, "conv_size": 0, "positions": "none"}
# Types that a flag can set; an argument with a default of another type keeps it.
PLAIN = (bool, int, float, str, tuple)
# What a preset may say about the transition of its state, the matrix A_t of S_t = A_t S_{t-1} + …
SPECTRA = ("", "[0, 1]", "(-1, 1]", "[-1, 1]", "complex", "unbounded")
STRUCTURES = (
    "", "diagonal", "diagonal + rank 1", "diagonal + rank 2", "diagonal + rank 3", "dense", "nonlinear",
    "attention", "hybrid",
)  # fmt: skip


class Preset:
    """`Preset(DeltaNet, negative_eigenvalues=True)`: the mixer, and the settings that it fixes.

    A mixer is `Mixer(dim, *, rngs, **settings)`. The keyword arguments of its constructor are its settings:
    those in SHARED come from `config.model`, the others are its options, `config.model.options`, each with a
    default and explained by `Annotated[type, "text"]`. A setting that a preset fixes overrides a protocol's.
    In tables presets are sorted by `order`, then by the name of their file, then by their place in it.

    A preset with a `pattern`, such as ("deltanet", "gpt conv_size=4"), is a hybrid: the parts are the presets
    of the layers, each with its settings, and are repeated to the depth. `mixer` is that of the first.

    What a preset says about the transition ∂S_t/∂S_{t-1} of its state, the short convolution left out:
    spectrum    where its eigenvalues lie, and reach: "[0, 1]", "(-1, 1]" (negative ones, but none near -1),
                "[-1, 1]", "complex" (in the unit disc, not all of them real) or "unbounded"; "" for a
                nonlinear recurrence and attention, without any
    structure   "diagonal", "diagonal + rank 1" (2, 3: as many more in a step), "dense", "nonlinear" (it
                depends on the state), "attention" (all tokens are kept) or "hybrid" (its parts say it); ""
                if nothing is said
    selective   whether it depends on the input
    """

    def __init__(
        self,
        mixer: type,
        *,
        order: int = 100,
        spectrum: str = "",
        structure: str = "",
        selective: bool | None = None,
        pattern: tuple[str, ...] = (),
        **settings: Any,
    ):
        for name, value, known in (
            ("spectrum", spectrum, SPECTRA),
            ("structure", structure, STRUCTURES),
            ("selective", selective, (None, False, True)),
        ):
            if value not in known:
                raise TypeError(f"{mixer.__name__}: {name} must be one of {known}, got {value!r}")
        if (structure in ("", "nonlinear", "attention", "hybrid")) != (spectrum == ""):
            raise TypeError(
                f"{mixer.__name__}: spectrum {spectrum!r} does not go with structure {structure!r}"
            )
        self.spectrum, self.structure, self.selective = spectrum, structure, selective
        self.mixer, self.order, self.settings, self.pattern = mixer, order, settings, pattern
        self.parameters = dict(list(inspect.signature(mixer.__init__, eval_str=True).parameters.items())[2:])
        if unknown := sorted(settings.keys() - self.parameters.keys()):
            raise TypeError(f"{mixer.__name__} has no argument {unknown[0]!r}")

    def build(self, dim: int, **settings: Any) -> nnx.Module:
        """Builds the mixer; `settings` override the preset's own. `rngs` are required."""
        return self.mixer(dim, **self.settings | settings)

    def options(self) -> Options:
        """{option: (its value in this preset, what it means)}; a hybrid has none, its parts do."""
        own = {}
        for name, parameter in () if self.pattern else self.parameters.items():
            value = self.settings.get(name, parameter.default)
            if name not in ("rngs", "dtype", *SHARED) and isinstance(value, PLAIN):
                own[name] = value, next(iter(getattr(parameter.annotation, "__metadata__", ())), "")
        return own

    def shared(self) -> dict[str, Any]:
        """The shared settings that a protocol does not decide: fixed by the preset, or not the mixer's."""
        return {
            name: self.settings.get(name, off)
            for name, off in SHARED.items()
            if name in self.settings or name not in self.parameters
        }


def external(path: str) -> Preset:
    """The preset of an external mixer, `my_package.my_module:MyMixer`."""
    mixer = imported("model.mixer", path)
    if not (isinstance(mixer, type) and issubclass(mixer, nnx.Module)):
        raise ConfigError("model.mixer", f"{path!r} is not a class that derives from nnx.Module")
    try:
        preset = Preset(mixer)
    except Exception as error:  # a signature that cannot be read
        raise ConfigError("model.mixer", f"{path!r} cannot be used ({error})") from error
    return preset

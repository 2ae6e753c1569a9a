"""Configs: the keys, a config made and compared, config files."""

from rnnbench.errors import ConfigError, InputError, first_line, warn

__all__ = ["ConfigError", "InputError", "first_line", "warn"]

"""Configs: their keys, how they are built and compared, and config files."""

from rnnbench.errors import ConfigError, InputError, first_line, told, warn, warn_once

__all__ = ["ConfigError", "InputError", "first_line", "told", "warn", "warn_once"]

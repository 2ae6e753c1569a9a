"""Every configuration key with its default and comment, the presets, and the checks."""


class ConfigError(ValueError):
    """A setting that cannot work. Its text is one line that names the flag to change."""

    def __init__(self, key: str, message: str):
        super().__init__(f"--config.{key}: {message}")
        self.key = key

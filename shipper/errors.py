"""Every error that a user may meet, each with what is wrong, where, and what to do about it.

ShipperError
  ConfigError      the configuration; the command ends with exit code 2
  RegistryError    the data directory and what it remembers
  DeadLetterError  the dead letter files, as the commands meet them
  OutputError      the way to Elasticsearch, as far as it is set up on this side
"""


class ShipperError(Exception):
    """An error that is shown to a person as it is; it carries no secret."""

    def __init__(self, what: str, *, where: str = "", what_to_do: str = "") -> None:
        """`where`: a file and line, a key, a path. Both may be empty."""
        super().__init__(what)
        self.what = what
        self.where = where
        self.what_to_do = what_to_do

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        advice = f" ({self.what_to_do})" if self.what_to_do else ""
        return f"{where}{self.what}{advice}"


class ConfigError(ShipperError):
    """The configuration cannot be used."""


class RegistryError(ShipperError):
    """The registry cannot be opened, read or written."""


class DeadLetterError(ShipperError):
    """The dead letters cannot be read, or sent again now."""


class OutputError(ShipperError):
    """Requests cannot be made: a secret's file cannot be read, say."""

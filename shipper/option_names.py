"""What an option is called in the dialect that a configuration is written in.

Code names options as shipper's own dialect does (`output.tls.ca`); who reads `filebeat.yml` has to
be told `output.elasticsearch.ssl.certificate_authorities`. A message is made with `option("…")` in
it, and `OptionNames.fill` puts the name in its place once the dialect is known.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

#: Two characters for private use, which stand in no text that somebody writes.
_BEGIN, _END = "\ue000", "\ue001"
_OF_INPUTS = "inputs[]."
_MARK = re.compile(f"{_BEGIN}([^{_BEGIN}{_END}]*){_END}")


def option(path: str, *others: str) -> str:
    """An option in a message, by its whole path (`output.tls.ca`, `inputs[].paths`); or one of
    several, of which those are named that the dialect has."""
    return f"{_BEGIN}{' '.join((path, *others))}{_END}"


@dataclass(frozen=True, slots=True)
class OptionNames:
    """The names in one dialect."""

    #: By the path in our own dialect.
    names: Mapping[str, str] = field(default_factory=dict)
    #: The key below which options of our own dialect are that this one has no name for: at the top
    #: of the file, or in an input.
    own: str = ""

    def __call__(self, path: str) -> str:
        """What the option is called."""
        if found := self.names.get(path):
            return found
        if not self.own:
            return path
        if path.startswith(_OF_INPUTS):
            inputs = self.names.get("inputs", "inputs")
            return f"{inputs}[].{self.own}.{path.removeprefix(_OF_INPUTS)}"
        return f"{self.own}.{path}"

    def together(self, *paths: str) -> str:
        """What the options are called that belong together, with `and`; each name once."""
        return " and ".join(dict.fromkeys(map(self, paths)))

    def fill(self, text: str) -> str:
        """A message with the names of its options."""
        return _MARK.sub(lambda found: self._one_of(found[1].split()), text)

    def _one_of(self, paths: list[str]) -> str:
        there = [path for path in paths if not self.own or path in self.names] or paths[:1]
        # Two of ours may be one there.
        *others, last = dict.fromkeys(map(self, there))
        return f"{', '.join(others)} or {last}" if others else last


#: Our own dialect: every option has the name that the code has for it.
OWN_NAMES = OptionNames(MappingProxyType({}))

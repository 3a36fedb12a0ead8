"""The seam for what a line contributes to its document besides its time.

With `format: raw` that is the line's text alone, which the encoder writes by itself.
"""

from collections.abc import Mapping
from typing import Protocol

from shipper.config.inputs import Format


class Contributions(Protocol):
    """Makes what a line contributes to its document, where that is more than its text.

    That is bytes of JSON: members of an object, without the braces.
    """

    @property
    def constants(self) -> Mapping[str, object]:
        """What is the same in all documents."""

    def quick(self, line: bytes) -> tuple[bytes, bytes | memoryview]:
        """The `time` of an ordinary line as JSON, and what it contributes.

        Raises msgspec.MsgspecError, ValueError or RecursionError if it is not ordinary.
        """

    def careful(self, text: str, problem: str, *, parse: bool) -> tuple[bytes | memoryview, str]:
        """What a line contributes, whatever it is, and what is wrong with it in words: `problem`,
        or what shows only here. `parse`: whether it is an event, as far as has been looked."""


def contributions_of(form: Format, constants: Mapping[str, object]) -> Contributions | None:
    """Who makes them for an input; None if a line's text is all. `constants`: what every document
    carries besides its time, its line and its log.*."""
    if form is Format.RAW:
        return None
    # Its types take a while to make, which a start without it does not pay for.
    from shipper.documents.ecs import EcsDocuments

    return EcsDocuments(constants)

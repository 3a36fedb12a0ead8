"""The interface for the content that a line contributes to its document, besides its time.

With `format: raw` it is the text of the line, which the encoder writes itself.
"""

from collections.abc import Mapping
from typing import Protocol

from shipper.config.inputs import Format


class Contributions(Protocol):
    """Makes the content of a line for formats other than raw.

    The content is JSON: members of an object, without the braces.
    """

    @property
    def constants(self) -> Mapping[str, object]:
        """The fields that are the same in all documents."""

    def quick(self, line: bytes) -> tuple[bytes, bytes | memoryview]:
        """The `time` of an ordinary line as JSON, and its content.

        Raises msgspec.MsgspecError, ValueError or RecursionError if the line is not ordinary.
        """

    def careful(self, text: str, problem: str, *, parse: bool) -> tuple[bytes | memoryview, str]:
        """The content of any line, and its problem as text: `problem`, or one that is found here.
        `parse`: whether the line is an event, as far as is known."""

    def native_rules(self) -> Mapping[str, object] | None:
        """The rules for the native core (`Rules` in native/src/python.rs); None if it cannot make
        this content."""


def contributions_of(form: Format, constants: Mapping[str, object]) -> Contributions | None:
    """The contributions of a format; None for raw. `constants`: constant fields of the
    documents."""
    if form is Format.RAW:
        return None
    # Imported here: creating its types takes time that other formats do not need at the start.
    from shipper.documents.ecs import EcsDocuments

    return EcsDocuments(constants)

"""What a cluster answers to the questions of `check`. An answer that is something else than it
should be (a proxy's page, nulls, other shapes) counts as one that says nothing: none raises.
"""

from typing import TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, field

from shipper.foreign import decoded, words
from shipper.output.elasticsearch.exchange import Answer
from shipper.output.elasticsearch.said import said

_T = TypeVar("_T", bound=Struct)


class Version(Struct):
    number: str = ""
    distribution: str = "elasticsearch"


class Root(Struct):
    """Of `GET /`."""

    version: Version | None = None

    @property
    def product(self) -> str:
        """Name and version; empty if it does not say."""
        if self.version is None:
            return ""
        is_fork = self.version.distribution == "opensearch"
        return f"{'OpenSearch' if is_fork else 'Elasticsearch'} {self.version.number}".strip()


class _Named(Struct):
    name: str = ""
    attributes: list[str] = field(default_factory=list)


class Resolved(Struct):
    """Of `GET /_resolve/index/NAME`."""

    data_streams: list[_Named] = field(default_factory=list)
    indices: list[_Named] = field(default_factory=list)
    aliases: list[_Named] = field(default_factory=list)

    def has_data_stream(self, name: str) -> bool:
        return any(found.name == name for found in self.data_streams)

    def has_index(self, name: str) -> bool:
        return any(found.name == name for found in self.indices)

    def has_alias(self, name: str) -> bool:
        return any(found.name == name for found in self.aliases)

    def is_closed(self, name: str) -> bool:
        return any(found.name == name and "closed" in found.attributes for found in self.indices)


class _Alias(Struct):
    is_write_index: bool | None = None


class _Aliased(Struct):
    aliases: dict[str, _Alias] = field(default_factory=dict)


_decode_aliased = msgspec.json.Decoder(dict[str, _Aliased]).decode


class Simulated(Struct):
    """Of `POST /_index_template/_simulate_index/NAME`."""

    template: Raw | UnsetType = UNSET


class Template(Struct):
    """One index template."""

    index_patterns: list[str] = field(default_factory=list)
    priority: int | None = None
    data_stream: Raw | UnsetType = UNSET


class _NamedTemplate(Struct):
    index_template: Template = field(default_factory=Template)


class Templates(Struct):
    """Of `GET /_index_template`."""

    index_templates: list[_NamedTemplate] = field(default_factory=list)


class Privileges(Struct):
    """Of `POST /_security/user/_has_privileges`."""

    has_all_requested: bool = False
    index: dict[str, dict[str, bool]] = field(default_factory=dict)

    @property
    def lacking(self) -> list[str]:
        """Which are not granted."""
        if self.has_all_requested:
            return []
        denied = {
            name for rights in self.index.values() for name, given in rights.items() if not given
        }
        return sorted(denied) or ["privileges"]


class _Error(Struct):
    reason: str | None = None


class _Created(Struct):
    status: int = 0
    error: _Error = field(default_factory=_Error)


class _Item(Struct):
    create: _Created | None = None
    delete: _Created | None = None


class Items(Struct):
    """Of `POST /_bulk` with one document, or with none."""

    #: None: it is no answer of `_bulk`.
    errors: bool | None = None
    items: list[_Item] = field(default_factory=list)

    @property
    def only(self) -> tuple[int, str]:
        """Status and reason of the first item; 0 and nothing if there is none."""
        found = (self.items[0].create or self.items[0].delete) if self.items else None
        return (found.status, words(found.error.reason or "")) if found is not None else (0, "")


class _FailureError(Struct):
    type: str = ""


class Failure(Struct):
    """Of a request that was refused as a whole."""

    error: _FailureError = field(default_factory=_FailureError)

    @property
    def kind(self) -> str:
        """The `error.type`; empty if it is no error of Elasticsearch or OpenSearch."""
        return self.error.type


def parse(answer: Answer, kind: type[_T]) -> _T:
    """The answer as that kind; one that says nothing if it is not of it."""
    found = decoded(msgspec.json.Decoder(kind).decode, answer.body)
    return kind() if found is None else found


def has_write_index(answer: Answer, alias: str) -> bool | None:
    """Of `GET /_alias/ALIAS`: whether a document that is sent to it has an index to go to; None if
    the answer does not say.

    One index alone is the one to write to unless it says that it is not.
    """
    if answer.status != 200:
        return None
    indices = decoded(_decode_aliased, answer.body)
    if indices is None:
        return None
    said = [
        found.aliases[alias].is_write_index for found in indices.values() if alias in found.aliases
    ]
    return True in said or said == [None] if said else None


def reason(answer: Answer) -> str:
    """Why a request was refused, to be put after a status; empty if the answer does not say."""
    return said(answer.status, answer.body, answer.redact, answer.location)

"""Which keys our own configuration has, asked by their names."""

import typing

import msgspec

from shipper.config.model import Config
from shipper.config.section import Section


def has_key(path: str) -> bool:
    """Whether there is an option with this dotted name (`output.bulk.linger`)."""
    kind: object = Config
    for part in path.split("."):
        kind = plain(kind)
        if not (isinstance(kind, type) and issubclass(kind, Section)):
            return False
        fields = {found.name: found.type for found in msgspec.structs.fields(kind)}
        if part not in fields:
            return False
        kind = fields[part]
    return True


def plain(kind: object) -> object:
    """A type without its description, and, of one that may be left out, the type itself."""
    while typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    candidates = [each for each in typing.get_args(kind) if isinstance(each, type)]
    sections = [each for each in candidates if issubclass(each, Section)]
    is_union = typing.get_origin(kind) not in (tuple, dict, None)
    return sections[0] if is_union and sections else kind

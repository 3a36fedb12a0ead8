"""Reads the items of an answer of `_bulk`: of each event the status, and what the server says of
it.

Strict about what decides: that the answer is one of `_bulk`, and the statuses. Tolerant about
texts: a server repeats what is in an event, which a stranger wrote, and no event may make the
answer unreadable for the others.
"""

import json
from dataclasses import dataclass
from typing import Annotated

import msgspec

from shipper.foreign import decoded

#: The statuses of HTTP; another number is no answer.
LEAST_STATUS, LARGEST_STATUS = 100, 599

_NOTHING = msgspec.Raw()


@dataclass(frozen=True, slots=True)
class ItemError:
    """What a server says of an event that it did not store. Foreign text, not cut."""

    type: str = ""
    reason: str = ""


class Item(msgspec.Struct):
    """The result of one event."""

    status: Annotated[int, msgspec.Meta(ge=LEAST_STATUS, le=LARGEST_STATUS)]
    #: As it was sent; see `error_of`.
    error: msgspec.Raw = _NOTHING
    #: Elasticsearch 8.19 and later; of a stored document `used`, of a rejected one other words.
    failure_store: msgspec.Raw = _NOTHING

    @property
    def is_in_failure_store(self) -> bool:
        """Whether the event was stored in a failure store."""
        return bytes(self.failure_store) == b'"used"'


class _Create(msgspec.Struct):
    create: Item


class _Summary(msgspec.Struct):
    errors: bool
    items: msgspec.Raw = _NOTHING


class _Error(msgspec.Struct):
    type: msgspec.Raw = _NOTHING
    reason: msgspec.Raw = _NOTHING


_decode_summary = msgspec.json.Decoder(_Summary).decode
_decode_items = msgspec.json.Decoder(list[_Create]).decode
_decode_error = msgspec.json.Decoder(_Error).decode
_decode_text = msgspec.json.Decoder(str).decode

_CREATED = b'{"create":{"status":201}}'


#: The most bytes in which half a surrogate pair is looked for: it takes 40 ns a byte on the event
#: loop. All answers to 2000 events, `output.bulk.max_events`, are smaller.
_MOST_MENDED = 8 * 1024**2


def items_of(body: bytes, events: int) -> list[Item] | None:
    """The items of an answer to so many events; None if all were created.

    Raises msgspec.MsgspecError, ValueError or RecursionError if it is no answer to them.
    """
    try:
        return _items(body, events)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError as error:
        if len(body) > _MOST_MENDED:
            raise
        try:
            mended = _without_surrogates(body)
        except (ValueError, RecursionError):
            raise error from None
        return _items(mended, events)


def _items(body: bytes, events: int) -> list[Item] | None:
    listed = bytes(_decode_summary(body).items)
    if not listed:
        raise ValueError("it has no items")
    if listed == b"[%b]" % b",".join([_CREATED] * events):
        return None
    found = [item.create for item in _decode_items(listed)]
    if len(found) != events:
        raise ValueError(f"{len(found)} items for {events} events")
    return found


def _without_surrogates(body: bytes) -> bytes:
    """The same JSON with a question mark for each surrogate without its other half (`\\ud800`):
    msgspec takes none of them, a line may have them, and servers repeat what is in a line.

    Raises ValueError or RecursionError if it is no JSON.
    """
    value = json.loads(body.decode("utf-8", "replace"))
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def error_of(item: Item) -> ItemError | None:
    """What the server says of an event; None if it says nothing. Total: any JSON may be there."""
    data = bytes(item.error)
    if data in (b"", b"null"):
        return None
    found = decoded(_decode_error, data)
    if found is None:
        # Of another product, or of a proxy.
        return ItemError(reason=_text(item.error))
    return ItemError(_text(found.type), _text(found.reason))


def _text(value: msgspec.Raw) -> str:
    """The text of a value: of anything else than a string its JSON."""
    data = bytes(value)
    if data in (b"", b"null"):
        return ""
    found = decoded(_decode_text, data)
    return data.decode("utf-8", "replace").strip('"') if found is None else found

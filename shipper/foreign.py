"""What others wrote, as text or as a value: the bytes of a server's answer, of a proxy, of a log
line, of a file's name. The functions here are total: they return something for any input, and raise
nothing.
"""

import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

_T = TypeVar("_T")

#: The longest part of a foreign text in our own messages, in characters.
EXCERPT = 300

_WHITE_SPACE = re.compile(r"\s+")


def path_text(path: str) -> str:
    """The path as text, which the name of a file need not be: what is not UTF-8 becomes U+FFFD, as
    in the documents."""
    if path.isascii():
        return path
    try:
        return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    except UnicodeEncodeError:
        return path.encode("utf-8", "replace").decode()


def is_encodable(text: str) -> bool:
    """Whether a text has no byte that is not UTF-8, nor half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def words(text: str, most: int = EXCERPT) -> str:
    """The beginning of a foreign text on one line: no control characters, nothing that cannot be
    encoded, at most `most` characters."""
    # Longer than what is kept, as white space becomes less.
    line = _WHITE_SPACE.sub(" ", text[: 4 * most]).strip()[:most]
    if line.isascii() and line.isprintable():
        return line
    line = path_text(line)
    return "".join(each if each.isprintable() else "\ufffd" for each in line)


def escaped(text: str) -> str:
    """All of the text for a terminal: with escapes for control characters, for line breaks, and for
    bytes of a file's name that are not UTF-8."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def decoded(decode: Callable[[bytes], _T], data: bytes) -> _T | None:
    """What a decoder of msgspec makes of the data; None if it is not that, or not JSON at all."""
    try:
        return decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None

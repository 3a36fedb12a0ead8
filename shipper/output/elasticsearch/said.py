"""What a host or something on the way to it says of a request that it does not process, in a few
words: the error of Elasticsearch, the message of a gateway, the text of a page, the place that a
redirect leads to. Total: any bytes may come.
"""

import html
import string
from collections.abc import Callable

import msgspec

from shipper.foreign import EXCERPT, decoded, words

#: Cuts secrets out of a text.
Redact = Callable[[str], str]

#: Of a page or text, in characters; and how much of it is looked at, in bytes.
_PAGE = 200
_LOOKED_AT = 16 * 1024

#: In characters.
_LONGEST_SECRET = 2048

_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)

#: Elements whose content is not text.
_HIDDEN = ("script", "style", "head")


class _Error(msgspec.Struct):
    type: str = ""
    reason: str | None = None


class _Failure(msgspec.Struct):
    error: _Error | str


class _Message(msgspec.Struct):
    """Of AWS and of API gateways."""

    message: str | None = None
    capital: str | None = msgspec.field(default=None, name="Message")


_decode_failure = msgspec.json.Decoder(_Failure).decode
_decode_message = msgspec.json.Decoder(_Message).decode

#: What a server says of gzip that it takes for text: Jackson's words for its first byte, and of a
#: body that is so short that there is no newline in it (ours end with one).
_GZIP_AS_TEXT = ("CTRL-CHAR, code 31", "must be terminated by a newline")


def said(status: int, body: bytes, redact: Redact, location: str = "") -> str:
    """What an answer without items says, to be put behind its status, with a colon and a space in
    front; empty if it says nothing. `location`: the header of a redirect."""
    if 300 <= status < 400 and location:
        return f": it redirects to {_cut(location, redact)}"
    if failure := decoded(_decode_failure, body):
        found = _of_error(failure.error)
        if status == 400 and any(each in found for each in _GZIP_AS_TEXT):
            return (
                f": {_cut(found, redact)} (something on the way removes Content-Encoding: set "
                "compression to none, in a filebeat.yml compression_level to 0)"
            )
        return f": {_cut(found, redact)}" if found else ""
    message = decoded(_decode_message, body)
    if message is not None and (told := message.message or message.capital):
        return f": {_cut(told, redact)}"
    text = page_text(body, redact)
    return f": {text}" if text else ""


def shown(text: str, redact: Redact, most: int = EXCERPT) -> str:
    """The beginning of a foreign text without our secrets, on one line."""
    looked_at = text[: 4 * most + _LONGEST_SECRET]
    clean = redact(looked_at)
    if len(looked_at) < len(text):
        # Its end may be half of a secret.
        clean = clean[: max(0, len(clean) - _LONGEST_SECRET)]
    # Again, as white space between their words may have been another one.
    return words(redact(words(clean, 4 * most)), most)


def page_text(body: bytes, redact: Redact) -> str:
    """The first words of a page or text; empty if there are none."""
    text = body[:_LOOKED_AT].decode("utf-8", "replace")
    if is_html(body):
        # First: a secret may have what looks like a tag in it.
        text = html.unescape(_without_tags(redact(text), is_cut=len(body) > _LOOKED_AT))
    text = shown(text, redact, _PAGE)
    return text if any(map(str.isalnum, text)) else ""


def is_html(body: bytes) -> bool:
    """Whether a body looks like a page."""
    return body[:_LOOKED_AT].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def _of_error(error: _Error | str) -> str:
    if isinstance(error, str):
        return error
    return ": ".join(each for each in (error.type, error.reason) if each)


def _cut(text: str, redact: Redact) -> str:
    return shown(text, redact)


def _without_tags(page: str, *, is_cut: bool) -> str:
    """The text between the tags, in one pass. `is_cut`: the page goes on; its last text, which may
    end in half of a secret, is left out."""
    found = []
    # Of ASCII alone: other letters may become two.
    lower = page.translate(_LOWER)
    at = 0
    while (begin := page.find("<", at)) >= 0:
        found += [page[at:begin], " "]
        end = begin
        for name in _HIDDEN:
            if lower.startswith(name, begin + 1):
                end = lower.find(f"</{name}", begin)
                break
        if lower.startswith("<!--", begin):
            end = lower.find("-->", begin)
        at = page.find(">", end) + 1 if end >= 0 else 0
        if not at:
            return "".join(found)
    return "".join(found if is_cut and found else [*found, page[at:]])

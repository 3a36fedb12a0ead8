"""Cuts our secrets out of what servers and proxies say: some repeat the header that they were sent,
and their words go into logs, dead letters and pages that anybody may read.
"""

import base64
import binascii
import html
import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from urllib.parse import unquote

#: In place of a secret.
CUT = "[secret]"

#: Shorter texts are in too many words.
_SHORTEST = 4

#: Without any of these a text has no character that is escaped.
_ESCAPES = frozenset("\\%&+")

#: Forms that are remembered. Secrets are renewed; an answer may still have the one before.
_MOST_FORMS = 400


class Redactor:
    """Knows the secrets that we send, in every form in which they may come back."""

    def __init__(self) -> None:
        #: With a space for each plus. The newest last.
        self._forms: dict[str, str] = {}
        self._known: set[str] = set()

    def add_header(self, value: str) -> None:
        """Adds the value of an Authorization or Proxy-Authorization header: what is after the
        scheme, what that is the base64 of (`id:key`, `user:password`), and the part after the
        colon."""
        if value in self._known or not value:
            return
        self._known.add(value)
        scheme, _, credentials = value.partition(" ")
        self.add(credentials or scheme)
        try:
            decoded = base64.b64decode(credentials, validate=True).decode()
        except (binascii.Error, ValueError):
            decoded = ""
        self.add(decoded)
        for plain in (credentials, decoded):
            _, colon, secret = plain.partition(":")
            if colon:
                self.add(plain)
                self.add(secret)

    def add(self, secret: str) -> None:
        """Adds a secret."""
        for form in _forms_of(secret):
            if len(form) >= _SHORTEST:
                self._forms.pop(form, None)
                self._forms[form] = form.replace("+", " ")
        while len(self._forms) > _MOST_FORMS:
            del self._forms[next(iter(self._forms))]

    def __call__(self, text: str) -> str:
        """The text without secrets."""
        spans = _spans(text, [form for form in self._forms if form in text])
        if not _ESCAPES.isdisjoint(text):
            spans += self._escaped(text)
        kept: list[str] = []
        end = 0
        for first, last in _joined(spans):
            kept += (text[end:first], CUT)
            end = last
        return "".join([*kept, text[end:]]) if kept else text

    def _escaped(self, text: str) -> list[tuple[int, int]]:
        """Where secrets are of which any characters may be escaped."""
        plain = _ESCAPED.sub(_unescaped, text)
        found = [form for form in self._forms.values() if form in plain]
        if not found:
            return []
        places = _places(text)
        return [(places[first], places[last]) for first, last in _spans(plain, found)]


def nothing_to_cut(text: str) -> str:
    """The text as it is, where no secret was sent."""
    return text


def _forms_of(secret: str) -> Iterator[str]:
    for plain in {secret, secret.strip()}:
        encoded = plain.encode("utf-8", "surrogatepass")
        in_base64 = base64.b64encode(encoded).decode()
        in_url = base64.urlsafe_b64encode(encoded).decode()
        yield from (plain, in_base64, in_base64.rstrip("="), in_url, in_url.rstrip("="))


#: A character as URLs, JSON and HTML have it. Which ones are escaped is each writer's own choice.
_ESCAPED = re.compile(
    r"\+"
    r"|%[0-7][0-9a-f]|%[cd][0-9a-f]%[89ab][0-9a-f]"
    r"|%e[0-9a-f](?:%[89ab][0-9a-f]){2}|%f[0-7](?:%[89ab][0-9a-f]){3}"
    r"|\\(?:ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|u[0-9a-f]{4}|[\"\\/bfnrt])"
    r"|&(?:#[0-9]{1,9}|#x[0-9a-f]{1,8}|[a-z0-9]{2,8});",
    re.IGNORECASE | re.ASCII,
)


def _unescaped(found: re.Match[str]) -> str:
    return _plain(found[0])


@lru_cache(4096)  # Others may send a text that consists of escaped characters.
def _plain(text: str) -> str:
    """The one character that is escaped; the text itself if none is."""
    if text[0] == "%":
        plain = unquote(text)
    elif text[0] == "&":
        plain = html.unescape(text)
    elif text[0] == "\\":
        try:
            plain = json.loads(f'"{text}"')
        except ValueError:
            return text
    else:
        plain = text
    # A space may be a plus, or be one: in both texts that are compared it is a space.
    return plain.replace("+", " ")


def _places(text: str) -> list[int]:
    """Where each character of the unescaped text begins in the text, and at last its length."""
    places: list[int] = []
    end = 0
    for found in _ESCAPED.finditer(text):
        places += range(end, found.start())
        places += [found.start()] * len(_unescaped(found))
        end = found.end()
    return [*places, *range(end, len(text) + 1)]


def _spans(text: str, forms: Iterable[str]) -> list[tuple[int, int]]:
    """Where the forms are in the text."""
    spans = []
    for form in forms:
        at = text.find(form)
        while at >= 0:
            spans.append((at, at + len(form)))
            at = text.find(form, at + len(form))
    return spans


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """In their order, those that overlap as one: a part of a secret would leave the rest."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if joined and first < joined[-1][1]:
            joined[-1] = joined[-1][0], max(last, joined[-1][1])
        else:
            joined.append((first, last))
    return joined

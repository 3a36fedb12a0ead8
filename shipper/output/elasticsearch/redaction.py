"""Cuts our secrets out of what servers and proxies say: some repeat the header that they were sent,
and their words go into logs, dead letters and pages that anybody may read.
"""

import base64
import binascii
import html
import json
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

#: In place of a secret.
CUT = "[secret]"

#: Shorter texts are in too many words.
_SHORTEST = 4

#: Forms that are remembered. Secrets are renewed; an answer may still have the one before.
_MOST_FORMS = 400


class Redactor:
    """Knows the secrets that we send, in every form in which they may come back."""

    def __init__(self) -> None:
        #: The newest last.
        self._forms: dict[str, None] = {}
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
                self._forms[form] = None
        while len(self._forms) > _MOST_FORMS:
            del self._forms[next(iter(self._forms))]

    def __call__(self, text: str) -> str:
        """The text without secrets."""
        # The longest first: a part of it would leave the rest.
        found = [form for form in self._forms if form in text]
        for form in sorted(found, key=len, reverse=True):
            text = text.replace(form, CUT)
        return text


def nothing_to_cut(text: str) -> str:
    """The text as it is, where no secret was sent."""
    return text


def _forms_of(secret: str) -> Iterator[str]:
    for plain in {secret, secret.strip()}:
        encoded = plain.encode("utf-8", "surrogatepass")
        in_base64 = base64.b64encode(encoded).decode()
        in_url = base64.urlsafe_b64encode(encoded).decode()
        yield from (plain, in_base64, in_base64.rstrip("="), in_url, in_url.rstrip("="))
        for quoted in (quote(encoded, safe=""), quote_plus(encoded), quote(encoded)):
            yield quoted
            yield _with_small_digits(quoted)
        yield html.escape(plain)
        for ascii_only in (True, False):
            yield json.dumps(plain, ensure_ascii=ascii_only)[1:-1]
        # The padding of base64, in a URL.
        yield in_base64.replace("=", "%3D")
        yield in_base64.replace("=", "%3d")


def _with_small_digits(quoted: str) -> str:
    """A text in a URL, with the other hexadecimal digits."""
    parts = quoted.split("%")
    return "%".join([parts[0], *(part[:2].lower() + part[2:] for part in parts[1:])])

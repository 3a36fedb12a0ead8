"""HTTP/1.1 as far as the admin server speaks it, without a socket: a request head from bytes, an
answer to bytes.

`GET` and `HEAD` without a body are all there is. Whatever else comes is an answer too, never an
exception: the bytes are a stranger's.
"""

import re
from collections.abc import Mapping
from email.utils import formatdate

from msgspec import Struct, field

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"

_REQUEST_LINE = re.compile(rb"([A-Z]{1,16}) (\S+) HTTP/1\.([01])")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
#: The form that proxies get: `GET http://host/path`.
_ABSOLUTE = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)

_REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


class Request(Struct, frozen=True):
    """A request head that can be answered."""

    method: str
    #: Without the query.
    path: str
    #: By their names in small letters; of one that is there several times, the values with commas.
    headers: Mapping[str, str]
    #: Whether the connection is closed after the answer.
    closes: bool


class Page(Struct, frozen=True):
    """An answer."""

    body: bytes
    status: int = 200
    kind: str = TEXT
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Whether the connection is closed after it, whatever the client wants.
    closes: bool = False


def refusal(status: int, words: str, **headers: str) -> Page:
    """An answer that is one sentence; `headers` with underscores for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Page(f"{words}\n".encode(), status, headers=named)


def parse(head: bytes) -> Request | Page:
    """The request of a head, which ends with an empty line; or the answer to one that is wrong."""
    first, *lines = head.removesuffix(b"\r\n\r\n").lstrip(b"\r\n").split(b"\r\n")
    found = _REQUEST_LINE.fullmatch(first)
    if found is None:
        return _bad("not an HTTP/1.1 request")
    headers: dict[str, str] = {}
    for line in lines:
        key, colon, rest = line.partition(b":")
        if not colon or _NAME.fullmatch(key) is None:
            return _bad("a header line is malformed")
        name, value = key.decode("ascii").lower(), rest.strip(b" \t").decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    method, target, minor = found[1].decode("ascii"), found[2], found[3]
    if method not in ("GET", "HEAD"):
        page = refusal(405, "only GET and HEAD", Allow="GET, HEAD")
        return Page(page.body, page.status, headers=page.headers, closes=True)
    if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
        return _bad("a request has no body here")
    path = _ABSOLUTE.sub(b"", target, count=1).partition(b"?")[0].decode("latin-1")
    options = {each.strip().lower() for each in headers.get("connection", "").split(",")}
    closes = "close" in options or (minor == b"0" and "keep-alive" not in options)
    return Request(method, path or "/", headers, closes)


def _bad(words: str) -> Page:
    return Page(f"{words}\n".encode(), 400, closes=True)


def encode(page: Page, *, now: float, closes: bool, without_body: bool = False) -> bytes:
    """An answer as it is sent. It does not say which program sends it. `now`: Unix seconds;
    `without_body`: as an answer to HEAD."""
    headers = {
        "Date": formatdate(now, usegmt=True),
        "Content-Type": page.kind,
        "Content-Length": str(len(page.body)),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Connection": "close" if closes else "keep-alive",
        **page.headers,
    }
    lines = [f"HTTP/1.1 {page.status} {_REASONS.get(page.status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    head = "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
    return head if without_body else head + page.body

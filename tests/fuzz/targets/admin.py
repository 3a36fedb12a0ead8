"""What reaches the admin port, and the token that protects it."""

from __future__ import annotations

from functools import cache

from shipper.admin.access import Access
from shipper.admin.http import Page, Request, encode, parse
from shipper.config.admin import AdminConfig, split_address
from tests.fuzz.target import Target
from tests.fuzz.targets.dead_letters import directory
from tests.support.clock import ManualClock
from tests.support.logs import RecordedLog

_TOKEN = "s3cret-t0ken-of-the-admin-server"


@cache
def _access() -> tuple[Access, RecordedLog]:
    path = directory() / "token"
    path.write_text(_TOKEN)
    recorded = RecordedLog(ManualClock())
    access = Access(AdminConfig(token_file=str(path)), clock=ManualClock(), log=recorded.log)
    access._read()
    return access, recorded


def check_requests(data: bytes) -> None:
    """A head, and the answer to it."""
    found = parse(data.split(b"\r\n\r\n")[0] + b"\r\n\r\n")
    page = found if isinstance(found, Page) else None
    if isinstance(found, Request):
        assert found.method in ("GET", "HEAD")
        assert found.path
        assert not set(found.path) & set(" ?\r\n\t")
        assert all(
            name == name.lower() and "\r\n" not in value for name, value in found.headers.items()
        )
        access, _ = _access()
        for is_tls in (False, True):
            page = access.refusal(found, is_tls=is_tls)
            given = found.headers.get("authorization", "")
            assert (page is None) == (
                given.lower().startswith("bearer ") and given[7:].strip() == _TOKEN
            )
            assert access.shows_details(found, is_tls=is_tls) == (page is None)
    if page is not None:
        sent = encode(page, now=0.0, closes=page.closes)
        head, _, body = sent.partition(b"\r\n\r\n")
        assert body == page.body
        assert head.startswith(b"HTTP/1.1 %d " % page.status)
        assert all(b": " in line for line in head.split(b"\r\n")[1:])
        assert data[:20] not in sent or len(data) < 20


def check_tokens(data: bytes) -> None:
    """The file of a token: one word of ASCII, or it is refused."""
    path = directory() / "token-file"
    path.write_bytes(data)
    recorded = RecordedLog(ManualClock())
    access = Access(AdminConfig(token_file=str(path)), clock=ManualClock(), log=recorded.log)
    access._read()
    word = data.strip()
    is_good = len(word) > 0 and len(data) <= 4096 and all(0x21 <= byte < 0x7F for byte in word)
    request = Request(
        "GET", "/status", {"authorization": f"Bearer {word.decode('latin-1')}"}, False
    )
    page = access.refusal(request, is_tls=False)
    assert (page is None) == is_good
    if not is_good:
        assert page is not None
        assert page.status == 503
        assert data[:12] not in recorded.text.encode() or len(word) < 12


def check_addresses(data: bytes) -> None:
    found = split_address(data.decode("utf-8", "surrogateescape"))
    assert found is None or 0 <= found[1] <= 65535


TARGETS = (
    Target(
        "requests",
        "a request head is a request or an answer; nothing without the token, no header injected",
        check_requests,
        (
            b"GET /metrics HTTP/1.1\r\nHost: a:9479\r\nConnection: close",
            b"HEAD http://a/status?x=1 HTTP/1.0\r\nConnection: keep-alive\r\nAuthorization: Bearer "
            + _TOKEN.encode(),
            b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked",
            b"GET / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 0",
            b"\x16\x03\x01\x02\x00\x01",
        ),
        (b"\r\n", b"\n", b": ", b"Authorization: Bearer ", b" HTTP/1.1", b"\r\nX: y", b"http://"),
    ),
    Target(
        "token_files",
        "the file of the admin token holds one word, or all that it protects is refused",
        check_tokens,
        (_TOKEN.encode() + b"\n", b"", b"two words", b"\xff" * 20, b"x" * 5000, b" \n"),
    ),
    Target(
        "addresses",
        "an address to listen on is a host and a port, or none",
        check_addresses,
        (b"0.0.0.0:9479", b"[::1]:9479", b":0", b"localhost:99999", b"a:b:1", b"[a]:1"),
        ("\u0661\u00b2".encode(), b"[", b"]", b":"),
    ),
)

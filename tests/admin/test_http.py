"""Request heads, and what is wrong with them, without a socket."""

from __future__ import annotations

import time

import pytest

from shipper.admin.http import Page, Request, encode, parse, refusal


def request(
    *lines: str, target: str = "/status", method: str = "GET", version: str = "1.1"
) -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/{version}", *lines, "", ""]).encode("latin-1")


def test_a_request_has_its_path_and_its_headers() -> None:
    found = parse(request("Host: x", "AUTHORIZATION:  Bearer a b\t", "X-Y: 1", "x-y: 2"))
    assert found == Request(
        "GET", "/status", {"host": "x", "authorization": "Bearer a b", "x-y": "1, 2"}, closes=False
    )


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/readyz?verbose=1", "/readyz"),
        ("http://node:9479/readyz?x", "/readyz"),
        ("http://node:9479", "/"),
        ("*", "*"),
        ("/re%61dyz", "/re%61dyz"),
    ],
)
def test_the_path_is_what_stands_before_the_query(target: str, path: str) -> None:
    found = parse(request(target=target))
    assert isinstance(found, Request)
    assert found.path == path


@pytest.mark.parametrize(
    ("version", "connection", "closes"),
    [
        ("1.1", "", False),
        ("1.1", "keep-alive, Close", True),
        ("1.0", "", True),
        ("1.0", "Keep-Alive", False),
    ],
)
def test_whether_the_connection_stays_is_the_clients_wish(
    version: str, connection: str, closes: bool
) -> None:
    lines = [f"Connection: {connection}"] if connection else []
    found = parse(request(*lines, version=version))
    assert isinstance(found, Request)
    assert found.closes == closes


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"", 400),
        (b"\r\n\r\n", 400),
        (b"\x16\x03\x01\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\n\r\n", 400),
        (b"get / HTTP/1.1\r\n\r\n", 400),
        (request("no colon"), 400),
        (request(": no name"), 400),
        (request("a b: c"), 400),
        (request("a: b", " folded"), 400),
        (request("Content-Length: 5"), 400),
        (request("Content-Length: 0", "Content-Length: 5"), 400),
        (request("Content-Length: " + "9" * 5000), 400),
        (request("Transfer-Encoding: chunked"), 400),
        (request(method="POST"), 405),
        (request(method="CONNECT", target="x:1"), 405),
    ],
)
def test_what_is_wrong_is_an_answer_that_ends_the_connection(head: bytes, status: int) -> None:
    found = parse(head)
    assert isinstance(found, Page)
    assert (found.status, found.closes) == (status, True)


def test_an_empty_line_before_a_request_is_left_out() -> None:
    assert isinstance(parse(b"\r\n" + request()), Request)


@pytest.mark.parametrize("filler", [b" ", b"\t", b":", b"a", b"a:\r\n", b"\r\n", b","])
def test_a_head_of_the_largest_size_takes_no_time(filler: bytes) -> None:
    head = (b"GET / HTTP/1.1\r\nx:a" + filler * 8192)[:8188] + b"a\r\n\r\n"
    began = time.process_time()
    parse(head)
    assert time.process_time() - began < 0.1


def test_an_answer_does_not_say_which_program_sends_it() -> None:
    sent = encode(refusal(401, "no", WWW_Authenticate="Bearer"), now=0.0, closes=True)
    head, _, body = sent.partition(b"\r\n\r\n")
    assert body == b"no\n"
    assert head.decode().split("\r\n") == [
        "HTTP/1.1 401 Unauthorized",
        "Date: Thu, 01 Jan 1970 00:00:00 GMT",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Length: 3",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
        "WWW-Authenticate: Bearer",
    ]
    assert encode(Page(b"x"), now=0.0, closes=False, without_body=True).endswith(b"\r\n\r\n")

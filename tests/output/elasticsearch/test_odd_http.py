"""Answers in HTTP as strangers may send it: each is read, or is an error that says what is wrong
in one line. None counts events as stored that nobody says are."""

from __future__ import annotations

import gzip
import zlib

import pytest

from shipper.config.units import Seconds
from shipper.output.elasticsearch.answers import ItemResults, RequestFailed, verdict_of
from shipper.output.elasticsearch.exchange import TransportError
from tests.output.elasticsearch.wire import BODY, WireServer, output, post, response
from tests.support.loop import in_a_loop

STORED = b'{"errors":false,"items":[{"create":{"status":201}}]}'


def chunked(data: bytes, size: int = 7, extension: bytes = b"", trailers: bytes = b"") -> bytes:
    chunks = (data[at : at + size] for at in range(0, len(data), size))
    body = b"".join(b"%x%b\r\n%b\r\n" % (len(each), extension, each) for each in chunks)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + body + b"0\r\n" + trailers + b"\r\n"


def head(first: bytes, *headers: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([first, *headers, b"", b""]) + body


def compressed(body: bytes, encoding: str, status: str = "200 OK") -> bytes:
    return response(status, body, f"Content-Encoding: {encoding}")


def deflated(body: bytes) -> bytes:
    """Without the header that HTTP asks for, as some servers send it."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


def bomb(megabytes: int, bits: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, bits)
    pieces = [packer.compress(b" " * (1 << 20)) for _ in range(megabytes)]
    return b"".join([*pieces, packer.flush()])


COOKIES = [b"Set-Cookie: c%d=%b; Max-Age=99999999" % (number, b"v" * 7000) for number in range(100)]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(head(b"HTTP/1.0 200 OK", body=STORED), id="HTTP/1.0 without a length"),
        pytest.param(head(b"HTTP/1.1 200 OK", body=STORED), id="until it closes"),
        pytest.param(head(b"HTTP/1.1 200", body=STORED), id="no reason phrase"),
        pytest.param(response(body=STORED).replace(b"\r\n", b"\n"), id="line feeds"),
        pytest.param(chunked(STORED), id="chunks"),
        pytest.param(chunked(STORED, trailers=b"X-Sum: 1\r\nX-Two: 2\r\n"), id="trailers"),
        pytest.param(chunked(STORED, extension=b";a=" + b"x" * 1000), id="extensions of chunks"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + response(body=STORED), id="100"),
        pytest.param(b"HTTP/1.1 102 Processing\r\n\r\n" * 2000 + response(body=STORED), id="102s"),
        pytest.param(
            head(b"HTTP/1.1 103 Early Hints", *[b"Link: </x>"] * 100) + response(body=STORED),
            id="103",
        ),
        pytest.param(head(b"HTTP/1.1 200 OK", *COOKIES, body=STORED), id="a flood of cookies"),
        pytest.param(compressed(gzip.compress(STORED), "gzip"), id="gzip"),
        pytest.param(compressed(zlib.compress(STORED), "deflate"), id="deflate"),
        pytest.param(compressed(deflated(STORED), "deflate"), id="raw deflate"),
        pytest.param(compressed(STORED, "x-own"), id="an encoding that nobody knows"),
        pytest.param(response(body=b" " * 200_000 + STORED), id="white space"),
    ],
)
@in_a_loop
async def test_an_answer_that_http_allows_is_read(answer: bytes) -> None:
    async with WireServer(answer).listening() as url:
        found = await post(output(url))
    verdict = verdict_of(found.status, found.body, 1)
    assert isinstance(verdict, ItemResults)
    assert verdict.delivered == 1


@pytest.mark.parametrize(
    ("answer", "reason", "words"),
    [
        pytest.param(STORED, "invalid_answer", "Expected HTTP/", id="no HTTP"),
        pytest.param(head(b"ICY 200 OK", body=STORED), "invalid_answer", "Expected", id="ICY"),
        pytest.param(head(b"HTTP/9.9 200 OK"), "invalid_answer", "HTTP version", id="HTTP/9.9"),
        pytest.param(head(b"HTTP/1.1 1000 x"), "invalid_answer", "status", id="1000"),
        pytest.param(head(b"HTTP/1.1 -1 x"), "invalid_answer", "status", id="-1"),
        pytest.param(head(b"HTTP/1.1 2e2 x"), "invalid_answer", "status", id="2e2"),
        pytest.param(head(b"HTTP/1.1 "), "invalid_answer", "status", id="no status"),
        pytest.param(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "invalid_answer", "HTTP/2.0", id="HTTP/2"
        ),
        pytest.param(
            b"\0\0\x12\x04" + b"\0" * 20 + b"\r\n\r\n", "invalid_answer", "HTTP", id="its frames"
        ),
        pytest.param(
            head(b"POST / HTTP/1.1", b"Host: x"), "invalid_answer", "HTTP", id="a request"
        ),
        pytest.param(b"x" * 100_000 + b"\r\n", "invalid_answer", "HTTP", id="a line without end"),
        pytest.param(chunked(STORED)[:-5], "cut_answer", "in the middle", id="no last chunk"),
        pytest.param(
            chunked(STORED).replace(b"\r\n7\r\n", b"\r\n9\r\n", 1),
            "invalid_answer",
            "chunk",
            id="the size of a chunk is wrong",
        ),
        pytest.param(
            chunked(STORED).replace(b"\r\n7\r\n", b"\r\nfffffffffffffffff\r\n", 1),
            "invalid_answer",
            "Chunk size",
            id="the size of a chunk is huge",
        ),
        pytest.param(
            chunked(STORED, trailers=b"X: 1\r\n" * 5000), "invalid_answer", "headers", id="trailers"
        ),
        pytest.param(
            chunked(STORED).replace(b"Transfer", b"Content-Length: 5\r\nTransfer"),
            "invalid_answer",
            "Content-Length",
            id="chunks and a length",
        ),
        pytest.param(
            response("200 OK", STORED, "Content-Length: 3"),
            "invalid_answer",
            "Duplicate Content-Length",
            id="two lengths",
        ),
        pytest.param(
            head(b"HTTP/1.1 200 OK", b"Content-Length: -5", body=STORED),
            "invalid_answer",
            "Content-Length",
            id="a negative length",
        ),
        pytest.param(
            head(b"HTTP/1.1 200 OK", b"Content-Length: " + b"9" * 40, body=STORED),
            "invalid_answer",
            "Content-Length",
            id="a length of 40 digits",
        ),
        pytest.param(
            head(b"HTTP/1.1 200 OK", b"Content-Length: 500", body=STORED),
            "cut_answer",
            "in the middle",
            id="a length that is too large",
        ),
        pytest.param(
            head(b"HTTP/1.1 200 OK", *[b"X: y"] * 10_000, body=STORED),
            "invalid_answer",
            "headers",
            id="10,000 headers",
        ),
        pytest.param(
            head(b"HTTP/1.1 200 OK", b"X: " + b"y" * 1_000_000, body=STORED),
            "invalid_answer",
            "Got more than",
            id="a header of a megabyte",
        ),
        pytest.param(
            head(b"HTTP/1.1 200 OK", b"no colon", body=STORED), "invalid_answer", "", id="no colon"
        ),
        pytest.param(
            compressed(b"x", "br"),
            "invalid_answer",
            "Content-Encoding brotli (br) (check proxies",
            id="br",
        ),
        pytest.param(
            compressed(b"x", "zstd"), "invalid_answer", "zstandard (zstd) (check", id="zstd"
        ),
        pytest.param(
            compressed(STORED, "gzip"), "invalid_answer", "cannot be decompressed", id="no gzip"
        ),
        pytest.param(
            compressed(gzip.compress(STORED)[:-8] + bytes(8), "gzip"),
            "invalid_answer",
            "Content-Encoding gzip (check",
            id="a wrong checksum",
        ),
        pytest.param(
            compressed(gzip.compress(b"") * 20_000, "gzip"),
            "invalid_answer",
            "Content-Encoding gzip",
            id="20,000 members",
        ),
        pytest.param(
            compressed(bomb(200, 31), "gzip"), "answer_too_long", "has more than", id="a bomb"
        ),
        pytest.param(
            compressed(bomb(200, 15), "deflate", "401 No"),
            "answer_too_long",
            "has more than",
            id="a bomb in a 401",
        ),
    ],
)
@in_a_loop
async def test_any_other_is_an_error_that_says_why_in_a_line(
    answer: bytes, reason: str, words: str
) -> None:
    async with WireServer(answer).listening() as url:
        with pytest.raises(TransportError) as raised:
            await post(output(url, timeout=Seconds(10)))
    error = raised.value
    assert error.reason == reason
    assert words in str(error)
    assert str(error).isprintable()
    assert "install" not in str(error)
    assert "url=" not in str(error)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        *[(status, b"") for status in (204, 205, 206, 226, 300, 304, 305, 418, 451, 499, 599)],
        *[(status, STORED) for status in (201, 202, 205, 206, 226, 299, 300, 305, 418, 499, 599)],
    ],
)
@in_a_loop
async def test_only_a_200_says_that_events_are_stored(status: int, body: bytes) -> None:
    async with WireServer(response(f"{status} Odd", body)).listening() as url:
        found = await post(output(url))
    verdict = verdict_of(found.status, found.body, 1)
    assert isinstance(verdict, RequestFailed)
    assert verdict.status == status


@pytest.mark.parametrize("status", ["099", "600", "999"])
@in_a_loop
async def test_a_number_that_is_no_status_says_nothing(status: str) -> None:
    async with WireServer(response(f"{status} Odd", STORED)).listening() as url:
        found = await post(output(url))
    verdict = verdict_of(found.status, found.body, 1)
    assert isinstance(verdict, RequestFailed)
    assert verdict.reason == "invalid_answer"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("5", 5.0),
        ("-1", 0.0),
        ("1e9", 0.0),
        ("nan", 0.0),
        ("inf", 0.0),
        ("1, 2", 0.0),
        ("\N{ARABIC-INDIC DIGIT THREE}", 0.0),
        ("Fri, 99 Foo 2026 99:99:99 GMT", 0.0),
        ("Sun, 06 Nov 1994 08:49:37 -9999", 0.0),
        ("9" * 5000, float("inf")),
    ],
)
@in_a_loop
async def test_a_pause_that_is_no_number_is_none(value: str, seconds: float) -> None:
    busy = head(b"HTTP/1.1 503 Busy", b"Retry-After: " + value.encode(), b"Content-Length: 0")
    async with WireServer(busy).listening() as url:
        found = await post(output(url), BODY)
    assert found.retry_after == seconds

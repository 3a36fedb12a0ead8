"""What answers say that are not Elasticsearch's: by their words, not by their number alone."""

from __future__ import annotations

import json

import pytest

from shipper.output.elasticsearch.redaction import nothing_to_cut
from shipper.output.elasticsearch.said import is_html, page_text, said

WAF = b"""<!DOCTYPE html><html><head><title>x</title><style>p{color:red}</style></head><body>
<script>alert("a < b")</script><!-- <b>hidden</b> --><h1>Request&nbsp;blocked</h1>
<p>Reference&#58; 18.2f5c</p></body></html>"""

GZIP = {
    "error": {
        "type": "x_content_parse_exception",
        "reason": "[1:2] Illegal character ((CTRL-CHAR, code 31)): only regular white space (\\r, "
        "\\n, \\t) is allowed between tokens\n at [Source: (byte[])]",
    }
}


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (404, b"default backend - 404", ": default backend - 404"),
        (403, WAF, ": Request blocked Reference: 18.2f5c"),
        (403, b'{"Message":"User: anonymous is not authorized"}', ": User: anonymous is not"),
        (429, b'{"message":"Too Many Requests"}', ": Too Many Requests"),
        (502, b"<html><h1>502 Bad Gateway</h1><hr>nginx</html>", ": 502 Bad Gateway nginx"),
        (503, b"upstream connect error\r\n", ": upstream connect error"),
        (503, b'{"error":"no master","status":503}', ": no master"),
        (400, b'{"error":{"type":"x","reason":"y"}}', ": x: y"),
        (500, b"", ""),
        (500, b"\xff\xfe\0", ""),
        (500, b"<<<<<<", ""),
        (403, b"<script>" + b"x" * 10**6, ""),
        (403, b"<p>open <b", ": open"),
        (502, b"x" * 10**6, ": " + "x" * 200),
    ],
)
def test_what_is_said(status: int, body: bytes, words: str) -> None:
    found = said(status, body, nothing_to_cut)
    assert found == words or (found.startswith(words) and words.endswith("is not"))


def test_where_a_redirect_leads_to() -> None:
    found = said(301, b"<html>Moved</html>", nothing_to_cut, "https://login.example/?to=es")
    assert found == ": it redirects to https://login.example/?to=es"
    assert said(301, b"<html>Moved</html>", nothing_to_cut) == ": Moved"


def test_a_body_whose_encoding_was_taken_off_on_the_way_is_recognised() -> None:
    found = said(400, json.dumps(GZIP).encode(), nothing_to_cut)
    assert "CTRL-CHAR, code 31" in found
    assert "something on the way removes Content-Encoding: set compression to none" in found
    # Of a body that is so short that there is no newline in it.
    short = {
        "type": "illegal_argument_exception",
        "reason": "The bulk request must be terminated by",
    }
    short["reason"] += " a newline [\\n]"
    assert "removes Content-Encoding" in said(
        400, json.dumps({"error": short}).encode(), nothing_to_cut
    )
    assert "Content-Encoding" not in said(500, json.dumps(GZIP).encode(), nothing_to_cut)


@pytest.mark.parametrize(
    ("body", "is_page"),
    [(WAF, True), (b"\xef\xbb\xbf \r\n<html>", True), (b'{"a":"<"}', False), (b"", False)],
)
def test_what_a_page_is(body: bytes, is_page: bool) -> None:
    assert is_html(body) is is_page


def test_a_page_of_tags_without_end_takes_no_time() -> None:
    for body in (b"<" * 10**6, b"<!--" * 10**6, b"<script" * 10**6, b"<a>" * 10**6, b"&" * 10**6):
        assert len(page_text(body, nothing_to_cut)) <= 200

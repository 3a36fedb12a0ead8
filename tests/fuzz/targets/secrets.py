"""Our secrets in what others say: they never get out, in whatever form and place they are."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

from shipper.output.elasticsearch.answers import ItemResults, RequestFailed, verdict_of
from shipper.output.elasticsearch.failures import explain, proxy_refuses
from shipper.output.elasticsearch.redaction import CUT, Redactor
from shipper.output.elasticsearch.said import page_text, said
from tests.fuzz.target import Choices, Target
from tests.fuzz.targets.answers import of_proxy

ID, KEY = "VuaCfGcBCdbkQm", "ui2lp2axTNmsyakw9tvNnw-_Zq"
PASSWORD = "Tr0ub4dor=&3<'\"/+ é>Zwölf\\Kq9"
PLAIN = (KEY, f"{ID}:{KEY}", PASSWORD, f"elastic:{PASSWORD}")


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


REDACT = Redactor()
REDACT.add_header(f"ApiKey {_base64(PLAIN[1])}")
REDACT.add_header(f"Basic {_base64(PLAIN[3])}")


def _in_go(text: str) -> str:
    """As Go's encoding/json writes it."""
    quoted = json.dumps(text, ensure_ascii=False)[1:-1]
    return re.sub("[<>&]", lambda found: f"\\u{ord(found[0]):04x}", quoted)


def _forms() -> Iterator[str]:
    for text in (*PLAIN, _base64(PLAIN[1]), _base64(PLAIN[3])):
        yield text
        yield quote(text, safe="")
        yield quote_plus(text)
        yield html.escape(text)
        yield json.dumps(text)[1:-1]
        yield json.dumps(text, ensure_ascii=False)[1:-1]
        yield _in_go(text)
    yield f"Basic {_base64(PLAIN[3])}"
    yield f"ApiKey {_base64(PLAIN[1])}"


FORMS = tuple(dict.fromkeys(_forms()))

_WINDOW = 8
_WINDOWS = frozenset(
    text[at : at + _WINDOW]
    for text in (KEY, PASSWORD, _base64(PLAIN[1]), _base64(PLAIN[3]))
    for at in range(len(text) - _WINDOW + 1)
)
_PLACE = re.compile(rb"\x01(.)", re.DOTALL)


def with_secrets(data: bytes) -> bytes:
    """The input with secrets in it: in the place of \\x01 and the byte after it."""
    return _PLACE.sub(lambda found: FORMS[found[1][0] % len(FORMS)].encode(), data)


def check_secrets(data: bytes) -> None:
    choices = Choices(data)
    status = choices.one_of((200, 200, 302, 400, 401, 403, 502))
    body = with_secrets(choices.rest)
    text = body.decode("utf-8", "surrogateescape")
    shown = [
        said(status, body, REDACT),
        said(301, b"", REDACT, text),
        page_text(body, REDACT),
        str(proxy_refuses(502, text).without_secrets(REDACT)),
        str(explain(of_proxy(text)).without_secrets(REDACT)),
        str(explain(ValueError(text)).without_secrets(REDACT)),
    ]
    for events in (1, 2):
        match verdict_of(status, body, events, redact=REDACT, location=text):
            case ItemResults() as results:
                shown.append(results.retry_reason)
                for each in (*results.rejected, *results.server_errors):
                    shown += (each.reason, each.type)
            case RequestFailed() as failed:
                shown.append(failed.message)
            case _:
                pass
    for words in shown:
        for at in range(len(words) - _WINDOW + 1):
            assert words[at : at + _WINDOW] not in _WINDOWS, f"a part of a secret in {words!r}"


def decoded_base64(text: str) -> str:
    """What a text is the base64 of; empty if of none."""
    try:
        return base64.b64decode(text, validate=True).decode()
    except ValueError:
        return ""


def check_redaction(data: bytes) -> None:
    """Any header that we send, and any text: what is after its scheme is not in the result."""
    value, _, text = data.decode("utf-8", "surrogateescape").partition("\x01")
    redact = Redactor()
    redact.add_header(value)
    credentials = value.partition(" ")[2]
    # A secret may be in CUT itself.
    found = redact(f"{text}{credentials}{text}{value}").replace(CUT, "\ufffe")
    assert len(credentials) < 4 or credentials in CUT or credentials not in found
    for secret in (credentials, decoded_base64(credentials)):
        # All of it, not only its parts.
        assert len(secret) < 4 or secret in CUT or redact(secret) == CUT
    redact.add(text)
    assert len(text) < 4 or text in CUT or text not in redact(f"a {text} b").replace(CUT, "\ufffe")


_ALL = b" ".join(b"\x01" + bytes([n]) for n in range(len(FORMS)))

TARGETS = (
    Target(
        "secrets",
        "no part of a secret that we send is in anything that is shown of an answer",
        check_secrets,
        (
            b"\x04unable to authenticate with [\x01\x00] or \x01\x20",
            b"\x04" + _ALL,
            b'\x04{"error":{"type":"a","reason":"\x01\x04"}}',
            b'\x04{"error":"\x01\x12"}',
            b'\x04{"message":"\x01\x0b"}',
            b"\x05<html><p>\x01\x03</p>\x01\x09</html>",
            b"\x05<html>" + b"<b>" * 1000 + b"\x01\x03",
            b'\x00{"errors":true,"items":[{"create":{"status":400,"error":{"type":"x","reason":'
            b'"\x01\x00"}}}]}',
            b'\x00{"errors":"\x01\x00"}',
            b"\x05" + b"\x01\x00" * 150,
            b"\x05" + b"a" * 290 + b"\x01\x00",
            b"\x05" + b" " * 780 + b"\x01\x00",
        ),
        (b"\x01\x00", b"\x01\x02", b"\x01\x20", b"\x01\x07", _ALL[:60], b"<b>" * 300, b" " * 700),
    ),
    Target(
        "redaction",
        "whatever a secret consists of, it is cut out of a text",
        check_redaction,
        (
            f"ApiKey {_base64(PLAIN[1])}\x01who is".encode(),
            f"Basic {_base64(PLAIN[3])}\x01".encode() + FORMS[2].encode(),
            b"Bearer a.b-c_d\x01%61.b-c\\u005fd",
            b"Bearer \xff\xfe\xfd\xfc\x01&amp;",
            b"x",
        ),
        (b"%", b"%25", b"\\u0061", b"&#97;", b"+", b"[secret]", b"Basic ", b"\x01"),
    ),
)

"""Lines that are nearly what Tetragon writes: changed as values, as tokens, and as bytes."""

from __future__ import annotations

import functools
import json
import random
import re

from shipper.demo.events import EventSource
from tests.support.odd_events import NAMED, STAMP, changed

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[-+.\w]+|[^\s\w"]|\s+|.', re.DOTALL)

#: Tokens at the bounds of what is ordinary.
TOKENS: tuple[bytes, ...] = (
    *(b"{", b"}", b"[", b"]", b",", b":", b" ", b"  ", b"\t", b"\r", b"\x00", b"\x0b", b"\x7f"),
    *(b"{}", b"[]", b'""', b"null", b"true", b"false", b"True", b"nul", b"truefalse", b"NaN"),
    *(b"0", b"-0", b"-", b"00", b"01", b"-01", b"1.0", b"1.", b".5", b"-0.0", b"-0.5", b"1e5"),
    *(
        b"1E400",
        b"0e0",
        b"1.5e-3",
        b"9" * 18,
        b"9" * 19,
        b"-" + b"9" * 18,
        b"1" * 30,
        b"+1",
        b"0x1",
    ),
    *(str(number).encode() for number in (2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64)),
    b"0." + b"1" * 18,
    b"0." + b"1" * 19,
    *(b'"time"', b'"\\u0074ime"', b'"node_name"', b'"process_exec"', b'"process_usdt"', b'"pod"'),
    *(b'"arguments"', b'"uid"', b'"cap"', b'"container"', b'"name"', b'"status"', b'"a.b"'),
    *(b'"2026-11-24T04:32:37Z"', b'"2026-11-24T04:32:37.5+02:00"', b'"2026-02-29T04:32:37Z"'),
    *(b'"9999-12-31T23:59:59.999999999Z"', b'"0000-01-01T00:00:00Z"', b'"2026-11-24t04:32:37z"'),
    *(b'"2026-11-24T04:32:37.1234567890Z"', b'"2026-11-24T24:00:00Z"', b'"1900-02-29T00:00:00Z"'),
    *(
        b'"\\u0000"',
        b'"\\u001f"',
        b'"\\u001F"',
        b'"\\u0020x"',
        b'"\\u000b a"',
        b'"\\/"',
        b'"\\b\\f"',
    ),
    *(b'"\\u00e9"', b'"\\ud83d\\ude00"', b'"\\ud83d"', b'"\\ude00"', b'"\\ud83dx"', b'"\\uD7FF"'),
    *(b'"\\x"', b'"\\u12"', b'"\\u12g4"', b'"\\', b'"\\"', b'"a\\"b\\\\"', b'"\\\\\\\\"', b'"\\""'),
    *(
        '"é"'.encode(),
        '"\U0001f600"'.encode(),
        b'"\xff"',
        b'"\xc3"',
        b'"\xed\xa0\x80"',
        b"\xef\xbb\xbf",
    ),
    b'"' + b"x" * 70 + b'"',
    b'"' + b"\\\\" * 40 + b'"',
    b"[" * 5 + b"1" + b"]" * 5,
    b'{"a":' * 6 + b"1" + b"}" * 6,
    b"[" * 70 + b"]" * 70,
)


@functools.cache
def corpus(count: int = 400) -> tuple[bytes, ...]:
    """Lines to begin with: generated ones of all kinds, and the named odd ones."""
    source = EventSource(random.Random(7))
    lines = [source.line(number, STAMP + number * 1_000_003) for number in range(count)]
    return (*lines, *NAMED.values())


def line(rng: random.Random, share: float) -> bytes:
    """One line, without its newline: changed with this probability, once or more often."""
    made = rng.choice(corpus())
    while rng.random() < share:
        match rng.randrange(5):
            case 0:
                made = _value(rng, made)
            case 1 | 2:
                made = _tokens(rng, made)
            case 3:
                made = _bytes(rng, made)
            case _:
                made = _written_otherwise(rng, made)
        share /= 2
    return made.replace(b"\n", b" ")


def _event(made: bytes) -> dict[str, object] | None:
    try:
        found = json.loads(made)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found else None


def _value(rng: random.Random, made: bytes) -> bytes:
    if _event(made) is None:
        return made
    try:
        return changed(rng, made)
    except UnicodeEncodeError:  # Half a surrogate pair.
        return made


def _written_otherwise(rng: random.Random, made: bytes) -> bytes:
    """The same event with other white space, escapes, or order."""
    event = _event(made)
    if event is None:
        return made
    if rng.random() < 0.5:
        event = dict(rng.sample(list(event.items()), len(event)))
    separators = rng.choice(((",", ":"), (", ", ": "), (",", ": "), (" ,", " :")))
    try:
        text = json.dumps(event, ensure_ascii=rng.random() < 0.5, separators=separators)
        return text.encode()
    except (ValueError, RecursionError):
        return made


def _tokens(rng: random.Random, made: bytes) -> bytes:
    tokens = _TOKEN.findall(made) or [b""]
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(tokens))
        end = min(len(tokens), at + rng.choice((1, 1, 2, 4, 8)))
        match rng.randrange(6):
            case 0:
                tokens[at] = rng.choice(TOKENS)
            case 1:
                tokens.insert(at, rng.choice(TOKENS))
            case 2:
                del tokens[at:end]
                tokens = tokens or [b""]
            case 3:
                tokens[at:at] = tokens[at:end]
            case 4:
                other = rng.randrange(len(tokens))
                tokens[at], tokens[other] = tokens[other], tokens[at]
            case _ if tokens[at][:1] == b'"':
                # Into a string.
                place = rng.randrange(len(tokens[at]))
                part = rng.choice(TOKENS).strip(b'"')
                tokens[at] = tokens[at][:place] + part + tokens[at][place:]
    return b"".join(tokens)


def _bytes(rng: random.Random, made: bytes) -> bytes:
    text = bytearray(made or b" ")
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(text) + 1)
        match rng.randrange(5):
            case 0 if at < len(text):
                text[at] = rng.randrange(256)
            case 1 if at < len(text):
                text[at] ^= 1 << rng.randrange(8)
            case 2:
                del text[at : at + rng.randrange(1, 20)]
            case 3:
                text[at:at] = rng.randbytes(rng.randrange(1, 4))
            case _:
                text[at:at] = rng.choice((b'"', b"\\", b"\x1f", b" ", b"\x80", b"\r", b"0", b"}"))
        text = text or bytearray(b" ")
    return bytes(text)

"""Documents as processors, options and lines may leave them: any field of any type; and bytes that
are none.
"""

from __future__ import annotations

import json
import random
from typing import Any

VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    10**30,
    1e300,
    "",
    "abc",
    "12",
    "\x00\u2028é",
    [],
    ["a"],
    {},
    {"offset": "7"},
    {"original": 3},
    {"file": "text"},
    {"file": {"path": 1, "fingerprint": ["x"]}},
    {"name": {"first": "x"}},
)
"""What a field may be."""

FIELDS = ("message", "event", "log", "@timestamp", "x")


def reshaped(rng: random.Random) -> dict[str, Any]:
    """Return a document of which any part may be of any type, or gone."""
    log: dict[str, Any] = {
        "offset": 77,
        "file": {"path": "/logs/a.log", "fingerprint": "00112233445566aa"},
    }
    document: dict[str, Any] = {"@timestamp": "2026", "log": log, "message": "the line"}
    for _ in range(rng.randrange(4)):
        document[rng.choice(FIELDS)] = rng.choice(VALUES)
    if rng.random() < 0.2:
        log["offset"] = rng.choice(VALUES)
    if rng.random() < 0.2:
        log["file"] = rng.choice(VALUES)
    for name in rng.sample(FIELDS, rng.randrange(2)):
        document.pop(name, None)
    return document


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Return the bytes with some changed, cut out, or put in; without a newline."""
    made = bytearray(data)
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(made) + 1)
        match rng.randrange(4):
            case 0:
                made[at:at] = rng.choice((b"\xff", b'"', b"{", b"[", b"\\ud800", b"9" * 5000))
            case 1:
                del made[at : at + rng.randrange(9)]
            case 2 if made:
                made[at % len(made)] = rng.randrange(256)
            case _:
                made[at:at] = bytes(rng.choices(b'{}[]":,0123456789.eE-+ tfn\\u', k=5))
    return bytes(made).replace(b"\n", b"")


def documents(seed: int, count: int) -> list[bytes]:
    """Return so many documents as lines without their newline; a third of them are no JSON."""
    rng = random.Random(seed)
    made = [json.dumps(reshaped(rng)).encode() for _ in range(count)]
    return [damaged(rng, each) if rng.random() < 0.33 else each for each in made]

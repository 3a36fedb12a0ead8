"""Changes inputs at random: bytes, and what stands for a value in JSON, YAML, HTTP and so on."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from tests.fuzz.target import LONGEST

TOKENS: tuple[bytes, ...] = (
    b"",
    b"\0",
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\\ud800",
    b"\\u0000",
    b"\n",
    b"\r\n",
    b"\x1b[31m",
    "\u2028\u0130\u00df".encode(),
    "\U0001f600".encode(),
    b'"',
    b"'",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"-",
    b"%",
    b"$",
    b"<",
    b"&#x",
    b" " * 300,
    b"a" * 2000,
    b"9" * 5000,
    b"[" * 1100,
    b'{"a":' * 1100,
    b'{"a":' * 300 + b"1" + b"}" * 300,
    b"[" * 700 + b"]" * 700,
)
"""What is put in."""

VALUES: tuple[bytes, ...] = (
    b"null",
    b"true",
    b"-1",
    b"0",
    b"1e999",
    b"-1e308",
    b"1.0",
    b"0.5",
    b"NaN",
    b"9223372036854775807",
    b"9223372036854775808",
    b"-9223372036854775809",
    b"18446744073709551616",
    b"1000000000000000000000000000000",
    b"9" * 5000,
    b'""',
    b'"x"',
    b'"12"',
    b'"\\ud800"',
    b'"\\u0000\\u001b"',
    b'"\xff"',
    b'"' + b"x" * 3000 + b'"',
    b"[]",
    b"{}",
    b"[1]",
    b'{"a":1}',
    b'[[["a"]]]',
    b'{"":{"":""}}',
    b"[" * 600 + b"]" * 600,
    b'{"a":' * 270 + b"1" + b"}" * 270,
    b'{"a":' * 1020 + b"1" + b"}" * 1020,
    b'{"a":' * 1100,
    b"[" * 1100 + b"]" * 1100,
)
"""What takes the place of a value."""

_VALUE = re.compile(rb'"(?:[^"\\\n]|\\.){0,200}"|-?\b[0-9]+(?:\.[0-9]+)?\b|\b(?:true|false|null)\b')
_NUMBER = re.compile(rb"[0-9]+")


class Mutator:
    """Makes inputs of inputs; the same ones for the same seed."""

    def __init__(self, seed: int, pool: Sequence[bytes], tokens: Sequence[bytes] = ()) -> None:
        self._rng = random.Random(seed)
        self._pool = tuple(pool) or (b"",)
        self._tokens = (*tokens, *TOKENS) if tokens else TOKENS
        self._own = tuple(tokens)

    def next(self) -> bytes:
        """One input, of at most LONGEST bytes."""
        rng = self._rng
        data = bytearray(rng.choice(self._pool))
        for _ in range(min(int(rng.expovariate(0.5)) + 1, 8)):
            self._change(data)
        return bytes(data[:LONGEST])

    def _change(self, data: bytearray) -> None:
        rng = self._rng
        at = rng.randrange(len(data) + 1)
        match rng.randrange(12):
            case 0 | 1 if data:
                data[at % len(data)] = rng.randrange(256)
            case 2 if data:
                # The first bytes make decisions.
                data[rng.randrange(min(4, len(data)))] = rng.randrange(256)
            case 3:
                del data[at : at + 1 + int(rng.expovariate(0.1))]
            case 4:
                del data[at:]
            case 5:
                part = bytes(data[at : at + 1 + int(rng.expovariate(0.05))])
                data[at:at] = part * rng.choice((1, 1, 2, 20))
            case 6 | 7:
                self._replace(data, _VALUE, rng.choice(VALUES))
            case 8:
                self._replace(data, _NUMBER, str(rng.getrandbits(rng.randrange(1, 70))).encode())
            case 9 if self._own:
                data[at:at] = rng.choice(self._own)
            case 10:
                other = rng.choice(self._pool)
                begin = rng.randrange(len(other) + 1)
                data[at:] = other[begin:]
            case _:
                data[at:at] = rng.choice(self._tokens)

    def _replace(self, data: bytearray, pattern: re.Pattern[bytes], value: bytes) -> None:
        found = [each.span() for each in pattern.finditer(bytes(data[:2000]))]
        if found:
            begin, end = self._rng.choice(found)
            data[begin:end] = value

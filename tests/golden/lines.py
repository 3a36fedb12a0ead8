"""What the scenarios write to the logs. It never changes: recordings are made of it.

`data/input/events.ndjson` has events of each kind as Tetragon writes them, `odd.ndjson` such as it
would hardly write. `short` makes small ones.
"""

from __future__ import annotations

from pathlib import Path

_INPUT = Path(__file__).parent / "data" / "input"

EVENTS = tuple((_INPUT / "events.ndjson").read_bytes().splitlines())
ODD = tuple((_INPUT / "odd.ndjson").read_bytes().splitlines())

BINARIES = ("/usr/bin/curl", "/bin/sh", "/usr/bin/runc", "/usr/sbin/nginx", "/usr/bin/apt")
NAMESPACES = ("default", "kube-system", "team-1", "")

MAX_LINE = 3000
"""Of the scenarios with lines that are too long, in bytes."""


def short(number: int) -> bytes:
    """Return a small event; each number gives another one."""
    kind = "process_exit" if number % 3 == 2 else "process_exec"
    namespace = NAMESPACES[number % 4]
    pod = f',"pod":{{"namespace":"{namespace}","name":"pod-{number % 5}"}}' if namespace else ""
    process = f'"pid":{1000 + number},"binary":"{BINARIES[number % 5]}","arguments":"-n {number}"'
    time = f"2026-11-24T0{number % 5}:{number // 60 % 60:02d}:{number % 60:02d}.{number:09d}Z"
    return (
        f'{{"{kind}":{{"process":{{{process}{pod}}}}},"node_name":"n","time":"{time}"}}'
    ).encode()


def shorts(begin: int, end: int) -> list[bytes]:
    """Return the small events of these numbers."""
    return [short(number) for number in range(begin, end)]


_TIME = b'"time":"2026-11-24T04:05:06.789Z"'

BAD: tuple[bytes, ...] = (
    # Not JSON.
    b'{"process_exec":{"process":{"arguments":"the disk was full',
    b'time="2026-11-24T04:05:06Z" level=info msg="not an event"',
    b"{" + _TIME + b"} and more",
    b"\xef\xbb\xbf{" + _TIME + b"}",
    b'{"a":"\\ud800",' + _TIME + b"}",
    # JSON, and no object.
    b'["an array","of text"]',
    b"17",
    b"null",
    # Not UTF-8.
    b'{"process_exec":{"process":{"arguments":"\xff\xfe x"}},' + _TIME + b"}",
    b"\xc3\x28 neither",
    # With control characters. (NULs end a line: `tests/files/test_lines.py`.)
    b'{"a":"x\x02y",' + _TIME + b"}",
    b"\x02\x02\x02",
    b'{"a":"x\x01y",' + _TIME + b"}",
    # With a CR at its end, or elsewhere.
    b'{"a":"carriage return",' + _TIME + b"}\r",
    b'{"a":1,\r' + _TIME + b"}",
    # Blank.
    b"",
    b"  \t ",
    b"\r",
    # Without a time, or with one that is none.
    b'{"process_exec":{"process":{"pid":1}}}',
    b'{"time":"yesterday"}',
    b'{"time":17}',
    b'{"time":null}',
    b'{"time":"2026-02-30T00:00:00Z"}',
    b'{"time":"2026-11-24T06:05:06.789+02:00","a":"another zone"}',
    b'{"time":"2026-11-24T04:05:06.1234567891Z","a":"ten digits"}',
    # Two of them: the last one counts.
    b'{"time":"2020-01-01T00:00:00Z",' + _TIME + b',"a":1,"a":2}',
    b'{"a":123456789012345678901234567890,"b":1e400,' + _TIME + b"}",
)

TOO_LONG: tuple[bytes, ...] = (
    b'{"process_exec":{"process":{"arguments":"' + b"x" * MAX_LINE + b'"}},' + _TIME + b"}",
    # What is cut off is white space alone.
    b'{"a":"spaces",' + _TIME + b"}" + b" " * MAX_LINE,
    # Cut in the middle of a character.
    b'{"a":"' + "ä".encode() * MAX_LINE + b'"}',
)

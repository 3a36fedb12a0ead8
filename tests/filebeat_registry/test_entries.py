"""What a key and its value say of a file."""

from __future__ import annotations

from typing import Any

import pytest

from shipper.filebeat_registry.entries import Entry, Kind, Unused, entries_of, entry_of, moment
from tests.support.filebeat import ZERO_TIME, value
from tests.support.filebeat import moment as written_moment

SHA256 = "688797f8b82fa9513d36f6ad50aaa486f3cf46c1bc67952f7b1e094b7823a99f"
SOURCE = "/var/run/cilium/tetragon/tetragon.log"
UPDATED = 1_696_416_120_502_979_742


def held(offset: float | None = 458, **more: Any) -> dict[str, Any]:
    return value(SOURCE, offset, updated=UPDATED, **more)


def entry(key: str, value: dict[str, Any]) -> Entry:
    found = entry_of(key, value)
    assert isinstance(found, Entry), found
    return found


def test_a_file_by_its_inode() -> None:
    key = "filestream::my-log-file::native::1041043-66305"
    assert entry(key, held(ttl=1_800_000_000_000)) == Entry(
        key=key,
        input_id="my-log-file",
        kind=Kind.NATIVE,
        inode=1041043,
        device=66305,
        source=SOURCE,
        offset=458,
        updated=UPDATED,
    )


@pytest.mark.parametrize(
    ("identity", "expected"),
    [
        (f"fingerprint::{SHA256}", (Kind.FINGERPRINT, SHA256, 0, None, "")),
        (f"fingerprint::{SHA256}-stderr", (Kind.FINGERPRINT, SHA256, 0, None, "stderr")),
        ("native::18446744073709551615-1", (Kind.NATIVE, "", 2**64 - 1, 1, "")),
        ("native::12-34-stdout", (Kind.NATIVE, "", 12, 34, "stdout")),
        ("inode_marker::12-a::b\n-c", (Kind.INODE_MARKER, "", 12, None, "")),
        ("path::/logs/a::b.log", (Kind.PATH, "/logs/a::b.log", 0, None, "")),
        # Its source has that name, too.
        ("path::/logs/a-stdout", (Kind.PATH, "/logs/a-stdout", 0, None, "")),
        (f"path::{SOURCE}-stdout", (Kind.PATH, SOURCE, 0, None, "stdout")),
    ],
)
def test_all_identities(identity: str, expected: tuple[Kind, str, int, int | None, str]) -> None:
    found = entry(f"filestream::tetragon::{identity}", held())
    assert (found.kind, found.value, found.inode, found.device, found.stream) == expected
    assert found.input_id == "tetragon"


@pytest.mark.parametrize("input_id", [".global", "a::b", "", "with space", "ünï\ncode"])
def test_all_ids_of_inputs(input_id: str) -> None:
    assert entry(f"filestream::{input_id}::native::1-2", held()).input_id == input_id


def test_the_old_log_input() -> None:
    key = "filebeat::logs::native::361-2055"
    value = {
        "timestamp": [2061583000560, 1641268968],
        "ttl": -1,
        "type": "log",
        "FileStateOS": {"inode": 361, "device": 2055},
        "source": SOURCE,
        "offset": 153040051,
        "identifier_name": "native",
        "id": "native::361-2055",
        "prev_id": "",
    }
    found = entry(key, value)
    assert (found.input_id, found.kind, found.inode, found.device) == ("", Kind.NATIVE, 361, 2055)
    assert (found.source, found.offset) == (SOURCE, 153040051)
    assert found.updated is not None
    assert found.updated // 1_000_000_000 == 1641268968


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("filestream::t::native::1-2", held(ttl=0), Unused.REMOVED),
        ("filestream::t::native::1-2", held(ttl=0.0), Unused.REMOVED),
        ("filestream::t::native::1-2", held(-1), Unused.DAMAGED),
        ("filestream::t::native::1-2", held(1.5), Unused.DAMAGED),
        ("filestream::t::native::1-2", held(2.0**63), Unused.DAMAGED),
        ("filestream::t::native::1-2", {"ttl": -1, "cursor": {}}, Unused.DAMAGED),
        ("filestream::t::native::1-2", {"ttl": -1, "cursor": {"offset": True}}, Unused.DAMAGED),
        ("filestream::t::native::1-2", {"ttl": -1, "cursor": [1]}, Unused.DAMAGED),
        ("filebeat::logs::native::1-2", {"ttl": -1}, Unused.DAMAGED),
        ("filestream::t::native::1", held(), Unused.UNKNOWN_IDENTITY),
        ("filestream::t::native::1-x", held(), Unused.UNKNOWN_IDENTITY),
        ("filestream::t::fingerprint::abc", held(), Unused.UNKNOWN_IDENTITY),
        ("filestream::t::path::", held(), Unused.UNKNOWN_IDENTITY),
        ("filestream::t::serial::1", held(), Unused.UNKNOWN_IDENTITY),
        ("filestream::t", held(), Unused.UNKNOWN_IDENTITY),
        ("httpjson::t::https://example.com", {"cursor": {"page": 1}}, Unused.OTHER_INPUT),
        ("", {}, Unused.OTHER_INPUT),
    ],
)
def test_what_says_nothing_of_a_file(key: str, value: dict[str, Any], why: Unused) -> None:
    assert entry_of(key, value) is why


def test_what_was_seen_and_not_read_has_no_offset() -> None:
    found = entry("filestream::t::native::1-2", value(SOURCE, None))
    assert (found.offset, found.updated) == (None, None)


def test_numbers_may_be_written_as_floats() -> None:
    assert entry("filestream::t::native::1-2", held(1.1e06)).offset == 1_100_000


def test_a_gzip_that_was_read_to_its_end() -> None:
    assert entry("filestream::t::native::1-2", held(eof=True)).ended
    assert not entry("filestream::t::native::1-2", held(eof=False)).ended


def test_a_value_without_anything_is_a_file_that_was_not_read() -> None:
    found = entry("filestream::t::native::1-2", {"meta": None, "updated": "now"})
    assert (found.offset, found.updated, found.source) == (None, None, "")


@pytest.mark.parametrize(
    ("meta", "covered"),
    [({"fingerprint_len": 303}, 303), ({"fingerprint": "7b" * 200}, 200), ({}, None)],
)
def test_a_fingerprint_of_a_short_file(meta: dict[str, Any], covered: int | None) -> None:
    value = held() | {"meta": {"source": SOURCE, **meta}}
    assert entry(f"filestream::t::fingerprint::{SHA256}", value).covered == covered


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ([502979742, 1696416120], UPDATED),
        (written_moment(UPDATED), UPDATED),
        (written_moment(UPDATED, 8 * 60), UPDATED),
        (written_moment(UPDATED, -7 * 60), UPDATED),
        ([502979742.0, 1.69641612e09], UPDATED),
        (ZERO_TIME, None),
        ([0, 1.8446744011573955e19], None),
        ([1, 0], None),
        ([1], None),
        ([1, "2"], None),
        ("2026-11-25T00:00:00Z", None),
        (None, None),
    ],
)
def test_times_as_filebeat_writes_them(written: object, expected: int | None) -> None:
    assert moment(written) == expected


def test_what_is_of_no_use_is_counted() -> None:
    entries, unused = entries_of(
        {
            "filestream::t::native::1-2": held(),
            "filestream::t::native::3-4": held(ttl=0),
            "filestream::t::native::5-6": held(ttl=0),
            "winlog::System": {"cursor": {}},
        }
    )
    assert [entry.inode for entry in entries] == [1]
    assert unused == {Unused.REMOVED: 2, Unused.OTHER_INPUT: 1}

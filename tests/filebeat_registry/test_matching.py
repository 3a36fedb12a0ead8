"""Whether a file is the one that an entry is of: one case a line of the rules."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from shipper.filebeat_registry.entries import Entry, Kind
from shipper.filebeat_registry.matching import (
    FileFacts,
    Match,
    by_content,
    match_entry,
    may_belong_to,
)
from shipper.files.identity import NO_MARK, mark_of

SECOND = 1_000_000_000
READ = 1_764_000_000 * SECOND
LAST_WRITE = READ + 60 * SECOND
MARK = mark_of(b"the bytes before")

NATIVE = Entry("k", "tetragon", Kind.NATIVE, inode=1, device=2, offset=1000, updated=READ)
PATH = replace(NATIVE, kind=Kind.PATH, value="/a.log", inode=0, device=None)
MARKER = replace(NATIVE, kind=Kind.INODE_MARKER, device=None)
FINGERPRINT = replace(NATIVE, kind=Kind.FINGERPRINT, value="ab" * 32, inode=0, device=None)
BY_INODE_OR_NAME = pytest.mark.parametrize("entry", [NATIVE, PATH, MARKER])

#: A file as it was left, with a time in each line.
LEFT = FileFacts(
    born=READ - 3600 * SECOND,
    same_path=True,
    reaches=True,
    line_end=1000,
    mark=MARK,
    line_time=READ - SECOND,
)


@pytest.mark.parametrize("entry", [NATIVE, PATH, MARKER, FINGERPRINT])
def test_a_file_as_it_was_left_goes_on(entry: Entry) -> None:
    found = match_entry(entry, LEFT, LAST_WRITE)
    assert (found.match, found.start, found.mark) == (Match.CONTINUE, 1000, MARK)


@pytest.mark.parametrize("offset", [None, 0])
def test_nothing_acknowledged_is_the_beginning(offset: int | None) -> None:
    found = match_entry(replace(NATIVE, offset=offset), LEFT, LAST_WRITE)
    assert (found.match, found.start, found.mark) == (Match.BEGINNING, 0, NO_MARK)


@pytest.mark.parametrize("entry", [NATIVE, PATH, MARKER, FINGERPRINT])
@pytest.mark.parametrize(
    "changed",
    [
        {"reaches": False},
        # Cut to nothing and filled again: the line before the offset is of today.
        {"line_time": READ + 10 * SECOND},
        {"line_time": READ + 10 * SECOND, "line_end": 900},
    ],
)
def test_another_content(entry: Entry, changed: dict[str, object]) -> None:
    found = match_entry(entry, replace(LEFT, **changed), LAST_WRITE)
    assert (found.match, found.start) == (Match.OTHER_FILE, 0)


@BY_INODE_OR_NAME
def test_a_file_that_came_after_filebeats_reading_is_another(entry: Entry) -> None:
    # Inodes and names are used again. Its lines may have any time, or none.
    for line_time in (READ - SECOND, None):
        facts = replace(LEFT, born=READ + 1, line_time=line_time)
        assert match_entry(entry, facts, LAST_WRITE).match is Match.OTHER_FILE


def test_a_copy_that_came_later_has_the_fingerprint_all_the_same() -> None:
    assert (
        match_entry(FINGERPRINT, replace(LEFT, born=READ + 1), LAST_WRITE).match is Match.CONTINUE
    )


@BY_INODE_OR_NAME
def test_where_the_age_is_not_known_the_lines_decide(entry: Entry) -> None:
    facts = replace(LEFT, born=None)
    assert match_entry(entry, facts, LAST_WRITE).match is Match.CONTINUE
    assert match_entry(entry, replace(facts, line_time=None), LAST_WRITE).match is Match.UNSURE


@BY_INODE_OR_NAME
def test_where_lines_have_no_time_age_and_newline_decide(entry: Entry) -> None:
    facts = replace(LEFT, line_time=None)
    assert match_entry(entry, facts, LAST_WRITE).match is Match.CONTINUE
    assert match_entry(entry, replace(facts, line_end=990), LAST_WRITE).match is Match.UNSURE


@pytest.mark.parametrize("entry", [NATIVE, FINGERPRINT])
def test_inside_a_line_it_goes_back_to_where_that_begins(entry: Entry) -> None:
    mark = mark_of(b"other bytes")
    found = match_entry(entry, replace(LEFT, line_end=900, mark=mark), LAST_WRITE)
    assert (found.match, found.start, found.mark) == (Match.CONTINUE, 900, mark)
    assert found.why.endswith("the offset is inside a line, which is read as a whole")


@BY_INODE_OR_NAME
def test_inside_a_line_of_a_file_whose_age_is_not_known_it_is_not_sure(entry: Entry) -> None:
    # The copy of a log, which has old lines, may have taken the inode of a file that is gone.
    facts = replace(LEFT, born=None, line_end=900)
    assert match_entry(entry, facts, LAST_WRITE).match is Match.UNSURE


def test_clocks_may_differ_by_a_second() -> None:
    facts = replace(LEFT, line_time=READ + SECOND)
    assert match_entry(NATIVE, facts, LAST_WRITE).match is Match.CONTINUE
    facts = replace(LEFT, line_time=READ + SECOND + 1)
    assert match_entry(NATIVE, facts, LAST_WRITE).match is Match.OTHER_FILE


def test_without_filebeats_time_its_last_write_and_the_name_serve() -> None:
    entry = replace(NATIVE, updated=None)
    facts = replace(LEFT, born=LAST_WRITE, line_time=LAST_WRITE)
    assert match_entry(entry, facts, LAST_WRITE).match is Match.CONTINUE
    assert match_entry(entry, replace(facts, same_path=False), LAST_WRITE).match is Match.UNSURE
    later = replace(facts, born=LAST_WRITE + 1)
    assert match_entry(entry, later, LAST_WRITE).match is Match.OTHER_FILE


def test_by_content_alone_everything_has_to_fit() -> None:
    assert may_belong_to(NATIVE, replace(LEFT, born=READ + SECOND, same_path=False))
    assert by_content(NATIVE, LEFT).start == 1000
    for facts in (
        replace(LEFT, reaches=False),
        replace(LEFT, line_end=900),
        replace(LEFT, line_time=None),
        replace(LEFT, line_time=READ + 2 * SECOND),
    ):
        assert not may_belong_to(NATIVE, facts)
    assert not may_belong_to(replace(NATIVE, offset=0), LEFT)
    assert not may_belong_to(replace(NATIVE, updated=None), LEFT)

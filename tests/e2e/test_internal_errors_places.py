"""Every place of `tests.support.injection` raised in one of the tests before, or has a reason not
to. The last module of its group (`tests.support.workers`)."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

import pytest

from tests.e2e import (
    test_internal_errors,
    test_internal_errors_files,
    test_internal_errors_outputs,
)
from tests.e2e.injecting import RAISED, names_of_tests
from tests.support.injection import all_places


@dataclass(frozen=True, slots=True)
class NotReached:
    """Why a place need not raise."""

    reason: str
    #: The beginning of a place that is awaited around it: it raises in a test, and its net is that
    #: of the place.
    below: str = ""


_READING = "shipper.pipeline.harvest:_read:self._slow.run"
_EXAMINING = "shipper.pipeline.examine:run:self._examine"
_QUOTA = "shipper.files.tracker:keep_to_quota:self.obey_quota"
_SENDING = "shipper.output.elasticsearch.transport:post:self._post"

NOT_REACHED = {
    "shipper.files.filesystem:read:self._read_in_thread": NotReached(
        "only what is not in the page cache is read in a thread", _READING
    ),
    "shipper.files.filesystem:_read_in_thread:": NotReached("the same", _READING),
    "shipper.files.guarded:read:self._read_in_thread": NotReached(
        "a mount that may hang: tests/e2e/test_hold_all.py", _READING
    ),
    "shipper.pipeline.slow_files:run:": NotReached(
        "a file that waits for its disk: tests/pipeline/test_slow_files.py", _READING
    ),
    "shipper.files.tail:read:self._end.examine": NotReached(
        "at once after the end of a file was written over", _READING
    ),
    "shipper.files.seen:look_at_end:": NotReached(
        "a file that ends with many NULs, while it is looked at", _EXAMINING
    ),
    "shipper.files.measure:": NotReached("holes and NULs at the end of what is given up", _QUOTA),
    "shipper.files.tail:measure_unread:": NotReached("the same", _QUOTA),
    "shipper.files.quota:_give_up:": NotReached("a file that cannot be read is given up", _QUOTA),
    "shipper.files.quota:_give_up_unreadable:": NotReached("the same", _QUOTA),
    "shipper.files.quota:_is_placed:": NotReached("given up before it is placed", _QUOTA),
    "shipper.files.quota:_holds_the_same:": NotReached("a copy of what is given up", _QUOTA),
    "shipper.files.compressed:_place:": NotReached(
        "depends on how far the file is that a gzip was made from",
        "shipper.files.compressed:place:",
    ),
    "shipper.files.compressed:_is_unrelated:": NotReached(
        "the same", "shipper.files.compressed:place:"
    ),
    "shipper.files.compressed:_is_followed:": NotReached(
        "the same", "shipper.files.compressed:place:"
    ),
    "shipper.files.placement:": NotReached(
        "depends on how far copies and gzips of a file are", "shipper.files.catalog:place:"
    ),
    "shipper.files.prefix:": NotReached("the same", "shipper.files.catalog:place:"),
    "shipper.files.gzip_content:reach:": NotReached(
        "a mark far behind what is unpacked", "shipper.files.catalog:place:"
    ),
    "shipper.files.former_inputs:": NotReached("in the test that is `long`"),
    "shipper.files.unopened:": NotReached(
        "a turn for others after many files that cannot be opened",
        "shipper.files.tracker:_scan:self._report_vanished",
    ),
    "shipper.files.watch:_follow_mounts:": NotReached(
        "a mount, which takes root: tests/e2e/test_mounts.py",
        "shipper.files.watch:_follow_mounts:changed.wait()",
    ),
    "shipper.files.watchfiles_notifier:": NotReached(
        "where there is no inotify: tests/files/test_watch.py"
    ),
    "shipper.pipeline.harvest:_at_end:self._taken.encode()": NotReached(
        "so many lines at once that they do not wait for more: tests/pipeline/test_taken.py",
        _READING,
    ),
    "shipper.pipeline.harvest:_read_in_turns:self._taken.encode()": NotReached(
        "a memory that is full while files are read: tests/pipeline/test_harvest.py", _READING
    ),
    "shipper.pipeline.harvest:_read_in_turns:self._budget.room()": NotReached("the same", _READING),
    "shipper.pipeline.budget:room:": NotReached("the same", _READING),
    "shipper.files.mounts:_tell:": NotReached("the same", "shipper.files.mounts:run:self._tell"),
    "shipper.files.watch:_keep_watching:": NotReached(
        "a directory that is another one when its watch has ended",
        "shipper.files.watch:_keep_watching:self._watch",
    ),
    "shipper.output.console:_print:self._writable()#1": NotReached(
        "a terminal or a socket", "shipper.output.console:deliver:self._print"
    ),
    "shipper.output.console:deliver:_end_as_by_a_stop()": NotReached(
        "when nobody reads any more; it only waits to be cancelled",
        "shipper.output.console:deliver:self._print",
    ),
    "shipper.output.console:_end_as_by_a_stop:": NotReached("the same"),
    "shipper.output.console:_writable:room.wait()": NotReached(
        "a pipe that is full just then", "shipper.output.console:deliver:self._print"
    ),
    "shipper.output.dead_letter_file:put_back:": NotReached(
        "of `shipper deadletter replay`, a process of its own: tests/dead_letters"
    ),
    "shipper.output.elasticsearch.connections:_end_idle:": NotReached(
        "after a minute without requests", "shipper.output.elasticsearch.connections:use:"
    ),
    "shipper.output.elasticsearch.resolver:getnameinfo:": NotReached(
        "addresses with a scope, of IPv6", "shipper.output.elasticsearch.resolver:resolve:"
    ),
    "shipper.output.elasticsearch.requests:_post_in_time:self._post(host, body)#0": NotReached(
        "a part that failed while others got through",
        "shipper.output.elasticsearch.delivery:_send:",
    ),
    "shipper.output.elasticsearch.transport:post:self._post(url, body)#": NotReached(
        "a host that does not know require_data_stream", _SENDING
    ),
    "shipper.output.elasticsearch.transport:request:self._trust": NotReached(
        "only with a fingerprint", _SENDING
    ),
    "shipper.output.elasticsearch.transport:_trust:": NotReached("the same", _SENDING),
    "shipper.output.file.sender:_with_retries:self._clock.sleep": NotReached(
        "a disk that fails", "shipper.output.file.sender:deliver:self._with_retries"
    ),
    "shipper.output.loss_shipper:_send_some:self._clock.sleep": NotReached(
        "ten minutes", "shipper.output.loss_shipper:run:self._send_some"
    ),
    "shipper.admin.server:_open:self._clock.sleep": NotReached(
        "an address that is taken", "shipper.admin.server:run:self._open"
    ),
    "shipper.admin.access:wait:": NotReached("for tests"),
    "shipper.admin.connections:_close:": NotReached(
        "depends on who closes first", "shipper.admin.connections:_exchange:_close"
    ),
}
"""The beginnings of places that no test reaches, or not each time."""

IS_A_TURN = re.compile(r":asyncio\.sleep\(0\)#\d+$")
"""A turn for other tasks after some milliseconds of work, which a fast machine does not need. The
task ends when it raises, as by other places of the same loop."""

MOST_NOT_REACHED, MOST_WITHOUT = 60, 90
"""With the tests that are `long`, and without: more would be another kind of test."""


def names(*, long: bool) -> set[str]:
    modules = (test_internal_errors, test_internal_errors_files, test_internal_errors_outputs)
    return {name for module in modules for name in names_of_tests(module, long=long)}


def test_every_place_raised_or_has_a_reason_not_to() -> None:
    missing = names(long=False) - RAISED.keys()
    if missing:
        pytest.skip(f"tests of this group were not run in this process: {sorted(missing)}")
    places, reached = set(all_places()), set[str]().union(*RAISED.values())
    assert reached <= places
    left = places - reached
    if report := os.environ.get("PLACES_REPORT"):
        with open(report, "w") as file:
            file.write("\n".join(sorted(left)))
    explained = (*NOT_REACHED, *(place for place in left if IS_A_TURN.search(place)))
    unexplained = sorted(place for place in left if not place.startswith(explained))
    assert unexplained == []
    assert len(left) <= (MOST_NOT_REACHED if names(long=True) <= RAISED.keys() else MOST_WITHOUT)


def test_each_reason_is_about_a_place_that_exists_below_one_that_raises() -> None:
    places = all_places()
    for beginning, why in NOT_REACHED.items():
        assert any(place.startswith(beginning) for place in places), beginning
        if why.below:
            assert any(place.startswith(why.below) for place in places), why.below
    reached = set[str]().union(*RAISED.values())
    if any(place.startswith("shipper.pipeline") for place in reached) and len(reached) > 250:
        for why in NOT_REACHED.values():
            assert not why.below or any(place.startswith(why.below) for place in reached), why

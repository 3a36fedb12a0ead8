"""What may happen to the files: rotations, copies, gzips, deletions, restarts."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

from tests.golden.lines import EVENTS, ODD, short, shorts
from tests.golden.stage import Stage
from tests.support.faults import Status

LOG = "tetragon.log"
COMPRESSED_AT = 1_795_499_999.0
"""Unix seconds: a second before the scenarios begin."""

QUIET = 6.0
"""Seconds after which a file that nobody writes to counts as quiet."""


def compress(path: Path) -> Path:
    """Put a gzip in a file's place; not packed, so that it is the same with any library."""
    packed = path.with_name(f"{path.name}.gz")
    packed.write_bytes(gzip.compress(path.read_bytes(), compresslevel=0, mtime=0))
    path.unlink()
    # The log's, as gzip has it: before the scenario, whatever the machine's clock says.
    os.utime(packed, (COMPRESSED_AT, COMPRESSED_AT))
    return packed


def cut(path: Path, content: bytes = b"") -> None:
    """Cut a log to nothing, and write this; it keeps its inode."""
    with path.open("r+b", buffering=0) as file:
        file.truncate(0)
        file.write(content)


async def rotation(stage: Stage) -> None:
    """Renamed, copied and truncated, rewritten, deleted with half a line."""
    log = stage.append(LOG, shorts(0, 10))
    await stage.start()
    await stage.ship(10)
    # Renamed, and the last lines come after that.
    old = log.rename(stage.logs / "tetragon-1.log")
    stage.append(old.name, shorts(10, 13))
    stage.append(LOG, shorts(20, 25))
    await stage.ship(18)
    await stage.note("renamed")
    # Copied and truncated.
    shutil.copyfile(log, stage.logs / "tetragon-2.log")
    stage.append("tetragon-2.log", shorts(25, 27))
    cut(log, b"\n".join(shorts(30, 34)) + b"\n")
    await stage.ship(24)
    await stage.note("copied and truncated")
    # Rewritten with other lines after the first one.
    cut(log, b"\n".join([short(30), *shorts(40, 44)]) + b"\n")
    await stage.ship(29)
    await stage.note("rewritten")
    # Half a line waits for its other half; one of a deleted file has none.
    stage.append(LOG, [short(44), short(45)[:40]], end=b"")
    await stage.ship(30)
    stage.append(LOG, [short(45)[40:]])
    await stage.ship(31)
    stage.append(LOG, [short(46)], end=b"")
    await stage.look()
    log.unlink()
    await stage.look()
    await stage.pass_time(QUIET)
    await stage.ship(32)
    await stage.note("deleted")
    await stage.look()
    await stage.stop()


async def restarts(stage: Stage) -> None:
    """Files that change while no daemon runs; a kill before offsets are saved."""
    log = stage.append(LOG, EVENTS[:5])
    stage.append("other.log", shorts(0, 5))
    await stage.start()
    await stage.ship(10)
    await stage.commit()
    stage.append(LOG, shorts(10, 14))
    await stage.ship(14)
    await stage.kill("four lines are sent, and not saved")
    log.rename(stage.logs / "tetragon-1.log")
    stage.append(LOG, shorts(20, 24))
    (stage.logs / "other.log").unlink()
    await stage.start()
    await stage.ship(8)
    await stage.stop("renamed meanwhile")
    # Copied and truncated meanwhile; another one is cut.
    shutil.copyfile(log, stage.logs / "tetragon-2.log")
    cut(log, b"\n".join(shorts(30, 33)) + b"\n")
    cut(stage.logs / "tetragon-1.log", short(35) + b"\n")
    await stage.start()
    await stage.ship(4)
    # What is gone is forgotten in the end.
    (stage.logs / "tetragon-2.log").unlink()
    await stage.look()
    await stage.pass_time(3700)
    await stage.look()
    await stage.commit()
    await stage.stop()


async def compressed(stage: Stage) -> None:
    """Gzips of rotated logs: of a new one, of one that is half done, of one that is done."""
    done = stage.append("tetragon-1.log", shorts(0, 4))
    half = stage.append("tetragon-2.log", shorts(10, 14))
    stage.append(LOG, shorts(20, 24))
    await stage.start()
    await stage.ship(12)
    await stage.stop("before they are compressed")
    stage.append(half.name, shorts(14, 18))
    compress(done)
    compress(half)
    compress(stage.append("tetragon-3.log", ODD[:6]))
    damaged = compress(stage.append("tetragon-4.log", shorts(30, 60)))
    damaged.write_bytes(damaged.read_bytes()[:-20])
    await stage.start()
    await stage.ship(39)
    await stage.note("what breaks off may still grow")
    # Half a line at its end.
    await stage.pass_time(QUIET)
    await stage.ship(40)
    await stage.stop()


async def quota(stage: Stage) -> None:
    """Deleted files in an outage: the oldest is given up, the next one is kept across a kill."""
    more = {"max_in_flight": 1, "concurrency": "fixed", "bulk": {"max_events": 2}}
    # The id of a loss is made from the agent id, which is another one each time.
    quiet = {"losses": {"ship": False}}
    stage.configure({"output": more, "retention": {"max_bytes": "900B"}, **quiet})
    stage.server.next(*[Status(503)] * 3)
    stage.append("a.log", shorts(0, 3))
    await stage.start()
    await stage.read(3)
    await stage.retried(1)
    # Read, and no request is free for it; what comes after it is not even read.
    stage.append("b.log", shorts(10, 13))
    await stage.read(6)
    first = stage.append("c.log", shorts(20, 25))
    second = stage.append("d.log", shorts(30, 35))
    for age, path in ((20, first), (10, second)):
        stage.date(path, age)
    await stage.look()
    await stage.note("in an outage")
    first.unlink()
    second.unlink()
    await stage.look()
    await stage.until(lambda now: now.get('shipper_lost_lines_total{reason="retention"}') == 5)
    await stage.note("deleted")
    await stage.kill("in an outage")
    stage.server.heal()
    await stage.start()
    await stage.ship(11)
    await stage.pass_time(QUIET)
    await stage.look()
    await stage.stop()


async def kinds_of_beginning(stage: Stage) -> None:
    """Files that are read from their end at first, or not at all; links; a directory that comes."""
    later = str(stage.logs / "later" / "**" / "*.log")
    inputs = [
        stage.input("end", "end-*.log", start_at="end", tags=["end"]),
        stage.input("old", "old-*.log", "more-*.log", ignore_older="1h", compressed=False),
        {**stage.input("late", "*.none", symlinks=False), "paths": [later]},
        stage.input("links", "link-*.log", exclude=["*-not.log"], symlinks=False),
    ]
    stage.configure({"inputs": inputs, "retention": {"enabled": False}})
    stage.append("end-1.log", shorts(0, 5))
    stage.date(stage.append("old-1.log", shorts(10, 15)), 7200)
    stage.date(stage.append("more-1.log", shorts(20, 24)), 60)
    stage.append("link-1.log", shorts(30, 33))
    stage.append("link-not.log", shorts(33, 36))
    (stage.logs / "link-2.log").symlink_to(stage.logs / "old-1.log")
    (stage.logs / "more-2.log").hardlink_to(stage.logs / "more-1.log")
    await stage.start()
    await stage.ship(7)
    stage.append("end-1.log", shorts(5, 7))
    stage.append("end-2.log", shorts(7, 9))
    stage.date(stage.append("old-1.log", shorts(15, 17)), 5)
    (stage.logs / "later").mkdir()
    stage.append("later/a.log", shorts(40, 43))
    await stage.ship(16)
    await stage.stop()

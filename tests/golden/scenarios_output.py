"""What becomes of documents: answers of all kinds, many requests at once, files."""

from __future__ import annotations

from typing import Any

from tests.golden.lines import EVENTS, TOO_LONG, short, shorts
from tests.golden.stage import Stage
from tests.golden.surroundings import LINGER
from tests.support.faults import (
    CutAnswer,
    CutBefore,
    Fault,
    Garbage,
    Items,
    LostAnswer,
    Status,
)

LOG = "tetragon.log"


def _says(number: int) -> Any:
    return lambda document: f'"-n {number}"' in document["message"]


async def refusals(stage: Stage) -> None:
    """Items that are refused for good, put off, known from before; a request that is too large."""
    stage.configure({"output": {"max_in_flight": 1, "compression": "none"}})
    stage.append(LOG, shorts(0, 10))
    stage.server.refuse_items = Items(400, _says(7), "mapper [a] cannot be changed: no such value")
    await stage.start()
    await stage.ship(10)
    # Two items wait for their turn.
    stage.server.heal()
    stage.server.next(Items(429, lambda document: _says(12)(document) or _says(15)(document)))
    stage.append(LOG, shorts(10, 20))
    await stage.read(20)
    await stage.pass_time(LINGER)
    await stage.retried(2)
    await stage.sent_again()
    await stage.ended(20)
    # The whole request does, and is told how long.
    stage.server.next(Status(429, "17"))
    stage.append(LOG, shorts(20, 23))
    await stage.read(23)
    await stage.pass_time(LINGER)
    await stage.retried(3)
    await stage.sent_again()
    await stage.ended(23)
    # Known from before.
    stage.server.next(LostAnswer())
    stage.append(LOG, shorts(23, 26))
    await stage.read(26)
    await stage.pass_time(LINGER)
    await stage.retried(4)
    await stage.sent_again()
    await stage.ended(26)
    # Halved until what is too large is alone.
    stage.server.refuse_bodies = (b"-n 29", 413)
    stage.append(LOG, shorts(26, 32))
    await stage.ship(32)
    await stage.stop()


async def wall(stage: Stage) -> None:
    """Nearly all is refused for one reason: it is waited for, and nothing is given up."""
    stage.configure({"output": {"max_in_flight": 1}})
    stage.server.refuse_items = Items(400, reason="failed to parse field [a] of type [long]")
    stage.append(LOG, shorts(0, 10))
    await stage.start()
    await stage.read(10)
    for times in (1, 2, 3):
        await stage.retried(10 * times)
        await stage.note(f"refused {times} times")
        if times == 3:
            stage.server.heal()
        await stage.sent_again()
    await stage.ended(10)
    # A few that are refused again and again are at fault themselves.
    stage.server.refuse_items = Items(400, _says(10))
    stage.append(LOG, [short(10)])
    await stage.read(11)
    await stage.pass_time(LINGER)
    for times in range(1, 5):
        await stage.retried(30 + times)
        await stage.sent_again()
    await stage.ended(11)
    await stage.stop()


async def failures(stage: Stage) -> None:
    """Requests that fail as a whole, each in its own way; credentials that are refused."""
    secret = stage.root / "key"
    secret.write_text("id:first\n")
    more = {"max_in_flight": 1, "api_key_file": str(secret), "headers": {"X-Team": "a"}}
    stage.configure({"output": more})
    # The first request waits for nobody: it would be sent again while the others linger.
    stage.append(LOG, shorts(0, 3))
    await stage.start()
    await stage.ship(3)
    faults: tuple[Fault, ...] = (
        Status(503),
        Status(502),
        CutBefore(),
        Garbage(),
        CutAnswer(framed=False),
    )
    written = 3
    for times, fault in enumerate(faults, 1):
        stage.server.next(fault)
        stage.append(LOG, shorts(written, written + 2))
        written += 2
        await stage.read(written)
        await stage.pass_time(LINGER)
        await stage.retried(times)
        await stage.note(f"after {type(fault).__name__}")
        await stage.sent_again()
        await stage.ended(written)
    # Credentials are read again from their file.
    stage.server.authorization = "ApiKey aWQ6c2Vjb25k"
    stage.append(LOG, shorts(written, written + 2))
    written += 2
    await stage.read(written)
    await stage.pass_time(LINGER)
    await stage.retried(len(faults) + 1)
    secret.write_text("id:second\n")
    await stage.sent_again()
    await stage.ended(written)
    await stage.stop()


async def many_requests(stage: Stage) -> None:
    """Several requests at once, each full with the lines of one file."""
    more = {"bulk": {"max_events": 4}, "max_in_flight": 4, "concurrency": "fixed"}
    stage.configure({"output": more})
    for number in range(7):
        stage.append(f"tetragon-{number:02d}.log", shorts(4 * number, 4 * number + 4))
    await stage.start()
    await stage.ship(28)
    await stage.commit()
    await stage.stop()


def _to_file(stage: Stage, **more: Any) -> None:
    """Have a file written in place of a server."""
    (stage.root / "output").mkdir(exist_ok=True)
    path = str(stage.root / "output" / "documents.ndjson")
    output = {"file": {"path": path, **more}, "bulk": {"linger": f"{LINGER:g}s"}}
    stage.config = {**stage.config, "output": output}


async def output_file(stage: Stage) -> None:
    """Documents in a file that is rotated; after a kill it has no line twice."""
    _to_file(stage, max_bytes="64KiB", keep=1)
    # Any two of these parts are more than the file may hold; the first is deleted in the end.
    parts = [EVENTS[:11], [*EVENTS[11:22], *TOO_LONG, *TOO_LONG], EVENTS[:11]]
    await stage.start()
    written = 0
    for part in parts:
        stage.append(LOG, part)
        written += len(part)
        await stage.ship(written)
    await stage.commit()
    stage.append(LOG, shorts(0, 5))
    await stage.ship(written + 5)
    await stage.kill("five offsets are not saved")
    await stage.start()
    stage.append(LOG, shorts(5, 10))
    await stage.ship(10)
    await stage.stop()


async def output_bulk_file(stage: Stage) -> None:
    """The same with action lines; what another format left is put aside."""
    _to_file(stage)
    stage.append(LOG, shorts(0, 5))
    await stage.start()
    await stage.ship(5)
    await stage.stop("documents")
    _to_file(stage, format="bulk")
    stage.append(LOG, shorts(5, 10))
    await stage.start()
    await stage.ship(5)
    stage.append(LOG, EVENTS[6:9])
    await stage.ship(8)
    await stage.stop()

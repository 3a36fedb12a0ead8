"""An exception in every awaited call about files that is reached in odd situations only. As in
`test_internal_errors`."""

from __future__ import annotations

import gzip
import os
import random
import shutil
from pathlib import Path

import pytest

from tests.conftest import MakeShipper
from tests.e2e.injecting import AFTER_THE_LAST_COMMIT, PAGES, Inject, injected, raised
from tests.support.bulk_server import BulkServer
from tests.support.processes import ShipperProcess

__all__ = ["injected"]

SKIP = PAGES + AFTER_THE_LAST_COMMIT


def stored(server: BulkServer) -> list[str]:
    return [str(document["message"]) for document in server.documents.values()]


def assert_all_there(process: ShipperProcess, server: BulkServer, lines: set[str]) -> None:
    """Each line is stored once, and each that was read has one outcome."""
    server.wait_for(lambda: lines <= set(stored(server)))
    process.wait_until_idle()
    assert sorted(stored(server)) == sorted(lines)
    page = process.metrics()
    assert page.uncounted_lines == 0
    assert page.value("shipper_in_flight_events") == page.value("shipper_in_flight_bytes") == 0
    assert page.value("shipper_lost_bytes_total") == 0
    assert page.value("shipper_internal_errors_total") > 0


def numbered(name: str, numbers: range) -> list[str]:
    """Lines that do not compress well."""
    rng = random.Random(name)
    return [f'{{"{name}":{number},"x":"{rng.randbytes(200).hex()}"}}' for number in numbers]


def as_bytes(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


# Each look takes a second, and each place ends one.
@pytest.mark.long
def test_the_places_of_former_inputs_raise_and_what_they_left_is_shipped_later(
    shipper: MakeShipper, bulk_server: BulkServer, tmp_path: Path, injected: Inject
) -> None:
    """Each file is on the disk, and was not shipped to its end when its input was removed."""
    logs, others = tmp_path / "logs", tmp_path / "others"
    logs.mkdir()
    others.mkdir()
    zeros, packed = numbered("zeros", range(40)), numbered("packed", range(4000))
    (logs / "zeros.log").write_bytes(b"\0" * 300_000 + as_bytes(zeros[:20]))
    (logs / "plain.log").write_bytes(as_bytes(numbered("plain", range(20))))
    with gzip.open(logs / "packed.log.gz", "wb", 1) as file:
        file.write(as_bytes(packed))
    former = {
        "inputs": [{"id": "former", "paths": [f"{logs}/*"]}],
        "output": {"bulk": {"max_events": 100}, "max_in_flight": 1},
        "memory": {"max_bytes": "1MiB"},
    }
    first = shipper(former, directory=tmp_path / "daemon")
    first.start()
    bulk_server.wait_for(lambda: any("packed" in line for line in stored(bulk_server)[1000:]))
    bulk_server.down()
    with (logs / "zeros.log").open("ab") as log:
        log.write(as_bytes(zeros[20:]))
    with (logs / "plain.log").open("ab") as log:
        log.write(as_bytes(numbered("plain", range(20, 40))[:1]))
    first.wait_until(lambda: first.status()["backlog_bytes"] > 0, "some of it waits")
    first.wait_until(lambda: not first.why_not_ready().startswith("ready"), "it is known")
    first.kill9()
    bulk_server.up()

    process = shipper(
        {"inputs": [{"id": "other", "paths": [f"{others}/*.log"]}]}, directory=tmp_path / "daemon"
    )
    report = injected(process, skip=SKIP)
    process.start()
    (others / "a.log").write_bytes(b'{"other":1}\n')
    bulk_server.wait_for(lambda: '{"other":1}' in stored(bulk_server))
    process.wait_until(lambda: bool(process.logged("input-not-configured")), "it is warned of")
    assert process.sigterm() == 0
    assert any(place.startswith("shipper.files.former_inputs") for place in raised(report))

    last = shipper(former, directory=tmp_path / "daemon")
    last.start()
    lines = {*zeros, *packed, *numbered("plain", range(20))}
    lines |= {numbered("plain", range(20, 40))[0], '{"other":1}'}
    bulk_server.wait_for(lambda: lines <= set(stored(bulk_server)))
    assert sorted(stored(bulk_server)) == sorted(lines)


def test_the_places_of_directories_that_come_and_go_raise_and_all_lines_are_there_once(
    shipper: MakeShipper, bulk_server: BulkServer, tmp_path: Path, injected: Inject
) -> None:
    late, deep = tmp_path / "late", tmp_path / "deep"
    (deep / "one").mkdir(parents=True)
    (deep / "one" / "a.log").write_bytes(b'{"deep":1}\n')
    process = shipper(
        {
            "inputs": [
                {"id": "late", "paths": [f"{late}/*.log"]},
                {"id": "deep", "paths": [f"{deep}/**/*.log"]},
            ]
        }
    )
    report = injected(process, armed_by="shipper.files.mounts:", skip=SKIP)
    process.start()
    lines = {'{"deep":1}'}
    assert_all_there(process, bulk_server, lines)
    late.mkdir()
    (late / "a.log").write_bytes(b'{"late":1}\n')
    assert_all_there(process, bulk_server, lines := {*lines, '{"late":1}'})
    for number in range(4):
        # A name that is not UTF-8 ends a watch; a directory that is another one, too.
        Path(os.fsdecode(os.fsencode(late) + b"/\xff%d.log" % number)).write_bytes(b"")
        (deep / f"two-{number}").mkdir()
        (deep / f"two-{number}" / "a.log").write_bytes(b'{"two":%d}\n' % number)
        assert_all_there(process, bulk_server, lines := {*lines, f'{{"two":{number}}}'})
        late.rename(tmp_path / f"former-{number}")
        late.mkdir()
        (late / "a.log").write_bytes(b'{"late":1%d}\n' % number)
        assert_all_there(process, bulk_server, lines := {*lines, f'{{"late":1{number}}}'})
    assert process.sigterm() == 0
    assert any(place.startswith("shipper.files.watch:_until_moved") for place in raised(report))


# Gzips are waited for until they stay as they are.
@pytest.mark.long
def test_the_places_of_copies_and_gzips_raise_and_all_lines_are_there_once(
    shipper: MakeShipper, bulk_server: BulkServer, tmp_path: Path, injected: Inject
) -> None:
    """Copies and gzips of files that are followed, that are finished, that go on differently."""
    logs = tmp_path / "logs"
    logs.mkdir()
    process = shipper({"inputs": [{"id": "a", "paths": [f"{logs}/*"]}]})
    report = injected(process, skip=SKIP)
    lines = numbered("a", range(300))
    log = logs / "a.log"
    log.write_bytes(as_bytes(lines[:100]))
    process.start()
    assert_all_there(process, bulk_server, set(lines[:100]))
    # Of a file that is followed: one that is as long, and then one that is cut off.
    with gzip.open(logs / "a-1.log.gz", "wb") as file:
        file.write(log.read_bytes())
    shutil.copy(log, logs / "copy.log")
    with log.open("ab") as more:
        more.write(as_bytes(lines[100:150]))
    assert_all_there(process, bulk_server, set(lines[:150]))
    # copytruncate.
    shutil.copy(log, logs / "b.log")
    log.write_bytes(as_bytes(lines[150:200]))
    assert_all_there(process, bulk_server, set(lines[:200]))
    # Compressed and removed, as after a rotation; the next one begins like it and goes on.
    with gzip.open(logs / "a-2.log.gz", "wb") as file:
        file.write(log.read_bytes())
    log.unlink()
    log.write_bytes(as_bytes(lines[150:250]))
    assert_all_there(process, bulk_server, set(lines[:250]))
    assert process.sigterm() == 0
    again = shipper({"inputs": [{"id": "a", "paths": [f"{logs}/*"]}]}, directory=tmp_path / "again")
    second = injected(again, skip=SKIP)
    again.start()
    assert_all_there(again, bulk_server, set(lines[:250]))
    with log.open("ab") as more:
        more.write(as_bytes(lines[250:]))
    assert_all_there(again, bulk_server, set(lines))
    assert again.sigterm() == 0
    assert any(place.startswith("shipper.files.placement") for place in raised(report))
    assert raised(second)


def test_the_places_of_long_and_half_lines_raise_and_each_is_there_once(
    shipper: MakeShipper, bulk_server: BulkServer, tmp_path: Path, injected: Inject
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    process = shipper(
        {
            "inputs": [
                {"id": "a", "paths": [f"{logs}/*.log"], "max_line_bytes": "600KiB"},
                {"id": "b", "paths": [f"{logs}/*.cut"], "max_line_bytes": "1KiB"},
            ],
        }
    )
    report = injected(process, skip=SKIP)
    # Longer than a block; cut off by zeros and by the end of a removed file, while it is skipped.
    long = f'{{"long":"{"x" * 500_000}"}}'
    (logs / "long.log").write_bytes(f"{long}\n".encode())
    (logs / "zeros.cut").write_bytes(b"y" * 400_000 + b"\0" * 9000 + b'{"z":1}\n')
    (logs / "half.cut").write_bytes(b"w" * 400_000)
    (logs / "half.log").write_bytes(b'{"half":')
    process.start()
    bulk_server.wait_for(lambda: {long, '{"z":1}'} <= set(stored(bulk_server)))
    for name in ("half.cut", "half.log"):
        (logs / name).unlink()
    bulk_server.wait_for(lambda: len(bulk_server.documents) == 5)
    process.wait_until_idle()
    assert sorted(line[:8] for line in stored(bulk_server)) == sorted(
        [long[:8], '{"z":1}', "y" * 8, "w" * 8, '{"half":']
    )
    assert process.metrics().uncounted_lines == 0
    assert process.sigterm() == 0
    assert any(place.startswith("shipper.files.lines:_read_rest") for place in raised(report))

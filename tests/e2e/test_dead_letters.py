"""Dead letters as a user meets them: refused by a server, shown, and sent again by a process that
is killed, beside a daemon that goes on.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.conftest import MakeShipper
from tests.support.bulk_server import BulkServer
from tests.support.faults import (
    PATIENCE,
    CutBefore,
    Document,
    Gate,
    Held,
    Items,
    LostAnswer,
    Status,
)
from tests.support.logdir import LogDirectory
from tests.support.processes import ShipperProcess

WITNESS = '{"time":"2026-01-01T00:00:00Z","this":"is created"}'


def command(daemon: ShipperProcess, *arguments: str) -> list[str]:
    """Return a command line with the daemon's configuration."""
    config = ["-c", str(daemon.config_path)]
    return [sys.executable, "-m", "shipper", "deadletter", *arguments, *config]


def run(daemon: ShipperProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; there is never a traceback."""
    done = subprocess.run(
        command(daemon, *arguments), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert "Traceback" not in done.stderr
    return done


def replay(daemon: ShipperProcess, *arguments: str) -> str:
    """Replay, see that all went through, and return the last line."""
    done = run(daemon, "replay", *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout.splitlines()[-1]


def shown(daemon: ShipperProcess, *arguments: str) -> list[dict[str, Any]]:
    """Return the letters that ``show --json`` prints."""
    done = run(daemon, "show", "--json", *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done
    return [json.loads(line) for line in done.stdout.splitlines()]


def lines_of(dead_letters: list[dict[str, Any]]) -> list[str]:
    return sorted(dead_letter["line"] for dead_letter in dead_letters)


def data(daemon: ShipperProcess) -> Path:
    return Path(daemon.config["data_dir"])


def aside(daemon: ShipperProcess) -> list[Path]:
    """What replays moved aside and did not finish."""
    return sorted(data(daemon).glob("dead-letter.replay-*.ndjson"))


class Refusing:
    """Has the server refuse some lines, and keeps the documents as they were refused."""

    def __init__(self, server: BulkServer, matches: Callable[[Document], bool]) -> None:
        self.documents: dict[str, bytes] = {}
        """By line."""
        self._matches = matches
        server.refuse_items = Items(400, self._refuse, reason="failed to parse field [a] of 'x'")

    def _refuse(self, document: Document) -> bool:
        if self._matches(document):
            self.documents[document["message"]] = orjson.dumps(document)
            return True
        return False


def dead_letters(daemon: ShipperProcess) -> float:
    return daemon.metrics().value("shipper_events_total", outcome="dead_letter")


def delivered(daemon: ShipperProcess) -> int:
    return int(daemon.status()["events"]["delivered"])


def write_dead_letters(
    daemon: ShipperProcess, server: BulkServer, directory: LogDirectory, lines: int
) -> Refusing:
    """Have a running daemon write that many dead letters; the server refuses all of them.

    A line of another log is created, or it would be a wall, which is waited for.
    """
    refusing = Refusing(server, lambda document: document["message"] != WITNESS)
    before, known = dead_letters(daemon), delivered(daemon)
    directory.write(lines)
    server.wait_for(lambda: len(refusing.documents) == lines)
    server.witness = WITNESS
    with (directory.path / "witness.log").open("a") as file:
        file.write(f"{WITNESS}\n")
    daemon.wait_until(lambda: dead_letters(daemon) == before + lines, "they are refused")
    # A few lone events are dead letters without a witness, too: it may not be answered yet.
    daemon.wait_until(lambda: delivered(daemon) > known, "the other line is created")
    return refusing


@pytest.fixture
def daemon(shipper: MakeShipper) -> ShipperProcess:
    """A running daemon."""
    process = shipper()
    process.start()
    return process


@pytest.fixture
def gate(bulk_server: BulkServer) -> Iterator[Gate]:
    """Closed; open in the end, whatever becomes of the test."""
    made = Gate()
    yield made
    made.open()


def start_held(
    daemon: ShipperProcess, server: BulkServer, gate: Gate, *arguments: str
) -> subprocess.Popen[str]:
    """Start a replay, and return it once the answer to its first request is held."""
    server.next(Held(gate))
    process = subprocess.Popen(
        command(daemon, "replay", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    gate.wait_until_reached()
    return process


# What it is for


def test_what_was_refused_is_there_after_a_replay_as_if_it_had_never_been_refused(
    daemon: ShipperProcess, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    refusing = Refusing(bulk_server, lambda document: document["log"]["offset"] % 3 == 0)
    log_directory.write(60)
    log_directory.append(b'not JSON \xff\xfe "quoted"\n{"no":"time \xff"}\n')
    daemon.wait_until(lambda: daemon.metrics().value("shipper_lines_read_total") == 62, "read")
    daemon.wait_until_idle()
    refused = len(refusing.documents)
    ids = {dead_letter["id"] for dead_letter in shown(daemon)}
    assert 10 < refused < 50
    assert len(bulk_server.documents) == 62 - refused

    bulk_server.heal()
    assert replay(daemon) == f"replayed {refused}, already there 0, rejected again 0, kept 0"
    assert len(bulk_server.documents) == 62
    for message, document in refusing.documents.items():
        (found,) = [
            (document_id, each)
            for document_id, each in bulk_server.documents.items()
            if each["message"] == message
        ]
        assert found[0] in ids
        assert orjson.dumps(found[1]) == document
    assert shown(daemon) == []
    assert aside(daemon) == []

    done = run(daemon, "replay")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"no dead letters in {data(daemon)}\n"


def test_what_is_replayed_twice_is_there_once(
    daemon: ShipperProcess, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    write_dead_letters(daemon, bulk_server, log_directory, 20)
    file = data(daemon) / "dead-letter.ndjson"
    shutil.copy(file, file.with_name("copy"))
    bulk_server.heal()
    replay(daemon)
    before = dict(bulk_server.documents)
    os.replace(file.with_name("copy"), file)
    assert replay(daemon) == "replayed 0, already there 20, rejected again 0, kept 0"
    assert bulk_server.documents == before
    assert bulk_server.audit(20).passed


def test_without_ids_of_ours_what_is_replayed_twice_is_there_once_too(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    daemon = shipper({"output": {"ids": "auto"}})
    daemon.start()
    write_dead_letters(daemon, bulk_server, log_directory, 20)
    bulk_server.heal()
    bulk_server.next(LostAnswer())
    done = run(daemon, "replay")
    assert done.returncode == 0
    assert done.stdout.endswith("replayed 0, already there 20, rejected again 0, kept 0\n")
    assert bulk_server.audit(20).passed


def test_what_is_refused_again_stays_with_the_new_reason(
    daemon: ShipperProcess, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    write_dead_letters(daemon, bulk_server, log_directory, 10)
    before = {dead_letter["id"]: dead_letter for dead_letter in shown(daemon)}
    last = max(dead_letter["offset"] for dead_letter in before.values())
    bulk_server.refuse_items = Items(
        413, lambda document: document["log"]["offset"] == last, "another one"
    )
    done = run(daemon, "replay")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.endswith("replayed 9, already there 0, rejected again 1, kept 0\n")
    (dead_letter,) = shown(daemon)
    assert dead_letter["offset"] == last
    assert (dead_letter["status"], dead_letter["type"]) == (413, "content_too_large_exception")
    assert dead_letter["reason"] == "content_too_large_exception: another one"
    assert dead_letter["time"] > before[dead_letter["id"]]["time"]
    same = {"time": 0, "status": 0, "type": "", "reason": ""}
    assert {**dead_letter, **same} == {**before[dead_letter["id"]], **same}
    bulk_server.heal()
    replay(daemon)
    assert bulk_server.audit(10).passed


def test_only_what_is_chosen_is_sent_and_the_rest_stays_byte_for_byte(
    daemon: ShipperProcess, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    write_dead_letters(daemon, bulk_server, log_directory, 5)
    bulk_server.refuse_items = Items(422, reason="the Other one")
    log_directory.write(5)
    daemon.wait_until(lambda: dead_letters(daemon) == 10, "they are refused")
    bulk_server.heal()
    before = shown(daemon)
    file = data(daemon) / "dead-letter.ndjson"
    whole = file.read_bytes()
    assert replay(daemon, "--reason", "nothing of that kind").startswith("0 of 10 dead letters")
    dry = run(daemon, "replay", "--status", "422", "--dry-run")
    assert dry.returncode == 0
    assert dry.stdout.startswith("5 of 10 dead letters would be sent to logs-cilium_tetragon.log-")
    assert bulk_server.url in dry.stdout
    assert "the Other one" in dry.stdout
    assert (bulk_server.documents, file.read_bytes()) == ({}, whole)

    assert replay(daemon, "--reason", "the other", "--limit", "2") == (
        "replayed 2, already there 0, rejected again 0, kept 8"
    )
    assert file.read_bytes() == b"".join(
        line for number, line in enumerate(whole.splitlines(keepends=True)) if number not in (5, 6)
    )
    since = str(before[5]["time"])
    assert replay(daemon, "--since", since) == (
        "replayed 3, already there 0, rejected again 0, kept 5"
    )
    assert lines_of(shown(daemon)) == lines_of(before[:5])
    replay(daemon)
    assert bulk_server.audit(10).passed


def test_a_line_that_was_never_sent_becomes_the_document_that_ship_would_have_made(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    log_directory.append(b'plain \xff\xfe text\n["an array"]\n\1\1\nlevel=info "quoted"\n')

    def ship_to(server: BulkServer, on_invalid: str) -> ShipperProcess:
        source = {"id": "tetragon", "paths": [log_directory.glob], "on_invalid": on_invalid}
        process = shipper({"inputs": [source], "output": {"hosts": [server.url]}})
        process.start()
        process.wait_until(lambda: process.metrics().value("shipper_lines_read_total") == 4, "read")
        process.wait_until_idle()
        return process

    with BulkServer() as other:
        ship_to(other, "ship")
        expected = {key: _without_the_run(document) for key, document in other.documents.items()}
    daemon = ship_to(bulk_server, "dead_letter")
    assert bulk_server.documents == {}
    dead_letters = shown(daemon, "--status", "0")
    assert dead_letters[0]["line_base64"] == "cGxhaW4g//4gdGV4dA=="
    assert replay(daemon) == "replayed 4, already there 0, rejected again 0, kept 0"
    found = {key: _without_the_run(document) for key, document in bulk_server.documents.items()}
    assert found == expected
    assert len(expected) == 4
    assert all(document["error"]["message"] for document in expected.values())
    assert "plain \ufffd\ufffd text" in bulk_server.messages()


def _without_the_run(document: Document) -> Document:
    """Without what is another one in each run."""
    agent = {**document["agent"], "id": "", "ephemeral_id": ""}
    return {**document, "@timestamp": "", "agent": agent}


def test_a_console_is_no_place_to_replay_to(shipper: MakeShipper) -> None:
    daemon = shipper()
    daemon.write_config({**daemon.config, "output": {"console": {}}})
    done = run(daemon, "replay")
    assert done.returncode == 1
    assert done.stderr.startswith("shipper: dead letters are sent to Elasticsearch or OpenSearch, ")
    assert "the output is output.console\n" in done.stderr


# Beside a daemon


def test_letters_that_a_daemon_writes_meanwhile_are_kept(
    daemon: ShipperProcess, bulk_server: BulkServer, log_directory: LogDirectory, gate: Gate
) -> None:
    write_dead_letters(daemon, bulk_server, log_directory, 10)
    bulk_server.heal()
    process = start_held(daemon, bulk_server, gate)
    write_dead_letters(daemon, bulk_server, log_directory, 15)
    assert len(shown(daemon)) == 25
    gate.open()
    output, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (0, "")
    assert output.endswith("replayed 10, already there 0, rejected again 0, kept 0\n")
    assert len(shown(daemon)) == 15
    bulk_server.heal()
    assert replay(daemon) == "replayed 15, already there 0, rejected again 0, kept 0"
    assert bulk_server.audit(25).passed
    assert daemon.ready()
    assert not daemon.logged("dead-letter-write-failed")


def test_a_second_replay_says_that_there_is_one_and_the_first_goes_on(
    daemon: ShipperProcess, bulk_server: BulkServer, log_directory: LogDirectory, gate: Gate
) -> None:
    write_dead_letters(daemon, bulk_server, log_directory, 10)
    bulk_server.heal()
    first = start_held(daemon, bulk_server, gate)
    second = run(daemon, "replay")
    assert (second.returncode, second.stdout) == (1, "")
    what, _ = second.stderr.splitlines()
    assert what == f"{data(daemon)}: another replay is running"
    gate.open()
    first.communicate(timeout=PATIENCE)
    assert first.returncode == 0
    assert bulk_server.audit(10).passed


# Deaths and faults


def test_kill_9_in_the_middle_loses_nothing_and_the_next_replay_goes_on(
    daemon: ShipperProcess, bulk_server: BulkServer, log_directory: LogDirectory, gate: Gate
) -> None:
    write_dead_letters(daemon, bulk_server, log_directory, 20)
    before = shown(daemon)
    bulk_server.heal()
    process = start_held(daemon, bulk_server, gate, "--limit", "12")
    process.kill()
    process.communicate()
    assert not (data(daemon) / "dead-letter.ndjson").exists()
    assert shown(daemon) == before
    gate.open()
    # The server had applied the request whose answer nobody got.
    assert replay(daemon) == "replayed 8, already there 12, rejected again 0, kept 0"
    assert (shown(daemon), aside(daemon)) == ([], [])
    assert bulk_server.audit(20).passed


def test_killed_again_and_again_at_any_moment_while_a_daemon_writes_nothing_is_lost(
    daemon: ShipperProcess, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    rng = random.Random(5)
    kills = 12
    # One after the other is refused, so that letters are delivered, put back and written anew.
    bulk_server.refuse_items = Items(400, lambda document: rng.random() < 0.6)
    for fault in (LostAnswer(), CutBefore(), Status(503)):
        bulk_server.rates[fault] = 0.1
    for _ in range(kills):
        log_directory.write(100)
        process = subprocess.Popen(
            command(daemon, "replay"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        # Anywhere between its first instruction and well under way.
        time.sleep(rng.uniform(0.2, 0.9))
        process.kill()
        process.wait()
        daemon.wait_until_idle()
        # Nothing is in neither place, at any time.
        there = {*bulk_server.messages(), *lines_of(shown_whole(daemon))}
        assert len(there) == log_directory.written
    bulk_server.heal()
    replay(daemon)
    assert (shown(daemon), aside(daemon)) == ([], [])
    audit = bulk_server.audit(log_directory.written)
    assert audit.passed, audit


def shown_whole(daemon: ShipperProcess) -> list[dict[str, Any]]:
    """Return the letters that are whole; a kill may have left half of one, which is said."""
    done = run(daemon, "show", "--json")
    assert done.returncode == 0
    assert all("an incomplete dead letter" in line for line in done.stderr.splitlines())
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_while_the_host_is_away_it_waits_and_then_gives_up_and_keeps_all(
    daemon: ShipperProcess, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    write_dead_letters(daemon, bulk_server, log_directory, 10)
    before = shown(daemon)
    bulk_server.heal()
    bulk_server.down()
    done = run(daemon, "replay", "--timeout", "1s")
    assert done.returncode == 1
    assert done.stdout.endswith("replayed 0, already there 0, rejected again 0, kept 10\n")
    waiting, given_up = done.stderr.splitlines()
    assert "waiting" in waiting
    assert "connection refused" in waiting
    assert given_up.startswith("shipper: gave up, and kept the dead letters: ")
    assert shown(daemon) == before
    assert aside(daemon) == []
    bulk_server.up()
    bulk_server.next(Status(503), Status(429), LostAnswer())
    done = run(daemon, "replay")
    assert done.returncode == 0
    assert bulk_server.audit(10).passed


def test_a_disk_that_is_full_when_letters_are_put_back_has_nothing_deleted(
    daemon: ShipperProcess, bulk_server: BulkServer, log_directory: LogDirectory, gate: Gate
) -> None:
    """The limit on the size of files stands in for the disk."""
    write_dead_letters(daemon, bulk_server, log_directory, 20)
    before = shown(daemon)
    bulk_server.heal()
    process = start_held(daemon, bulk_server, gate, "--limit", "12")
    _, most = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (100, most))
    gate.open()
    output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert output.endswith("replayed 12, already there 0, rejected again 0, kept 8\n")
    where = Path(daemon.config["data_dir"], "dead-letter.ndjson")
    assert f"letters could not be put back: file too large: {where}; nothing" in errors
    assert "nothing is deleted" in errors
    assert len(aside(daemon)) == 1
    assert sorted(line["id"] for line in shown_whole(daemon)) == sorted(
        dead_letter["id"] for dead_letter in before
    )
    done = run(daemon, "replay")
    # The half that did fit on the disk.
    assert (done.returncode, done.stderr.count("an incomplete dead letter")) == (0, 1)
    assert done.stdout.endswith("replayed 8, already there 12, rejected again 0, kept 0\n")
    assert bulk_server.audit(20).passed
    assert (shown(daemon), aside(daemon)) == ([], [])


def test_damaged_and_half_written_lines_are_told_of_and_no_damaged_one_is_deleted(
    daemon: ShipperProcess, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    write_dead_letters(daemon, bulk_server, log_directory, 3)
    file = data(daemon) / "dead-letter.ndjson"
    one, two, three = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(one + b"\xff\0 damaged\n" + two + three + one[: len(one) // 2])
    done = run(daemon, "show", "--json")
    assert (done.returncode, done.stdout) == (0, (one + two + three).decode())
    damaged, half = done.stderr.splitlines()
    assert json.loads(damaged) == {"warning": f"{file}, line 2: not a dead letter; skipped"}
    assert json.loads(half) == {"warning": f"{file}, line 5: an incomplete dead letter; skipped"}

    bulk_server.heal()
    done = run(daemon, "replay")
    assert done.returncode == 0
    assert done.stdout.endswith("replayed 3, already there 0, rejected again 0, kept 0\n")
    assert [line.rpartition(", line ")[2] for line in done.stderr.splitlines()] == [
        "2: not a dead letter; skipped",
        "5: an incomplete dead letter; skipped",
    ]
    assert file.read_bytes() == b"\xff\0 damaged\n"
    assert bulk_server.audit(3).passed


def test_letters_without_their_document_are_kept_and_it_is_said(
    daemon: ShipperProcess, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    write_dead_letters(daemon, bulk_server, log_directory, 2)
    file = data(daemon) / "dead-letter.ndjson"
    first, second = map(json.loads, file.read_bytes().splitlines())
    del first["document"]
    file.write_text(f"{json.dumps(first)}\n{json.dumps(second)}\n")
    bulk_server.heal()
    done = run(daemon, "replay")
    assert done.returncode == 1
    assert done.stdout.endswith("replayed 1, already there 0, rejected again 0, kept 1\n")
    assert "have no document, and cannot be sent again" in done.stderr
    assert shown(daemon) == [first]


def test_letters_of_another_user_are_left_alone(
    daemon: ShipperProcess, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    write_dead_letters(daemon, bulk_server, log_directory, 1)
    bulk_server.heal()
    file = data(daemon) / "dead-letter.ndjson"
    os.chown(file, 12345, -1)
    done = run(daemon, "replay")
    assert (done.returncode, bulk_server.documents) == (1, {})
    what, advice = done.stderr.splitlines()
    assert "belong to user 12345" in what
    assert advice == "  -> run it as user 12345"
    assert len(shown(daemon)) == 1


def write_large(
    daemon: ShipperProcess, server: BulkServer, logs: Path, first: int, count: int
) -> None:
    """Have lines of 10 kB be dead letters; 50 of them are half of 1 MiB."""
    before = dead_letters(daemon)
    server.refuse_items = Items(400, lambda document: "refused" in document["message"])
    with (logs / "large.log").open("a") as file:
        for number in range(first, first + count):
            line = {"refused": number, "padding": "x" * 10_000}
            file.write(f"{json.dumps(line)}\n")
            file.write(f'{{"good":{number}}}\n')
    daemon.wait_until(lambda: dead_letters(daemon) == before + count, "they are dead letters")


def losses_of(daemon: ShipperProcess) -> list[dict[str, Any]]:
    """What `registry losses --json` lists."""
    config = ["-c", str(daemon.config_path)]
    done = subprocess.run(
        [sys.executable, "-m", "shipper", "registry", "losses", "--json", *config],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_a_flood_deletes_is_listed_over_restarts_and_arrives_as_documents(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    config = {"dead_letter": {"max_bytes": "1MiB"}, "output": {"bulk": {"max_events": 20}}}
    daemon = shipper(config, directory=tmp_path / "daemon")
    daemon.start()
    write_large(daemon, bulk_server, log_directory.path, 0, 60)
    older = data(daemon) / "dead-letter.ndjson.1"
    deleted = [json.loads(line) for line in older.read_bytes().splitlines()]
    # Not of a flood that is held back.
    os.utime(older, (1.7e9, 1.7e9))
    write_large(daemon, bulk_server, log_directory.path, 60, 40)
    daemon.wait_until(lambda: bool(bulk_server.losses), "its document arrives")

    [loss] = losses_of(daemon)
    assert (loss["reason"], loss["lines"]) == ("dead_letter_full", len(deleted))
    assert loss["path"] == str(log_directory.path / "large.log")
    assert loss["identity"]
    assert loss["input_id"]
    assert loss["bytes"] == sum(len(letter["line"]) + 1 for letter in deleted)
    last = deleted[-1]
    assert (loss["start"], loss["end"]) == (
        deleted[0]["offset"],
        last["offset"] + len(last["line"]) + 1,
    )
    assert len(shown(daemon)) + loss["lines"] == 100
    page = daemon.metrics()
    assert page.value("shipper_lost_lines_total", reason="dead_letter_full") == loss["lines"]
    assert page.value("shipper_lost_bytes_total", reason="dead_letter_full") == loss["bytes"]
    assert page.uncounted_lines == 0
    [document] = bulk_server.losses.values()
    facts = json.loads(document["message"])["shipper_loss"]
    assert (facts["lines"], facts["reason"]) == (loss["lines"], "dead_letter_full")
    assert not list(data(daemon).glob("*.deleted-*"))
    assert daemon.logged("dead-letters-deleted")
    daemon.kill9()

    again = shipper(config, directory=tmp_path / "daemon")
    again.start()
    again.wait_until_idle()
    assert losses_of(again)[0]["lines"] == loss["lines"]
    assert len(losses_of(again)) == 1


def test_what_was_about_to_be_deleted_at_a_kill_is_recorded_by_the_next_start(
    shipper: MakeShipper, bulk_server: BulkServer, log_directory: LogDirectory, tmp_path: Path
) -> None:
    daemon = shipper(directory=tmp_path / "daemon")
    daemon.start()
    write_dead_letters(daemon, bulk_server, log_directory, 20)
    daemon.kill9()
    file = data(daemon) / "dead-letter.ndjson"
    letters = file.read_bytes().splitlines(keepends=True)
    file.with_name(f"{file.name}.deleted-0123456789abcdef").write_bytes(b"".join(letters[:12]))
    file.write_bytes(b"".join(letters[10:]))
    bulk_server.heal()

    again = shipper(directory=tmp_path / "daemon")
    again.start()
    again.wait_until(lambda: bool(bulk_server.losses), "its document arrives")
    assert [loss["lines"] for loss in losses_of(again)] == [10]
    again.wait_until(lambda: not list(data(again).glob("*.deleted-*")), "it is deleted")

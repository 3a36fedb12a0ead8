"""The demo as a user runs it: it ends with an audit, and fails when the audit does."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from pathlib import Path

import pytest

from shipper.demo.audit import Audit, Lag
from shipper.demo.options import DemoOptions
from shipper.demo.play import DemoError, play
from tests.support.bulk_server import BulkServer
from tests.support.faults import Items

COMMAND = [sys.executable, "-m", "shipper", "demo"]
TIMEOUT = 60.0

SHORT = DemoOptions(seconds=10.0, rate=500.0, events=100, kills=0, lose_every=0, keep=None, seed=1)


class Receiver:
    """The tests' bulk server as the demo's receiver; it has no opinion on lag."""

    def __init__(self, server: BulkServer, url: str | None = None) -> None:
        self._server = server
        self.url = server.url if url is None else url
        self.description = "the tests' bulk server"

    @property
    def received(self) -> int:
        return self._server.lines_received

    def audit(self, written: int) -> Audit:
        return self._server.audit(written)

    def lag(self, written_at: Sequence[float]) -> Lag | None:
        return None

    def notices(self) -> list[str]:
        return []


def rows(output: str) -> dict[str, str]:
    """Return the rows of an audit by their names, with single spaces."""
    found = re.findall(r"^ {2}(\w+)\b *(.*)$", output, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


def test_the_demo_ends_with_an_audit_in_which_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--seconds", "3", "--rate", "2000", "--keep", str(tmp_path / "kept")],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    audit = rows(done.stdout)
    written = audit["written"].split()[0]
    assert int(written.replace(",", "")) > 4_000
    assert audit["delivered"].startswith(f"{written} lines")
    assert (audit["lost"], audit["doubled"]) == ("0", "0")
    assert audit["killed"].startswith("1 time with SIGKILL")
    assert audit["daemon"].startswith("exit code 0 on SIGTERM")
    assert re.fullmatch(r"median \d.* s, at most \d.* s from write to receipt", audit["lag"])
    assert re.search(r"[1-9]\d* answers lost; [\d,]*[1-9]\d* documents came again", done.stdout)
    assert "PASSED: 0 lost, 0 doubled" in done.stdout
    assert len(list((tmp_path / "kept" / "tetragon").glob("tetragon-*.log"))) >= 3
    assert (tmp_path / "kept" / "shipper.log").stat().st_size > 0


def test_on_a_terminal_there_is_one_live_line() -> None:
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 40, 100, 0, 0))
    process = subprocess.Popen(
        [*COMMAND, "--events", "100", "--rate", "200", "--kill", "0"], stdout=theirs
    )
    os.close(theirs)
    output = b""
    try:
        while piece := _read(ours):
            output += piece
    finally:
        os.close(ours)
        process.kill()
        code = process.wait(TIMEOUT)
    assert code == 0, output
    assert re.search(rb"\r\x1b\[K\[#+\.+\] +0\.\d s .* written", output)
    assert output.count(b" to go") > 3
    assert not re.search(rb"to go[^\r]*\n", output)
    assert b"\x1b[1;32mPASSED\x1b[0m" in output


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # what Linux says when the other side is closed
        return b""


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_writing_but_not_the_audit(kind: signal.Signals) -> None:
    with subprocess.Popen(
        [*COMMAND, "--seconds", "300", "--rate", "200"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if " written " in line:
                break
        process.send_signal(kind)
        rest = process.stdout.read()
    assert process.returncode == 0, rest
    audit = rows(rest)
    assert (audit["lost"], audit["doubled"]) == ("0", "0")
    assert int(audit["written"].split()[0].replace(",", "")) < 10_000


def test_what_the_receiver_never_gets_is_lost_and_the_demo_fails(
    bulk_server: BulkServer, capsys: pytest.CaptureFixture[str]
) -> None:
    bulk_server.refuse_items = Items(
        400, lambda document: "--seq=000000042" in str(document["message"])
    )
    assert play(SHORT, Receiver(bulk_server)) == 1
    output = capsys.readouterr().out
    audit = rows(output)
    assert audit["lost"] == "1 (numbers 42, ...)"
    assert audit["delivered"].startswith("99 lines")
    assert audit["daemon"].endswith("99 delivered + 1 dead letter")
    assert "FAILED: 1 lost, 0 doubled" in output


def test_what_the_receiver_has_twice_is_doubled_and_the_demo_fails(
    bulk_server: BulkServer, capsys: pytest.CaptureFixture[str]
) -> None:
    bulk_server.add_document("of-another-shipper", "the same line --seq=000000007")
    assert play(SHORT, Receiver(bulk_server)) == 1
    output = capsys.readouterr().out
    assert rows(output)["doubled"] == "1 (numbers 7, ...)"
    assert "FAILED: 0 lost, 1 doubled" in output


def test_a_daemon_that_ends_by_itself_is_an_error_with_its_log(bulk_server: BulkServer) -> None:
    with pytest.raises(DemoError, match=r"(?s)ended by itself.*output\.hosts"):
        play(SHORT, Receiver(bulk_server, "no url"))


def test_a_disk_that_is_full_is_said_in_words() -> None:
    # Files of more than a thousand blocks cannot be written; the rotated ones would have 2 MB.
    limited = ["sh", "-c", 'ulimit -f 1000; exec "$@"', "sh"]
    command = [*limited, *COMMAND, "--rate", "2000", "--kill", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout
    assert "the logs cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_directory_with_files_in_it_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    done = subprocess.run(
        [*COMMAND, "--keep", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "the directory is not empty" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_path_that_cannot_be_a_directory_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    command = [*COMMAND, "--keep", str(tmp_path / "file" / "below")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Not a directory" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments", [["--seconds", "0"], ["--rate", "inf"], ["--kill", "-1"], ["--events", "many"]]
)
def test_numbers_that_make_no_sense_are_refused(arguments: list[str]) -> None:
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert arguments[0] in done.stderr
    assert done.stdout == ""


@pytest.mark.real_server
@pytest.mark.parametrize("name", ["elasticsearch", "opensearch"])
def test_the_demo_against_a_real_server_is_audited_by_search(
    name: str, real_server_tools: None
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.servers.demo", "--server", name, "--seconds", "3"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    audit = rows(done.stdout)
    assert int(audit["written"].split()[0].replace(",", "")) > 1_000
    assert (audit["lost"], audit["doubled"]) == ("0", "0")
    assert "audited by search" in done.stdout
    assert "PASSED" in done.stdout

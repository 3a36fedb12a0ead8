"""The log of a whole process: its form, what else would be written there, and its end."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.support.faults import PATIENCE
from tests.support.logs import flat

PROGRAM = """
import sys
from shipper.clock import SystemClock
from shipper.logs import Level, LogFormat
from shipper.logs.events import FATAL, FILE_OPENED
from shipper.logs.process import process_log

with process_log(SystemClock(), Level.INFO, LogFormat(sys.argv[1])) as log:
    BODY
"""


def command(body: str, form: str) -> list[str]:
    text = PROGRAM.replace("BODY", body.strip().replace("\n", "\n    "))
    return [sys.executable, "-c", text, form]


def run(body: str, form: str = "auto", **options: Any) -> list[dict[str, Any]]:
    """Run it with the log in a pipe; return what was logged."""
    done = subprocess.run(
        command(body, form), stderr=subprocess.PIPE, timeout=PATIENCE, check=False, **options
    )
    return [flat(json.loads(line)) for line in done.stderr.splitlines()]


@pytest.mark.parametrize(
    ("form", "terminal", "is_json"),
    [("auto", True, False), ("auto", False, True), ("json", True, True), ("text", False, False)],
)
def test_a_terminal_gets_text_and_all_else_json_unless_told_otherwise(
    form: str, terminal: bool, is_json: bool
) -> None:
    reader, writer = pty.openpty() if terminal else os.pipe()
    subprocess.run(
        command("log.emit(FILE_OPENED, path='/a')", form),
        stderr=writer,
        timeout=PATIENCE,
        check=True,
    )
    shown = os.read(reader, 65536).decode()
    os.close(reader)
    os.close(writer)
    assert shown.startswith("{") is is_json
    assert ("\x1b[" in shown) is (terminal and not is_json and "NO_COLOR" not in os.environ)


def test_no_color_is_heeded() -> None:
    reader, writer = pty.openpty()
    environment = {**os.environ, "NO_COLOR": "1"}
    body = "log.emit(FILE_OPENED, path='/a')"
    subprocess.run(
        command(body, "auto"), stderr=writer, timeout=PATIENCE, check=True, env=environment
    )
    shown = os.read(reader, 65536).decode()
    os.close(reader)
    os.close(writer)
    assert shown.endswith("info    started reading file  path=/a\r\n")


def test_the_last_message_is_there_when_the_process_ends() -> None:
    entries = run("for _ in range(50): log.emit(FILE_OPENED)\nlog.emit(FATAL)\nsys.exit(3)")
    assert [entry["event.action"] for entry in entries] == ["file-opened"] * 50 + ["fatal"]


def test_a_reader_that_stalls_delays_the_end_by_two_seconds_at_the_most() -> None:
    reader, writer = os.pipe()
    body = "for _ in range(5000): log.emit(FATAL, reason='x' * 1000)"
    process = subprocess.Popen(command(body, "json"), stderr=writer)
    try:
        began = time.monotonic()
        assert process.wait(PATIENCE) == 0
        # 2 s, and the start of an interpreter.
        assert time.monotonic() - began < 8
    finally:
        process.kill()
        process.wait()
        os.close(reader)
        os.close(writer)


WHAT_OTHERS_WRITE = """
import logging, threading, warnings

logging.getLogger("aiohttp.client").info("not logged")
logging.getLogger("aiohttp.client").warning("careful")
warnings.warn("look out", RuntimeWarning)

class Odd:
    def __del__(self):
        raise ValueError("in a finalizer")

odd = Odd()
del odd
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
"""


def test_what_others_write_to_standard_error_is_logged() -> None:
    careful, warned, unraisable, in_thread = run(WHAT_OTHERS_WRITE)
    assert (careful["log.logger"], careful["message"]) == ("aiohttp.client", "careful")
    assert warned["log.logger"] == "py.warnings"
    assert "RuntimeWarning: look out" in warned["message"]
    assert unraisable["event.action"] == in_thread["event.action"] == "unhandled-exception"
    assert unraisable["error.message"] == "in a finalizer"
    assert in_thread["error.type"] == "ZeroDivisionError"


def test_without_standard_error_nothing_is_written_to_whatever_has_its_number() -> None:
    body = """
import os
found = os.open("/proc/self/fd", os.O_RDONLY)
log.emit(FATAL)
"""
    closing = "import os, sys; os.close(2); os.execv(sys.argv[1], sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", closing, *command(body, "auto")],
        timeout=PATIENCE,
        check=False,
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, b"")

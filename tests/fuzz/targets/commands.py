"""What commands read of others' files and answers, and print for people and programs."""

from __future__ import annotations

import io
import json

from shipper.check.files import _of_content
from shipper.check.findings import Finding, Status, print_json, print_text
from shipper.cli import errors
from shipper.config.inputs import InputConfig
from shipper.errors import Location, Problem, ShipperError
from shipper.filebeat_registry.disk_files import DiskFiles, Fingerprint
from shipper.filebeat_registry.entries import Entry, Kind
from shipper.files.filesystem import FileSystem
from shipper.output.elasticsearch.exchange import Answer
from shipper.setup.command import _pipeline_in, _unknown_type
from shipper.setup.results import Action, SetupResult
from shipper.setup.results import print_json as print_results_json
from shipper.setup.results import print_text as print_results
from tests.fuzz.target import Choices, Target
from tests.fuzz.targets.dead_letters import directory


def check_output(data: bytes) -> None:
    """Words of others in what a command prints: one line each, and valid JSON."""
    text = data.decode("utf-8", "surrogateescape")
    out, as_json = io.StringIO(), io.StringIO()
    print_text("a.yml", (), [Finding(text, "content", Status.OK, text, text)], out)
    print_json("a.yml", (), [Finding(text, "a", Status.FAILED, text, text)], as_json)
    results = [SetupResult("host", "a", Action.NONE, "no", "x")]
    print_results(results, out)
    print_results_json(results, as_json)
    error = ShipperError.__new__(ShipperError)
    error.problems = (Problem(text, Location(text, 1), text),)
    errors.print_text(error, out)
    errors.print_json(error, as_json)
    printed = out.getvalue()
    printed.encode()
    assert all(line.isprintable() for line in printed.split("\n"))
    for line in as_json.getvalue().split("\n")[:-1]:
        json.loads(line.encode())


def check_setup(data: bytes) -> None:
    answer = Answer(200, data)
    assert isinstance(_pipeline_in(answer), dict)
    assert isinstance(_unknown_type(answer), set)


_INPUT = InputConfig(id="a", paths=("/a",))


def check_first_lines(data: bytes) -> None:
    """Logs that Filebeat has read: what they begin with, and the line before an offset."""
    choices = Choices(data)
    offset = choices.number() * choices.number(4)
    ended = choices.flag()
    place = directory() / "filebeat-logs"
    place.mkdir(exist_ok=True)
    (place / "a.log").write_bytes(choices.rest)
    found = DiskFiles(FileSystem(), _settings(), Fingerprint(0, 64))
    assert not found.unreadable
    (file,) = found.files
    facts = found.facts(file, _entry(offset, ended))
    assert facts is not None
    assert facts.line_end <= len(choices.rest)
    assert facts.line_time is None or isinstance(facts.line_time, int)
    _of_content(_INPUT, "/a", choices.rest)


def _settings() -> InputConfig:
    return InputConfig(id="a", paths=(str(directory() / "filebeat-logs" / "*.log"),))


def _entry(offset: int, ended: bool) -> Entry:
    return Entry(
        key="filestream::a::native::1-2",
        input_id="a",
        kind=Kind.NATIVE,
        offset=offset,
        ended=ended,
        covered=64,
        value="ab" * 32,
    )


_LOG = b'{"process_exec":{},"time":"2026-11-24T04:32:37.123456789Z"}\n{"time":"2026-11-24"}\nhalf'

TARGETS = (
    Target(
        "command_output",
        "what a command prints is lines that a terminal shows as they are, or valid JSON",
        check_output,
        (b"/logs/t-\xff.log", b"a\nb\x1b[31m", "\u2028\u202e\x9b".encode(), b"plain"),
        (b"\x07", b"\x9b", b"\xc2\x9b", b"\r"),
    ),
    Target(
        "setup_answers",
        "what setup reads of a cluster's answers is a pipeline and types, or nothing",
        check_setup,
        (
            b'{"shipper-tetragon":{"description":"managed_by: shipper","processors":[]}}',
            b'{"error":{"reason":"No handler for type [flattened] declared on field [a]"}}',
            b"{}",
        ),
    ),
    Target(
        "filebeat_logs",
        "the lines of a log that Filebeat has read have a time, or none",
        check_first_lines,
        (b"\x01\x01\0" + _LOG, b"\xff\x03\1" + _LOG * 10, b"\0\0\0", b"\x05\1\0\n\n\0" + _LOG),
        (b"\n", b'"time":"', b"0001-01-01T00:00:00+23:59", b"9999-12-31T24:00:00"),
    ),
)

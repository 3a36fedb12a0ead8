"""The command line as a user meets it: processes, their exit codes, and what they say."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import pty
import re
import socket
import sqlite3
import ssl
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from shipper import __version__
from shipper.cli.shipper import main
from shipper.clock import SystemClock
from shipper.config.load import SEARCH_PATHS
from shipper.documents.native import VARIABLE, core
from shipper.files.facts import Inode
from shipper.files.identity import Identity, Mark
from shipper.files.losses import Loss, LossReason
from shipper.files.registry import FileRecord, Registry
from shipper.output.dead_letter import DeadLetter, encode_dead_letter
from tests.conftest import MakeShipper
from tests.support.bulk_server import BulkServer
from tests.support.certificates import Authority
from tests.support.faults import PATIENCE
from tests.support.filebeat import FilebeatRegistry, snapshot
from tests.support.filebeat import value as filebeat_value
from tests.support.logdir import LogDirectory
from tests.support.logs import flat
from tests.support.processes import overlay


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    environment = {key: value for key, value in os.environ.items() if key != "SHIPPER_CONFIG"}
    return subprocess.run(
        [sys.executable, "-m", "shipper", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env={**environment, **environ},
    )


def on_a_terminal(*arguments: str) -> tuple[int, str]:
    """Run a command whose standard error is a terminal; return its exit code and what is there."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "shipper", *arguments]
    environment = {**os.environ, "NO_COLOR": "1"}
    process = subprocess.Popen(command, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    # LoadedConfig from a terminal that nobody has open any more is an error on Linux.
    while piece := _read_terminal(ours):
        shown += piece
    os.close(ours)
    return process.wait(PATIENCE), shown.decode().replace("\r\n", "\n")


def _read_terminal(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""


def logged(done: subprocess.CompletedProcess[str], action: str) -> dict[str, Any]:
    """Return the last thing that the daemon wrote to standard error: a fatal error of its log."""
    entries = [flat(json.loads(line)) for line in done.stderr.splitlines()]
    assert done.stdout == ""
    assert entries[-1]["event.action"] == action
    assert entries[-1]["log.level"] == "error"
    assert [entry["event.action"] for entry in entries[:-1]] in ([], ["configuration-read"])
    return entries[-1]


def told(done: subprocess.CompletedProcess[str]) -> tuple[str, str]:
    """Return the only problem that a command told of, in text: with where, and what to do."""
    what, advice = done.stderr.splitlines()
    assert done.stdout == ""
    assert advice.startswith("  -> ")
    return what, advice.removeprefix("  -> ")


def documented(command: str) -> set[str]:
    """Return the words in the row that docs/commands.md has for the JSON of a command."""
    page = (Path(__file__).parents[2] / "docs" / "commands.md").read_text().partition("## JSON")[2]
    (row,) = re.findall(rf"^\| `{command}` \|(.*)$", page, re.MULTILINE)
    return set(re.findall(r"`([^`]+)`", row))


def keys_of(value: object) -> set[str]:
    """Return all keys of a JSON value, at any depth."""
    if isinstance(value, dict):
        return set(value).union(*map(keys_of, value.values()))
    return set().union(*map(keys_of, value)) if isinstance(value, list) else set()


@pytest.fixture
def config(tmp_path: Path, bulk_server: BulkServer) -> dict[str, Any]:
    """A configuration that a test may change before it writes it."""
    return {
        "inputs": [{"id": "tetragon", "paths": [str(tmp_path / "logs" / "*.log")]}],
        "data_dir": str(tmp_path / "data"),
        "output": {"hosts": [bulk_server.url]},
        "admin": {"enabled": False},
    }


def is_tls(port: int) -> bool:
    """Whether TLS is spoken at a port of loopback."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection,
            context.wrap_socket(connection),
        ):
            return True
    except OSError:
        return False


def write(tmp_path: Path, config: Mapping[str, Any]) -> str:
    """Write a configuration and return its path. JSON is YAML."""
    path = tmp_path / "shipper.yml"
    path.write_text(json.dumps(config))
    return str(path)


class TestArguments:
    def test_help_names_the_commands_and_has_a_configuration_to_begin_with(self) -> None:
        done = run("--help")
        assert (done.returncode, done.stderr) == (0, "")
        for command in ("run", "check", "setup", "registry", "deadletter", "demo"):
            # What it is for stands beside it, or below a name that is long.
            assert re.search(rf"^    {command}(\n {{10,}}| +)\w", done.stdout, re.MULTILINE)
        assert "/etc/shipper/shipper.yml" in done.stdout
        assert "hosts: [https://es-1:9200]" in done.stdout

    @pytest.mark.parametrize(
        "command",
        [
            ("run",),
            ("check",),
            ("convert",),
            ("setup",),
            ("registry",),
            ("registry", "show"),
            ("registry", "adopt"),
            ("registry", "import"),
            ("deadletter",),
            ("deadletter", "show"),
            ("deadletter", "replay"),
            ("demo",),
            ("version",),
        ],
    )
    def test_each_command_has_help_of_its_own(
        self, command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as ended:
            main([*command, "--help"])
        assert ended.value.code == 0
        shown = capsys.readouterr().out
        assert f"usage: shipper {' '.join(command)} [-h]" in shown
        # An example that can be copied, and each exit code with its meaning.
        assert re.search(rf"\nexamples:\n(  .*\n)*  .*shipper {' '.join(command)}\b", shown)
        codes = re.findall(r"^  (\d)  \w", shown.partition("\nexit codes:\n")[2], re.MULTILINE)
        assert codes in (["0", "1", "2"], ["0", "2"])

    def test_the_version(self) -> None:
        done = run("--version")
        assert (done.returncode, done.stdout, done.stderr) == (0, f"shipper {__version__}\n", "")

    def test_the_version_with_the_native_core(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(VARIABLE, "0")
        assert main(["version"]) == 0
        assert capsys.readouterr().out.splitlines() == [
            f"shipper {__version__}",
            f"Python {platform.python_version()}",
            "native core: turned off by SHIPPER_NATIVE=0",
        ]
        monkeypatch.delenv(VARIABLE)
        assert main(["version"]) == 0
        assert capsys.readouterr().out.splitlines()[2] == f"native core: {core()[1]}"

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ((), "the following arguments are required: COMMAND"),
            (("rum",), "invalid choice: 'rum'"),
            (("registry",), "the following arguments are required: ACTION"),
            (("run", "--frobnicate"), "unrecognized arguments: --frobnicate"),
            (("run", "-c"), "expected one argument"),
        ],
    )
    def test_wrong_arguments_are_exit_code_2(
        self, arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith("usage: shipper")
        assert words in error

    def test_wrong_arguments_are_json_where_json_is_asked_for(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["check", "--json", "--frobnicate"]) == 2
        shown = capsys.readouterr()
        (error,) = json.loads(shown.out)["errors"]
        assert error["what"] == "unrecognized arguments: --frobnicate"
        assert shown.err == ""


NOT_FOUND = (
    "no configuration file found; looked for /etc/shipper/shipper.yml, "
    "/usr/share/filebeat/filebeat.yml, /usr/share/shipper/shipper.yml"
)
NAME_ONE = "create one of these files, or name one with -c FILE or $SHIPPER_CONFIG"


@pytest.mark.parametrize(
    "command",
    [
        ("check",),
        ("setup",),
        ("registry", "show"),
        ("registry", "import"),
        ("deadletter", "show"),
        ("deadletter", "replay"),
    ],
)
def test_without_a_configuration_it_says_where_it_looked(command: tuple[str, ...]) -> None:
    if any(os.path.exists(place) for place in SEARCH_PATHS):
        pytest.skip("this machine has a configuration")
    done = run(*command)
    assert done.returncode == 2
    what, advice = told(done)
    assert what == f"shipper: {NOT_FOUND}"
    assert advice == NAME_ONE


def test_without_a_configuration_the_daemon_logs_where_it_looked() -> None:
    if any(os.path.exists(place) for place in SEARCH_PATHS):
        pytest.skip("this machine has a configuration")
    done = run("run")
    assert done.returncode == 2
    entry = logged(done, "configuration-invalid")
    assert entry["message"] == "configuration is invalid"
    assert entry["error.message"] == NOT_FOUND
    assert entry["shipper.hint"] == NAME_ONE


#: Commands that print for people, or with --json for programs.
FOR_PEOPLE: list[tuple[str, ...]] = [
    ("check",),
    ("convert",),
    ("setup",),
    ("setup", "--dry-run"),
    ("registry", "show"),
    ("registry", "import"),
    ("deadletter", "show"),
    ("deadletter", "replay"),
]


class TestWrongConfiguration:
    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        done = run("run", "-c", str(tmp_path / "no.yml"))
        assert done.returncode == 2
        entry = logged(done, "configuration-invalid")
        assert entry["error.message"] == "the file cannot be read: no such file or directory"
        assert entry["shipper.where"] == str(tmp_path / "no.yml")

    def test_the_file_that_the_variable_names_is_read(self, tmp_path: Path) -> None:
        path = tmp_path / "named.yml"
        path.write_text("inputs: [{id: a, paths: [/a]}]\noutptu: {}\n")
        done = run("check", SHIPPER_CONFIG=str(path))
        assert done.returncode == 2
        assert told(done) == (
            f"{path}, line 2: outptu: unknown option",
            "did you mean `output`?",
        )

    def test_a_variable_that_is_not_set(self, tmp_path: Path, config: dict[str, Any]) -> None:
        config["output"]["password"] = "${NO_SUCH_PASSWORD:?mount the secret}"
        done = run("run", "-c", write(tmp_path, config))
        assert done.returncode == 2
        entry = logged(done, "configuration-invalid")
        assert entry["error.message"] == "output.password: mount the secret"

    def test_a_ca_that_is_not_there(self, tmp_path: Path, config: dict[str, Any]) -> None:
        ca = str(tmp_path / "no.crt")
        config["output"] = {"hosts": ["https://127.0.0.1:9"], "tls": {"ca": ca}}
        path = write(tmp_path, config)
        done = run("check", "-c", path)
        assert done.returncode == 2
        what, _ = told(done)
        assert what == f"{ca}: the CA cannot be used: no such file or directory"
        done = run("run", "-c", path)
        assert done.returncode == 2
        assert logged(done, "configuration-invalid")["shipper.where"] == ca

    TWO = "inputs: []\noutput: {hosts: [http://a]}\nnmae: b\n"

    @pytest.mark.parametrize("command", FOR_PEOPLE, ids=" ".join)
    def test_each_problem_is_a_block_of_text_whatever_standard_error_is(
        self, command: tuple[str, ...], tmp_path: Path
    ) -> None:
        path = tmp_path / "two.yml"
        text, one, two = self.TWO, "inputs: the list is empty", "nmae: unknown option"
        advice, more_advice = "give at least one input", "did you mean `name`?"
        if command == ("convert",):
            text = "filebeat.inputs: []\noutput.console: {pretty: false}\nhostname: b\n"
            two, more_advice = "hostname: unsupported option", "write `name`"
            one, advice = "filebeat.inputs: no input is enabled", "enable at least one"
        path.write_text(text)
        file = ("-c", str(path)) if command != ("convert",) else (str(path),)
        done = run(*command, *file)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            "shipper: 2 problems in the configuration\n\n"
            f"{path}, line 1: {one}\n  -> {advice}\n"
            f"{path}, line 3: {two}\n  -> {more_advice}\n"
        )
        done = run(*command, *file, "--json")
        assert (done.returncode, done.stderr) == (2, "")
        assert json.loads(done.stdout) == {
            "errors": [
                {"what": one, "where": str(path), "line": 1, "what_to_do": advice},
                {"what": two, "where": str(path), "line": 3, "what_to_do": more_advice},
            ]
        }

    def test_for_the_daemon_each_problem_is_a_message_and_the_number_is_bounded(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "many.yml"
        unknown = "".join(f"unknown_{number}: 1\n" for number in range(60))
        path.write_text(unknown + "inputs: [{id: a, paths: [/a]}]\noutput: {console: {}}\n")
        done = run("run", "-c", str(path))
        assert done.returncode == 2
        *first, last = [flat(json.loads(line)) for line in done.stderr.splitlines()]
        assert [entry["shipper.where"] for entry in first] == [
            f"{path}, line {line}" for line in range(1, 51)
        ]
        assert last["error.message"] == "10 more problems in the configuration"
        assert {entry["event.action"] for entry in (*first, last)} == {"configuration-invalid"}

    def test_on_a_terminal_the_daemon_prints_text(self, tmp_path: Path) -> None:
        path = tmp_path / "shipper.yml"
        path.write_text("inputs: [{id: a, paths: [/a]}]\noutptu: {}\n")
        assert on_a_terminal("run", "-c", str(path)) == (
            2,
            f"{path}, line 2: outptu: unknown option\n  -> did you mean `output`?\n",
        )


class TestRun:
    def test_a_data_dir_that_cannot_be_made_is_told_in_words(
        self, tmp_path: Path, config: dict[str, Any]
    ) -> None:
        (tmp_path / "file").touch()
        config["data_dir"] = str(tmp_path / "file" / "data")
        done = run("run", "-c", write(tmp_path, config))
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert len(done.stderr.splitlines()) == 2
        failed = logged(done, "fatal")
        assert failed["error.message"] == "the data directory cannot be used: not a directory"
        assert failed["shipper.where"] == config["data_dir"]
        assert "set data_dir to another directory" in failed["shipper.hint"]

    def test_a_second_daemon_on_the_same_data_is_refused_and_the_first_goes_on(
        self,
        shipper: MakeShipper,
        bulk_server: BulkServer,
        log_directory: LogDirectory,
        tmp_path: Path,
    ) -> None:
        first = shipper(directory=tmp_path / "one")
        first.start()
        config = overlay(first.config, {"admin": {"enabled": False}})
        done = run("run", "-c", write(tmp_path, config))
        assert done.returncode == 1
        failed = logged(done, "fatal")
        assert failed["error.message"] == "another shipper is running with this data directory"
        assert failed["shipper.where"] == first.config["data_dir"]
        assert failed["shipper.hint"] == "stop it, or set data_dir to another directory"
        log_directory.write(1)
        bulk_server.wait_for_lines(1)

    def test_check_beside_the_daemon_that_runs_finds_nothing_wrong(
        self, shipper: MakeShipper, log_directory: LogDirectory, tmp_path: Path
    ) -> None:
        log_directory.write(1)
        daemon = shipper()
        daemon.start()
        done = run("check", "-c", write(tmp_path, daemon.config), "--json")
        findings = {
            found["check"]: (found["status"], found["detail"])
            for found in json.loads(done.stdout)["findings"]
        }
        assert findings["in use"] == ("OK", f"by the shipper that runs (process {daemon.pid})")
        assert findings["admin"] == (
            "OK",
            f"the daemon that runs (process {daemon.pid}) listens there",
        )
        assert done.returncode == 0

    def test_check_finds_the_daemon_with_tls_and_a_token_at_whatever_port(
        self, shipper: MakeShipper, log_directory: LogDirectory, tmp_path: Path
    ) -> None:
        log_directory.write(1)
        (tmp_path / "token").write_text("for-prometheus")
        issued = Authority().ca.issue_cert("127.0.0.1")
        issued.cert_chain_pems[0].write_to_path(tmp_path / "tls.crt")
        issued.private_key_pem.write_to_path(tmp_path / "tls.key")
        tls = {"certificate": str(tmp_path / "tls.crt"), "key": str(tmp_path / "tls.key")}
        daemon = shipper({"admin": {"tls": tls, "token_file": str(tmp_path / "token")}})
        daemon.start()
        there = daemon.config["admin"]["listen"]
        _, port = there.split(":")
        daemon.wait_until(lambda: is_tls(int(port)), "the certificate is read")
        for listen, where in (
            (there, "there"),
            (":0", f"at port {port}"),
        ):
            config = overlay(daemon.config, {"admin": {"listen": listen}})
            done = run("check", "-c", write(tmp_path, config), "--json")
            found = [
                each for each in json.loads(done.stdout)["findings"] if each["check"] == "admin"
            ]
            detail = f"the daemon that runs (process {daemon.pid}) listens {where}, with TLS"
            assert [(each["status"], each["detail"]) for each in found] == [("OK", detail)]

    def test_an_index_that_cannot_be_is_said_before_anything_is_made(
        self, tmp_path: Path, config: dict[str, Any]
    ) -> None:
        config["output"]["index"] = "%{[fields.team]}-%{+yyyy.MM.dd}"
        path = write(tmp_path, config)
        what = (
            "output.index: no index name for the input `tetragon`: `fields.team` has no value; "
            "set it, or write %{[fields.team]:default}"
        )
        done = run("run", "-c", path)
        assert done.returncode == 2
        failed = logged(done, "configuration-invalid")
        where = f"{path}, line 1"
        assert (failed["shipper.where"], failed["error.message"]) == (where, what)
        done = run("check", "-c", path)
        assert done.returncode == 2
        assert told(done)[0] == f"{where}: {what}"
        assert not Path(config["data_dir"]).exists()

    def test_on_a_terminal_the_log_is_for_people(
        self, tmp_path: Path, config: dict[str, Any]
    ) -> None:
        (tmp_path / "file").touch()
        config["data_dir"] = str(tmp_path / "file" / "data")
        code, shown = on_a_terminal("run", "-c", write(tmp_path, config))
        assert code == 1
        first, second = shown.splitlines()
        time = r"\d\d:\d\d:\d\d\.\d{3}"
        assert re.fullmatch(rf"{time} info    read the configuration  path=.*", first)
        assert re.fullmatch(
            rf'{time} error   stopped by an error  where=.*  hint=".*"  error="the data .*"', second
        )

    def test_a_fault_of_its_own_is_logged_with_its_trace_as_one_line(
        self, tmp_path: Path, config: dict[str, Any]
    ) -> None:
        fault = (
            "import sys, shipper.daemon\n"
            "async def run(self): raise RuntimeError('a fault')\n"
            "shipper.daemon.Daemon.run = run\n"
            "from shipper.cli.shipper import main\n"
            "sys.exit(main(['run', '-c', sys.argv[1]]))\n"
        )
        command = [sys.executable, "-c", fault, write(tmp_path, config)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 1
        failed = flat(json.loads(done.stderr.splitlines()[-1]))
        assert failed["event.action"] == "internal-error"
        assert (failed["error.type"], failed["error.message"]) == ("RuntimeError", "a fault")
        assert failed["error.stack_trace"].endswith("RuntimeError: a fault\n")


class TestCheck:
    def test_what_is_right_is_exit_code_0_and_ships_nothing(
        self,
        tmp_path: Path,
        config: dict[str, Any],
        bulk_server: BulkServer,
        log_directory: LogDirectory,
    ) -> None:
        log_directory.write(1)
        config["inputs"][0]["paths"] = [log_directory.glob]
        path = write(tmp_path, config)
        done = run("check", "-c", path)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"configuration {path}: OK\ninput tetragon\n")
        assert done.stdout.endswith("result: OK\n")
        assert bulk_server.documents == {}

    def test_with_strict_a_warning_is_exit_code_1(
        self, tmp_path: Path, config: dict[str, Any]
    ) -> None:
        path = write(tmp_path, config)
        done = run("check", "-c", path)
        assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "result: OK (2 WARNING)")
        done = run("check", "--strict", "-c", path)
        assert (done.returncode, done.stdout.splitlines()[-1]) == (1, "result: FAILED (2 WARNING)")

    def test_an_option_that_filebeat_ignores_is_a_warning(
        self, tmp_path: Path, bulk_server: BulkServer, log_directory: LogDirectory
    ) -> None:
        log_directory.write(1)
        path = tmp_path / "filebeat.yml"
        path.write_text(
            f"filebeat.inputs: [{{type: filestream, id: a, paths: ['{log_directory.glob}']}}]\n"
            f"output.elasticsearch: {{hosts: ['{bulk_server.url}'], index: "
            "logs-cilium_tetragon.log-default}\n"
            f"path.data: {tmp_path / 'data'}\nhttp.enabled: false\nspool_size: 9\n"
        )
        done = run("check", "-c", str(path))
        assert f"  WARNING  option            {path}, line 5: spool_size: ignored" in done.stdout
        assert done.stdout.endswith("result: OK (1 WARNING)\n")
        assert done.returncode == 0
        assert run("check", "--strict", "-c", str(path)).returncode == 1

    def test_as_json_it_is_one_object_for_programs(
        self, tmp_path: Path, config: dict[str, Any]
    ) -> None:
        done = run("check", "--json", "-c", write(tmp_path, config))
        assert (done.returncode, done.stderr) == (0, "")
        report = json.loads(done.stdout)
        assert keys_of(report) <= documented("check")
        assert report["status"] == "OK"

    def test_what_is_wrong_is_exit_code_1(
        self, tmp_path: Path, config: dict[str, Any], bulk_server: BulkServer
    ) -> None:
        bulk_server.down()
        done = run("check", "-c", write(tmp_path, config))
        assert (done.returncode, done.stderr) == (1, "")
        assert "FAILED   reachable         no connection: connection refused" in done.stdout
        assert done.stdout.endswith("result: FAILED (1 FAILED, 2 WARNING)\n")


class TestSetup:
    def test_a_dry_run_prints_and_asks_nobody(
        self, tmp_path: Path, config: dict[str, Any], bulk_server: BulkServer
    ) -> None:
        done = run("setup", "--dry-run", "-c", write(tmp_path, config))
        assert (done.returncode, done.stderr) == (0, "")
        assert "PUT /_index_template/shipper-logs-cilium_tetragon.log\n" in done.stdout
        assert "PUT /_ingest/pipeline/shipper-tetragon\n" in done.stdout
        assert bulk_server.other_requests == []

    def test_a_dry_run_as_json_has_the_requests(
        self, tmp_path: Path, config: dict[str, Any]
    ) -> None:
        done = run("setup", "--dry-run", "--json", "-c", write(tmp_path, config))
        assert (done.returncode, done.stderr) == (0, "")
        requests = json.loads(done.stdout)["requests"]
        assert [set(each) for each in requests] == [{"method", "path", "body"}] * 2
        assert documented("setup --dry-run") == {"requests", "method", "path", "body"}

    def test_without_raw_documents_the_pipeline_is_for_those_who_ask(
        self, tmp_path: Path, config: dict[str, Any]
    ) -> None:
        config["inputs"][0]["format"] = "ecs"
        path = write(tmp_path, config)
        assert "_ingest" not in run("setup", "--dry-run", "-c", path).stdout
        assert "_ingest" in run("setup", "--dry-run", "--pipeline", "-c", path).stdout

    def test_a_cluster_that_is_away_is_exit_code_1(
        self, tmp_path: Path, config: dict[str, Any], bulk_server: BulkServer
    ) -> None:
        bulk_server.down()
        done = run("setup", "-c", write(tmp_path, config))
        assert (done.returncode, done.stderr) == (1, "")
        assert "  no connection: connection refused\n    -> run `shipper check`" in done.stdout
        assert done.stdout.startswith("FAILED   host ")

    def test_a_plain_index_is_exit_code_2(self, tmp_path: Path, config: dict[str, Any]) -> None:
        config["output"]["index"] = "tetragon"
        done = run("setup", "-c", write(tmp_path, config))
        assert done.returncode == 2
        assert told(done)[0].startswith("output.index: ")


class TestRegistryImport:
    @pytest.fixture
    def filebeat(self, tmp_path: Path, log_directory: LogDirectory) -> FilebeatRegistry:
        """A Filebeat that read three lines of four, and something else besides."""
        filebeat = FilebeatRegistry(tmp_path / "filebeat")
        log_directory.write(3)
        filebeat.read(log_directory.log, log_directory.log.stat().st_size)
        log_directory.write(1)
        filebeat.set("filestream::tetragon::native::1-1", filebeat_value("/gone.log", 5, ttl=0))
        return filebeat

    @pytest.fixture
    def written(self, tmp_path: Path, config: dict[str, Any], log_directory: LogDirectory) -> str:
        config["inputs"][0]["paths"] = [log_directory.glob]
        return write(tmp_path, config)

    def test_a_dry_run_prints_what_would_be_done(
        self,
        tmp_path: Path,
        written: str,
        filebeat: FilebeatRegistry,
        log_directory: LogDirectory,
    ) -> None:
        before = snapshot(filebeat.data)
        (log_directory.path / "new\x1b.log").write_bytes(b"new\n")
        where = str(filebeat.data)
        done = run("registry", "import", "--dry-run", "--from", where, "-c", written)
        assert (done.returncode, done.stderr) == (0, "")
        lines = done.stdout.splitlines()
        assert lines[:3] == [
            f"Filebeat's registry: {filebeat.directory}",
            "  read: log.json: 2 operations",
            "",
        ]
        assert re.split(r"  +", lines[3]) == [
            "FILE", "FILEBEAT'S KEY", "OFFSET", "SIZE", "DECISION", "REASON",
        ]  # fmt: skip
        new, log = (re.split(r"  +", line) for line in lines[4:6])
        assert new[0].endswith("new\\x1b.log")
        assert new[2:] == ["new file", "unknown to Filebeat"]
        key = next(iter(filebeat.state))
        offset = filebeat.state[key]["cursor"]["offset"]
        size = log_directory.log.stat().st_size
        assert log[:5] == [
            str(log_directory.log), key, str(offset), str(size), f"continues at {offset}",
        ]  # fmt: skip
        assert lines[6:] == ["", "Not used:", "       1  removed by Filebeat (its ttl is 0)"]
        assert not (tmp_path / "data").exists()
        assert snapshot(filebeat.data) == before

    def test_as_json_it_is_one_object(
        self, written: str, filebeat: FilebeatRegistry, log_directory: LogDirectory
    ) -> None:
        where = str(filebeat.data)
        arguments = ("registry", "import", "--json", "--from", where, "-c", written)
        dry, done = run(*arguments, "--dry-run"), run(*arguments)
        assert (dry.returncode, dry.stderr, done.returncode, done.stderr) == (0, "", 0, "")
        report = json.loads(dry.stdout)
        assert keys_of(report) == documented("registry import") - {"--dry-run"}
        assert report | {"imported": True} == json.loads(done.stdout)
        assert report["registry"] == str(filebeat.directory)
        assert (report["imported"], report["warnings"]) == (False, [])
        key = next(iter(filebeat.state))
        offset = filebeat.state[key]["cursor"]["offset"]
        (file,) = report["files"]
        assert file["path"] == str(log_directory.log)
        assert (file["input"], file["filebeat_key"]) == ("tetragon", key)
        assert (file["filebeat_offset"], file["start"]) == (offset, offset)
        assert report["unused"] == [{"count": 1, "reason": "removed by Filebeat (its ttl is 0)"}]

    def test_what_it_does_the_daemon_goes_on_with(
        self,
        written: str,
        filebeat: FilebeatRegistry,
        log_directory: LogDirectory,
    ) -> None:
        place = str(filebeat.data)
        done = run("registry", "import", "--from", place, "-c", written)
        assert (done.returncode, done.stderr) == (0, "")
        assert "continues at" in done.stdout
        shown = run("registry", "show", "--json", "-c", written).stdout
        found = json.loads(shown)
        key = next(iter(filebeat.state))
        assert found["offset"] == filebeat.state[key]["cursor"]["offset"]
        assert found["path"] == str(log_directory.log)

        again = run("registry", "import", "--from", place, "-c", written)
        assert again.returncode == 1
        what, _ = told(again)
        assert "nothing imported: the registry was imported from " in what
        dry = run("registry", "import", "--dry-run", "--from", place, "-c", written)
        assert dry.returncode == 0
        assert "nothing imported: shipper's registry has files already" in dry.stderr

    def test_without_a_registry_of_filebeats_it_says_so(
        self, tmp_path: Path, written: str, config: dict[str, Any]
    ) -> None:
        for arguments, where in (
            ((), f"{config['data_dir']}/registry/filebeat"),
            (("--from", str(tmp_path)), str(tmp_path)),
        ):
            done = run("registry", "import", *arguments, "-c", written)
            assert done.returncode == 1
            what, advice = told(done)
            assert what == f"{where}: no registry of Filebeat's found"
            assert "--from DIR" in advice

    def test_beside_a_daemon_nothing_is_done(
        self,
        tmp_path: Path,
        shipper: MakeShipper,
        filebeat: FilebeatRegistry,
    ) -> None:
        process = shipper({"registry": {"import_from": "none"}})
        process.start()
        path = write(tmp_path, process.config)
        done = run("registry", "import", "--from", str(filebeat.data), "-c", path)
        assert done.returncode == 1
        assert told(done)[0].endswith(": another shipper is running with this data directory")
        dry = run("registry", "import", "--dry-run", "--from", str(filebeat.data), "-c", path)
        assert (dry.returncode, "continues at" in dry.stdout) == (0, True)

    def test_while_filebeat_runs_nothing_is_done(
        self, written: str, filebeat: FilebeatRegistry
    ) -> None:
        place = str(filebeat.data)
        with (filebeat.data / "filebeat.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            done = run("registry", "import", "--from", place, "-c", written)
            dry = run("registry", "import", "--dry-run", "--from", place, "-c", written)
        assert done.returncode == 1
        assert "Filebeat is still running with this registry" in told(done)[0]
        assert dry.returncode == 0
        assert "Filebeat is still running with this registry" in dry.stderr


def record_losses(data_dir: Path) -> None:
    """Three of them: with and without lines, and one of several files."""
    lost = Loss(
        input_id="tetragon",
        path="/l/a\x1b[2J\udcff.log",
        identity=Identity("00112233445566aa"),
        start=500,
        end=2000,
        bytes=1500,
        lines=12,
        reason=LossReason.RETENTION,
        time=1_764_000_000.0,
    )
    registry, _ = Registry.open(data_dir)
    registry.save(
        [],
        losses=[
            lost,
            replace(
                lost,
                path="/l/b",
                bytes=70,
                lines=None,
                reason=LossReason.VANISHED,
                time=1_764_000_001.0,
            ),
            Loss(
                *("", "", Identity(""), 0, 0, 9, 1),
                reason=LossReason.REWRITTEN,
                time=1_764_000_002.0,
                merged=40,
            ),
        ],
    )
    registry.close()


class TestRegistry:
    @pytest.fixture
    def remembered(self, tmp_path: Path, config: dict[str, Any]) -> str:
        """A data directory that remembers two files; the path of its configuration."""
        registry, _ = Registry.open(Path(config["data_dir"]))
        now = SystemClock().now()
        identity, mark = Identity("00112233445566aa"), Mark(3, "abcd")
        registry.save(
            [
                FileRecord(
                    row=registry.new_row(),
                    input_id="tetragon",
                    path="/b",
                    identity=identity,
                    inode=Inode(1, 2),
                    born=None,
                    offset=7,
                    seen=9,
                    mark=mark,
                    updated=now,
                    removed=None,
                ),
                FileRecord(
                    row=registry.new_row(),
                    input_id="tetragon",
                    path="/a",
                    identity=identity,
                    inode=None,
                    born=None,
                    offset=12345,
                    seen=12345,
                    mark=mark,
                    updated=now,
                    removed=now,
                ),
            ]
        )
        registry.close()
        return write(tmp_path, config)

    def test_each_file_is_shown_with_how_far_it_is_acknowledged(self, remembered: str) -> None:
        done = run("registry", "show", "-c", remembered)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == (
            "  ACKNOWLEDGED  STATE    IDENTITY          PATH\n"
            "         12345  deleted  00112233445566aa  /a\n"
            "             7  present  00112233445566aa  /b\n"
        )

    def test_as_json_it_is_an_object_a_line(self, remembered: str) -> None:
        done = run("registry", "show", "--json", "-c", remembered)
        assert (done.returncode, done.stderr) == (0, "")
        gone, there = map(json.loads, done.stdout.splitlines())
        assert keys_of([gone, there]) == documented("registry show")
        assert (gone["path"], gone["offset"], gone["inode"]) == ("/a", 12345, None)
        assert (there["path"], there["offset"], there["removed"]) == ("/b", 7, None)
        assert there["inode"] == {"device": 1, "number": 2}
        assert there["mark"] == {"length": 3, "digest": "abcd"}

    def test_losses_are_shown_with_their_sums(
        self, remembered: str, config: dict[str, Any]
    ) -> None:
        assert run("registry", "losses", "-c", remembered).stdout == "No losses are recorded.\n"
        record_losses(Path(config["data_dir"]))
        done = run("registry", "losses", "-c", remembered)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == (
            "TIME                  REASON                     BYTES       LINES  PATH\n"
            "2025-11-24T16:00:00Z  retention                   1500          12  "
            "/l/a\\x1b[2J\ufffd.log\n"
            "2025-11-24T16:00:01Z  vanished                      70     unknown  /l/b\n"
            "2025-11-24T16:00:02Z  rewritten                      9           1  "
            "(40 older losses)\n"
            "\n"
            "Total: 1579 bytes, 13 lines, and an unknown number of lines in 70 of the bytes\n"
        )

    def test_losses_as_json_are_an_object_a_line(
        self, remembered: str, config: dict[str, Any]
    ) -> None:
        assert run("registry", "losses", "--json", "-c", remembered).stdout == ""
        record_losses(Path(config["data_dir"]))
        done = run("registry", "losses", "--json", "-c", remembered)
        assert (done.returncode, done.stderr) == (0, "")
        first, second, _ = map(json.loads, done.stdout.splitlines())
        assert first == {
            "id": 1,
            "input_id": "tetragon",
            "path": "/l/a\x1b[2J\ufffd.log",
            "identity": "00112233445566aa",
            "start": 500,
            "end": 2000,
            "bytes": 1500,
            "lines": 12,
            "reason": "retention",
            "time": "2025-11-24T16:00:00Z",
            "merged": 1,
            "state": "new",
        }
        assert second["lines"] is None

    def test_a_registry_for_an_older_shipper_is_written_and_used_again(
        self, remembered: str, config: dict[str, Any]
    ) -> None:
        done = run("registry", "downgrade", "-c", remembered)
        assert (done.returncode, done.stderr) == (0, "")
        assert "of 2 files" in done.stdout
        assert config["data_dir"] in done.stdout
        with contextlib.closing(sqlite3.connect(f"{config['data_dir']}/registry.db")) as database:
            assert database.execute("PRAGMA user_version").fetchone() == (1,)
            found = database.execute("SELECT path, offset FROM files ORDER BY path").fetchall()
        assert found == [("/a", 12345), ("/b", 7)]
        assert run("registry", "show", "-c", remembered).stdout.count("\n") == 3
        registry, aside = Registry.open(Path(config["data_dir"]))
        assert aside is None
        assert [record.offset for record in registry.load()] == [7, 12345]
        # Not beside a daemon.
        done = run("registry", "downgrade", "-c", remembered)
        registry.close()
        assert done.returncode == 1
        assert told(done)[0].endswith(": another shipper is running with this data directory")

    def test_it_can_be_shown_beside_a_running_daemon(
        self,
        shipper: MakeShipper,
        bulk_server: BulkServer,
        log_directory: LogDirectory,
        tmp_path: Path,
    ) -> None:
        process = shipper()
        process.start()
        log_directory.write(5)
        bulk_server.wait_for_lines(5)
        size = log_directory.log.stat().st_size
        path = write(tmp_path, process.config)

        def is_saved() -> bool:
            shown = run("registry", "show", "--json", "-c", path).stdout.splitlines()
            return [json.loads(line)["offset"] for line in shown] == [size]

        process.wait_until(is_saved, "the offset is in the registry")
        log_directory.write(1)
        bulk_server.wait_for_lines(6)

    def test_without_a_registry_it_says_so(self, tmp_path: Path, config: dict[str, Any]) -> None:
        done = run("registry", "show", "-c", write(tmp_path, config))
        assert done.returncode == 1
        what, _ = told(done)
        assert what.startswith(f"{config['data_dir']}/registry.db: the registry cannot be read: ")

    @pytest.mark.parametrize("form", [(), ("--json",)])
    def test_a_reader_that_has_enough_is_no_traceback(
        self, remembered: str, form: tuple[str, ...]
    ) -> None:
        """As `| head` does it: nobody reads what is written."""
        reading, writing = os.pipe()
        os.close(reading)
        command = [sys.executable, "-m", "shipper", "registry", "show", *form, "-c", remembered]
        buffered = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
        done = subprocess.run(
            command,
            stdout=writing,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
            check=False,
            env=buffered,
        )
        os.close(writing)
        assert (done.returncode, done.stderr) == (1, b"")


class TestConvert:
    FILE = (
        "filebeat.inputs: [{type: filestream, id: a, paths: [/a]}]\n"
        "output.console: {pretty: false}\n"
        "queue.mem.events: 5\n"
    )

    def test_as_json_it_is_the_text_with_the_notices(self, tmp_path: Path) -> None:
        path = tmp_path / "filebeat.yml"
        path.write_text(self.FILE)
        text = run("convert", str(path)).stdout
        done = run("convert", "--json", str(path))
        assert (done.returncode, done.stderr) == (0, "")
        report = json.loads(done.stdout)
        assert keys_of(report) - documented("check") - documented("convert") == set()
        assert report["configuration"] == text
        (notice,) = report["notices"]
        assert (notice["file"], notice["line"]) == (str(path), 3)
        assert notice["option"] == "queue.mem.events"
        assert notice["what"].startswith("ignored: ")


class TestDeadLetters:
    @pytest.mark.parametrize("there_is_a_directory", [True, False])
    @pytest.mark.parametrize("action", [("show",), ("replay",), ("replay", "--dry-run")])
    def test_without_any_it_says_so_and_makes_nothing(
        self,
        action: tuple[str, ...],
        there_is_a_directory: bool,
        tmp_path: Path,
        config: dict[str, Any],
    ) -> None:
        directory = Path(config["data_dir"])
        if there_is_a_directory:
            directory.mkdir()
        done = run("deadletter", *action, "-c", write(tmp_path, config))
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"no dead letters in {directory}\n"
        assert not list(directory.glob("*"))

    def test_a_replay_as_json_is_one_object(self, tmp_path: Path, config: dict[str, Any]) -> None:
        directory = Path(config["data_dir"])
        directory.mkdir()
        dead_letter = DeadLetter(1.0, 400, "no such field [7]", "id", "/a", 0, "x")
        (directory / "dead-letter.ndjson").write_bytes(encode_dead_letter(dead_letter))
        path = write(tmp_path, config)
        done = run("deadletter", "replay", "--dry-run", "--json", "-c", path)
        assert (done.returncode, done.stderr) == (0, "")
        report = json.loads(done.stdout)
        assert keys_of(report) == documented("deadletter replay") - {"OK", "FAILED"}
        assert report["output"].endswith(config["output"]["hosts"][0])
        del report["output"]
        time = "1970-01-01T00:00:01Z"
        reason = {"count": 1, "status": 400, "first": time, "last": time}
        assert report == {
            "total": 1,
            "selected": 1,
            "dry_run": True,
            "reasons": [reason | {"reason": "no such field […]"}],
            "replayed": 0,
            "already_there": 0,
            "rejected_again": 0,
            "kept": 0,
            "status": "OK",
            "warnings": [],
        }
        # Letters without their document cannot be sent.
        done = run("deadletter", "replay", "--json", "-c", path)
        assert (done.returncode, done.stderr) == (1, "")
        report = json.loads(done.stdout)
        assert (report["status"], report["kept"], report["dry_run"]) == ("FAILED", 1, False)
        (warning,) = report["warnings"]
        assert "cannot be sent again" in warning

    @pytest.mark.parametrize("action", ["show", "replay"])
    def test_a_data_dir_that_cannot_be_used_is_told_in_words(
        self, action: str, tmp_path: Path, config: dict[str, Any]
    ) -> None:
        (tmp_path / "data").touch()
        done = run("deadletter", action, "-c", write(tmp_path, config))
        assert done.returncode == 1
        what, advice = told(done)
        assert what.startswith(config["data_dir"])
        assert what.endswith(": the dead letters cannot be read: not a directory")
        assert advice == "be the user that shipper runs as, and check data_dir"

    @pytest.mark.parametrize("form", [(), ("--json",)])
    def test_a_reader_that_has_enough_is_no_traceback(
        self, form: tuple[str, ...], tmp_path: Path, config: dict[str, Any]
    ) -> None:
        directory = Path(config["data_dir"])
        directory.mkdir()
        dead_letter = DeadLetter(1.0, 400, "no", "id", "/a", 0, "x" * 1000)
        (directory / "dead-letter.ndjson").write_bytes(encode_dead_letter(dead_letter) * 1000)
        reading, writing = os.pipe()
        os.close(reading)
        path = write(tmp_path, config)
        command = [sys.executable, "-m", "shipper", "deadletter", "show", *form, "-c", path]
        done = subprocess.run(
            command, stdout=writing, stderr=subprocess.PIPE, timeout=PATIENCE, check=False
        )
        os.close(writing)
        assert (done.returncode, done.stderr) == (1, b"")

"""Elastic's Tetragon guide with shipper in Filebeat's place: its own file, the real daemon, and the
documents field by field.

`GUIDE` is the guide's file, in which only the host and the credentials are filled in. Filebeat's
places are made in a mount namespace of the process' own, where the kernel lets us; where it does
not, the file's two directories are others.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest

import shipper
from shipper import __version__
from tests.servers.launcher import free_port
from tests.support.bulk_server import BulkServer
from tests.support.faults import PATIENCE, LostAnswer
from tests.support.filebeat import FilebeatRegistry, fingerprint, native, snapshot
from tests.support.logdir import LogDirectory
from tests.support.logs import flat

GUIDE = (Path(__file__).parents[1] / "data" / "filebeat.yml").read_text()
LOGS, DATA = "/var/run/cilium/tetragon", "/usr/share/filebeat/data"
ENTRY = "import sys; from shipper.__main__ import image; sys.exit(image())"
PASSWORD = "pa,ss: $w"

#: Has Filebeat's places lead to our directories, for itself and the daemon alone.
IN_FILEBEATS_PLACES = """
mount -t tmpfs none /usr/share
mkdir -p /usr/share/filebeat/data
cp "$CONFIG" /usr/share/filebeat/filebeat.yml
mount --bind "$DATA" /usr/share/filebeat/data
mount -t tmpfs none /run
mkdir -p /run/cilium/tetragon
mount --bind "$LOGS" /run/cilium/tetragon
exec "$@"
"""


def filled_in(server: BulkServer) -> str:
    """The guide's file with what its reader fills in."""
    return (
        GUIDE.replace("https://<elasticsearch_host>", server.url)
        .replace("<elasticsearch_username>", "elastic")
        .replace("<elasticsearch_password>", PASSWORD)
    )


class Sidecar:
    """The image's entry point as a process."""

    def __init__(self, directory: Path, server: BulkServer, logs: LogDirectory) -> None:
        self.config = directory / "filebeat.yml"
        self.config.write_text(filled_in(server))
        self.data = directory / "data"
        self.data.mkdir()
        self.log = directory / "log"
        self._logs = logs
        self._prefix: list[str] = []
        self._arguments: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None
        server.authorization = f"Basic {base64.b64encode(f'elastic:{PASSWORD}'.encode()).decode()}"

    def in_filebeats_places(self) -> None:
        """From now on, the file is where the guide mounts it. Skips where that is not allowed."""
        unshare = shutil.which("unshare")
        allowed = [unshare or "unshare", "-rm", "true"]
        if unshare is None or subprocess.run(allowed, capture_output=True, check=False).returncode:
            pytest.skip("no mount namespace of our own is allowed here")
        if os.path.realpath("/var/run") != "/run":
            pytest.skip("/var/run is not /run here")
        self._prefix = [unshare, "-rm", "sh", "-euc", IN_FILEBEATS_PLACES, "sh"]

    def in_our_places(self) -> None:
        """From now on, the file names directories of the test's own."""
        text = self.config.read_text().replace(LOGS, str(self._logs.path))
        self.config.write_text(text.replace(DATA, str(self.data)))
        self._arguments = ["-c", str(self.config)]

    def start(self, *arguments: str) -> None:
        port = free_port()
        command = [sys.executable, "-c", ENTRY, "-e"]
        settings = ["-E", "http.enabled=true", "-E", f"http.port={port}"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._prefix, *command, *settings, *self._arguments, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={
                    **os.environ,
                    "PYTHONPATH": str(Path(shipper.__file__).parents[1]),
                    "NODE_NAME": "node-1",
                    "CONFIG": str(self.config),
                    "DATA": str(self.data),
                    "LOGS": str(self._logs.path),
                },
            )

    def stop(self, kind: signal.Signals = signal.SIGTERM) -> int:
        assert self._process is not None
        self._process.send_signal(kind)
        return self._process.wait(PATIENCE)

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.stop(signal.SIGKILL)

    def logs(self) -> list[dict[str, Any]]:
        return [flat(json.loads(line)) for line in self.log.read_text().splitlines()]


@pytest.fixture
def sidecar(
    tmp_path: Path, bulk_server: BulkServer, log_directory: LogDirectory
) -> Iterator[Sidecar]:
    directory = tmp_path / "sidecar"
    directory.mkdir()
    made = Sidecar(directory, bulk_server, log_directory)
    yield made
    made.kill()


@pytest.fixture(params=[Sidecar.in_filebeats_places, Sidecar.in_our_places])
def placed(sidecar: Sidecar, request: pytest.FixtureRequest) -> Sidecar:
    """With the guide's file in its place, or with its directories moved."""
    place: Callable[[Sidecar], None] = request.param
    place(sidecar)
    return sidecar


@contextmanager
def told(sidecar: Sidecar) -> Iterator[None]:
    """Has a failure say what the daemon said."""
    try:
        yield
    except AssertionError as error:
        raise AssertionError(f"{error}\n{sidecar.log.read_text()[-4000:]}") from error


def test_the_guides_file_ships_every_line_as_a_document_like_filebeats(
    placed: Sidecar, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    log_directory.write(3)
    placed.start()
    with told(placed):
        bulk_server.wait_for_lines(3)
    lines = log_directory.log.read_bytes().splitlines()
    facts = log_directory.log.stat()
    is_moved = placed.config.read_text() != filled_in(bulk_server)
    path = str(log_directory.log) if is_moved else f"{LOGS}/{log_directory.log.name}"
    offset = 0
    documents = sorted(bulk_server.documents.values(), key=lambda each: each["log"]["offset"])
    agents = {(each["agent"].pop("id"), each["agent"].pop("ephemeral_id")) for each in documents}
    fingerprints = {each["log"]["file"].pop("fingerprint") for each in documents}
    for line, document in zip(lines, documents, strict=True):
        assert document == {
            "@timestamp": json.loads(line)["time"],
            "message": line.decode(),
            "log": {
                "offset": offset,
                "file": {
                    "path": path,
                    "inode": str(facts.st_ino),
                    "device_id": str(facts.st_dev),
                },
            },
            "input": {"type": "filestream"},
            "ecs": {"version": "8.11.0"},
            "host": {"name": "node-1"},
            "agent": {"name": "node-1", "type": "shipper", "version": __version__},
            "event": {"dataset": "cilium_tetragon.log", "module": "cilium_tetragon"},
            "data_stream": {
                "type": "logs",
                "dataset": "cilium_tetragon.log",
                "namespace": "default",
            },
        }
        offset += len(line) + 1
    assert len(agents) == len(fingerprints) == 1
    (request,) = bulk_server.requests
    assert request.path == "/logs-cilium_tetragon.log-default/_bulk"
    assert placed.stop() == 0
    assert (placed.data / "registry.db").exists()


def test_what_the_guides_file_says_and_does_not_matter_is_said_once(
    sidecar: Sidecar, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    sidecar.in_our_places()
    log_directory.write(1)
    sidecar.start()
    with told(sidecar):
        bulk_server.wait_for_lines(1)
    assert sidecar.stop() == 0
    warnings = [
        (entry["shipper.option"], entry["shipper.where"])
        for entry in sidecar.logs()
        if entry["log.level"] == "warning"
    ]
    assert warnings == [
        ("setup.template.name, setup.template.pattern", f"{sidecar.config}, line 19"),
        ("http.enabled", "-E http.enabled"),
    ]
    assert PASSWORD not in sidecar.log.read_text()


def test_killed_in_the_midst_it_loses_and_doubles_nothing(
    placed: Sidecar, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    log_directory.write(200)
    bulk_server.next(LostAnswer())
    for number in range(3):
        placed.start()
        log_directory.write(100)
        log_directory.rotate()
        with told(placed):
            bulk_server.wait_for_lines(200 + 100 * number)
        placed.stop(signal.SIGKILL)
    placed.start()
    log_directory.write(50)
    with told(placed):
        bulk_server.wait_for_lines(550)
    audit = bulk_server.audit(log_directory.written)
    assert (audit.lost, audit.doubled) == (0, 0), audit


@pytest.mark.parametrize("identity", [native, fingerprint])
def test_it_ships_exactly_what_filebeat_has_not_and_leaves_its_registry_as_it_was(
    placed: Sidecar,
    bulk_server: BulkServer,
    log_directory: LogDirectory,
    identity: Callable[[Path], str],
) -> None:
    filebeat = FilebeatRegistry(placed.data)
    log_directory.write(50)
    # The one is done, of the other Filebeat has shipped a part.
    shipped_by(filebeat, bulk_server, log_directory.rotate(), 50, identity)
    log_directory.write(40)
    shipped_by(filebeat, bulk_server, log_directory.log, 15, identity)
    before = snapshot(filebeat.directory)
    bulk_server.next(LostAnswer())
    placed.start()
    with told(placed):
        bulk_server.wait_for_lines(90)
    placed.stop(signal.SIGKILL)
    log_directory.write(30)
    placed.start()
    with told(placed):
        bulk_server.wait_for_lines(120)
    assert placed.stop() == 0
    rest = log_directory.log.read_bytes().splitlines()[15:]
    sent = [
        document["message"].encode()
        for key, document in bulk_server.documents.items()
        if not key.startswith("filebeat-")
    ]
    assert sorted(sent) == sorted(rest)
    assert bulk_server.audit(log_directory.written).passed
    assert snapshot(filebeat.directory) == before
    actions = [entry["event.action"] for entry in placed.logs()]
    assert actions.count("filebeat-registry-imported") == 1


def shipped_by(
    filebeat: FilebeatRegistry,
    server: BulkServer,
    path: Path,
    count: int,
    identity: Callable[[Path], str],
) -> None:
    """Do as Filebeat: have the first lines of a file stored, and write down how far that is."""
    lines = path.read_bytes().splitlines(keepends=True)[:count]
    for number, line in enumerate(lines):
        server.add_document(f"filebeat-{path.name}-{number}", line.rstrip().decode())
    filebeat.read(
        path,
        sum(map(len, lines)),
        identity=identity(path),
        input_id="tetragon-log",
        source=Path(LOGS, path.name),
    )


def test_test_output_asks_the_host_and_ships_nothing(
    sidecar: Sidecar, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    sidecar.in_our_places()
    log_directory.write(1)
    done = subprocess.run(
        [sys.executable, "-c", ENTRY, "test", "output", "-c", str(sidecar.config)],
        env={**os.environ, "PYTHONPATH": str(Path(shipper.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert re.search(rf"^{re.escape(bulk_server.url)}$", done.stdout, re.MULTILINE), done
    assert "setup.template.name" in done.stdout
    assert bulk_server.documents == {}
    assert PASSWORD not in done.stdout + done.stderr


FOUND = """\
filebeat.inputs:
  - type: log
    paths: [GLOB]
    encoding: UTF-8
    include_lines: []
    prospector.scanner.symlinks: true
filebeat.config.modules:
  path: ${path.config}/modules.d/*.yml
  reload.enabled: false
path.data: DATA
setup.kibana.host: ${KIBANA_HOST_OF_NOBODY}
cloud.id: ${CLOUD_ID_OF_NOBODY}
processors: [{add_cloud_metadata: ~}, {add_docker_metadata: ~}]
output.elasticsearch:
  hosts: [URL]
  index: logs-cilium_tetragon.log-default
  loadbalance: false
"""


def test_a_file_as_it_is_found_ships_and_its_password_in_a_url_is_shown_nowhere(
    sidecar: Sidecar, bulk_server: BulkServer, log_directory: LogDirectory
) -> None:
    secret, port = "MARKER7:/geheim", free_port()
    bulk_server.authorization = f"Basic {base64.b64encode(f'elastic:{secret}'.encode()).decode()}"
    url = bulk_server.url.replace("://", f"://elastic:{quote(secret, safe='')}@")
    text = FOUND.replace("GLOB", log_directory.glob).replace("DATA", str(sidecar.data))
    sidecar.config.write_text(text.replace("URL", url))
    log_directory.write(2)
    sidecar.start("-c", str(sidecar.config), "-E", f"http.port={port}")
    with told(sidecar):
        bulk_server.wait_for_lines(2)
        pages = [
            urlopen(f"http://127.0.0.1:{port}/{page}", timeout=PATIENCE).read().decode()
            for page in ("metrics", "status", "healthz")
        ]
    assert sidecar.stop() == 0
    assert {each["input"]["type"] for each in bulk_server.documents.values()} == {"log"}
    said = [each["shipper.option"] for each in sidecar.logs() if "shipper.option" in each]
    assert "processors[0].add_cloud_metadata" in said
    assert "filebeat.inputs[0].prospector" in said
    for shown in (*pages, sidecar.log.read_text()):
        assert "MARKER7" not in shown

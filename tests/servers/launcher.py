"""Starts and stops one real search server on this machine.

A node lives in a directory of its own (data, configuration, server.log) and can be started there
again, on the same port. Its standard input is a pipe from this process, and it stops when that
ends: a node never outlives the process that started it, not even after SIGKILL.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
import uuid
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.servers.build import DISTRIBUTIONS, ServerError, build, tail

__all__ = ["NAMES", "SearchServer", "ServerError", "free_port", "missing_tools", "start"]

NAMES = tuple(DISTRIBUTIONS)
"""The servers that ``start`` knows."""

START_TIMEOUT = 120.0
STOP_TIMEOUT = 30.0
# Below the ports that the system gives to outgoing connections. While a node is down, the shipper
# keeps connecting to its port, and in that range such a connection can meet itself and take it.
PORTS = range(20_000, 32_000)

SETTINGS = {
    "discovery.type": "single-node",
    "network.host": "127.0.0.1",
    # A full disk of the machine is not what these tests are about.
    "cluster.routing.allocation.disk.threshold_enabled": "false",
    # With so small a heap the breaker would answer 429 whenever a collection is due.
    "indices.breaker.total.use_real_memory": "false",
}
JAVA = (
    "java",
    "-Xms128m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # ready 1.5 s earlier: these nodes live for seconds
    "-XX:-UsePerfData",
    "-Dorg.apache.logging.log4j.level=INFO",
    "-Dlog4j2.disableJmx=true",
)


def missing_tools() -> list[str]:
    """Return which of the programs needed here are not installed."""
    return [tool for tool in ("java", "mvn") if shutil.which(tool) is None]


def start(
    name: str,
    *,
    directory: Path,
    settings: dict[str, str] | None = None,
    build_dir: Path | None = None,
    port: int | None = None,
    timeout: float = START_TIMEOUT,
) -> SearchServer:
    """Start a node and return it when it answers and its shards are there.

    ``directory`` keeps its data and log: give the same one, and the same port, to start it again.
    ``settings`` are the node's own, such as ``{"indexing_pressure.memory.limit": "2mb"}``.
    ``timeout`` (seconds) bounds the start; a build that is due comes before and is not counted.
    Raises ServerError, with the end of the server's output, when it stops or is not ready in time.
    """
    built = build(name, build_dir)
    directory = directory.resolve()
    port = free_port() if port is None else port
    node = f"{name}-{uuid.uuid4().hex[:8]}"
    merged = SETTINGS | {"node.name": node, "http.port": str(port)} | (settings or {})
    process = _launch(_command(name, built, directory, merged), directory)
    try:
        version = _wait_until_ready(process, port, node, time.monotonic() + timeout)
    except BaseException as error:
        _end(process, signal.SIGKILL, STOP_TIMEOUT)
        if isinstance(error, _NotReadyError):
            output = tail(directory / "server.log")
            raise ServerError(f"{name} on port {port}: {error}; its output:\n{output}") from None
        raise
    return SearchServer(name, version, port, directory, process)


@dataclass(frozen=True, slots=True, eq=False)
class SearchServer:
    """A running node. As a context manager it is stopped at the end of the block."""

    name: str
    version: str
    port: int
    directory: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """The node's address, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self.process.poll() is None

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """Stop in good order, and by force after ``timeout`` seconds. Stopped already: no-op."""
        _end(self.process, signal.SIGTERM, timeout)

    def kill(self) -> None:
        """Stop at once, as a crash would."""
        _end(self.process, signal.SIGKILL, STOP_TIMEOUT)

    def output(self, lines: int = 40) -> str:
        """Return the last lines that the server wrote."""
        return tail(self.directory / "server.log", lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def free_port() -> int:
    """Return a loopback port that nobody listens on, outside the system's ephemeral range."""
    for port in random.sample(own_ports(), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise ServerError("100 ports tried, none is free")


def own_ports() -> range:
    """Return the ports that this process may use: of two test workers, each has its own half.

    A port is free until somebody listens on it, so two workers could be given the same one.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return PORTS[worker :: int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))]


def _command(name: str, built: Path, directory: Path, settings: dict[str, str]) -> list[str]:
    jars, classes = built / "jars", built / "classes"
    if name == "elasticsearch":
        modules = ["--module-path", str(jars), "--add-modules", "org.elasticsearch.server,jdk.net"]
        program = [*modules, "-Djava.security.manager=allow", "-cp", str(classes)]
        program.append("ElasticsearchServer")
        home = built / "home"
    else:
        program = ["-cp", f"{classes}:{jars}/*", "OpenSearchServer"]
        home = directory
    paths = {
        "path.home": str(home),
        "path.data": str(directory / "data"),
        "path.logs": str(directory / "logs"),
    }
    temporary = f"-Djava.io.tmpdir={directory / 'tmp'}"
    arguments = [f"{key}={value}" for key, value in (paths | settings).items()]
    return [*JAVA, temporary, *program, str(directory / "config"), *arguments]


def _launch(command: list[str], directory: Path) -> subprocess.Popen[bytes]:
    for part in ("config", "tmp"):
        (directory / part).mkdir(parents=True, exist_ok=True)
    with (directory / "server.log").open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=directory,
            # Ctrl-C in the terminal is for us: the node is stopped when we are ready for that.
            start_new_session=True,
        )


class _NotReadyError(Exception):
    """Why a node is not ready: its process ended, or the time is over."""


def _wait_until_ready(
    process: subprocess.Popen[bytes], port: int, node: str, deadline: float
) -> str:
    """Return the node's version once it answers under its own name and has its shards."""
    url = f"http://127.0.0.1:{port}"
    while True:
        if (status := process.poll()) is not None:
            raise _NotReadyError(f"the process ended with status {status}")
        if time.monotonic() > deadline:
            raise _NotReadyError("not ready in time")
        # Not `GET /`, which this Elasticsearch does not have. The name tells our node from a
        # stranger's on the same port.
        found = _ask(f"{url}/_nodes/_local?filter_path=nodes.*.name,nodes.*.version")
        nodes = found.get("nodes", {}).values()
        version = next((str(n["version"]) for n in nodes if n["name"] == node), None)
        if version is not None:
            health = _ask(f"{url}/_cluster/health?wait_for_status=yellow&timeout=1s")
            if health.get("status") in ("green", "yellow"):
                return version
        time.sleep(0.05)


def _ask(url: str) -> dict[str, Any]:
    """Return the JSON object that is the answer, or an empty one when there is none yet."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as response:
            answer = json.load(response)
    except (OSError, ValueError):  # urllib's errors are OSErrors
        return {}
    return answer if isinstance(answer, dict) else {}


def _end(process: subprocess.Popen[bytes], how: signal.Signals, timeout: float) -> None:
    process.send_signal(how)  # does nothing once the process has been waited for
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    finally:
        if process.stdin is not None:
            process.stdin.close()

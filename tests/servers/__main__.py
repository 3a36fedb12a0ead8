"""Runs a real search server in the foreground until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

from tests.servers.launcher import NAMES, SearchServer, ServerError, missing_tools, start


def main() -> int:
    """Return the exit code: 0 when asked to stop, 1 when the server failed, 2 for bad usage."""
    arguments = _parser().parse_args()
    if absent := missing_tools():
        print(f"servers: not installed: {', '.join(absent)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if arguments.directory is not None:
            return _run(arguments, arguments.directory)
        with tempfile.TemporaryDirectory(prefix="shipper-server-") as directory:
            return _run(arguments, Path(directory))
    except ServerError as error:
        print(f"servers: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.servers", description=__doc__)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--port", type=int, help="HTTP port (default: a free one)")
    parser.add_argument(
        "--directory", type=Path, help="where data is kept (default: removed at the end)"
    )
    parser.add_argument(
        "--setting",
        type=_setting,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting of the node, such as indexing_pressure.memory.limit=2mb; may be repeated",
    )
    return parser


def _setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _run(arguments: argparse.Namespace, directory: Path) -> int:
    print(f"starting {arguments.name} (the first time, Maven gets it) ...", flush=True)
    with start(
        arguments.name,
        directory=directory,
        settings=dict(arguments.setting),
        port=arguments.port,
    ) as server:
        print(f"{server.name} {server.version}: {server.url} (Ctrl-C stops it)", flush=True)
        return _wait(server)


def _wait(server: SearchServer) -> int:
    status = server.process.wait()
    print(f"servers: it ended with status {status}:\n{server.output()}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())

"""The entry points: `shipper` (also as `python -m shipper`), and for the image `filebeat`, and both
in one. Before a command is imported, which takes a while, SIGHUP is ignored: who sends it to all
processes of this name (`pkill -HUP shipper`) wants to end none.
"""

import signal
import sys


def main() -> int:
    """The command `shipper`; returns the exit code."""
    _ignore_hangups()
    from shipper.cli.shipper import main as command

    return command()


def filebeat() -> int:
    """Filebeat's command line."""
    _ignore_hangups()
    from shipper.cli.filebeat import main as command

    return command()


def image() -> int:
    """The image's entry point: shipper's own commands, or Filebeat's arguments."""
    _ignore_hangups()
    from shipper.cli.filebeat import entry

    return entry()


def _ignore_hangups() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())

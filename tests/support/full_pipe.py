"""A standard error that nobody reads."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import threading
from typing import Any

from tests.support.faults import PATIENCE
from tests.support.logs import flat


class Stderr:
    """A pipe that is full until it is read."""

    def __init__(self) -> None:
        self._reader, self.descriptor = os.pipe()
        fcntl.fcntl(self.descriptor, fcntl.F_SETPIPE_SZ, 4096)
        os.set_blocking(self.descriptor, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.descriptor, b"\n" * 4096)
        os.set_blocking(self.descriptor, True)
        self._text = b""
        self._reading = threading.Thread(target=self._read)

    def read(self) -> None:
        """Begin to read, until the last writer closes it."""
        self._reading.start()

    def _read(self) -> None:
        while piece := os.read(self._reader, 65536):
            self._text += piece

    def entries(self) -> list[dict[str, Any]]:
        """What was logged so far."""
        text = self._text[: self._text.rfind(b"\n") + 1].decode()
        return [flat(json.loads(line)) for line in text.split("\n") if line]

    def give_away(self) -> None:
        """Close our end for writing: the daemon has its own."""
        os.close(self.descriptor)
        self.descriptor = -1

    def read_to_the_end(self) -> None:
        """Return when the daemon's end is closed and all is read."""
        self._reading.join(PATIENCE)

    def close(self) -> None:
        if self.descriptor >= 0:
            self.give_away()
        if self._reading.is_alive():
            self.read_to_the_end()
        os.close(self._reader)

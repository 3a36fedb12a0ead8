"""Watches whether a daemon's event loop turns: /healthz is asked all the time, and an answer that
takes longer than a second is a failure of the test, whatever it tests.

Time that the event loop or this thread waited for a processor does not count (schedstat of
proc(5)): the machine may be busy.
"""

from __future__ import annotations

import http.client
import threading
import time
from pathlib import Path

LONGEST = 1.0
"""How long /healthz may take, in seconds."""

_INTERVAL = 0.2

#: When a request is given up; that is a failure anyhow.
_TIMEOUT = 10.0


class HealthWatch:
    """Asks /healthz of one process until it is stopped."""

    def __init__(self, pid: int, listen: str) -> None:
        """``listen``: the admin address, HOST:PORT. Starts at once."""
        self._pid = pid
        self._host, _, port = listen.rpartition(":")
        self._port = int(port)
        self._stopped = threading.Event()
        self.answers = 0
        self.slow: list[str] = []
        """The answers that took too long, in words."""
        self._asked: float | None = None
        self._waited = 0.0
        self._own = 0
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stops asking; a request that is under way counts as far as it went."""
        self._stopped.set()
        self._thread.join(_TIMEOUT + 1)

    def pending(self) -> float:
        """How long the request that is under way takes by now, in seconds."""
        asked = self._asked
        if asked is None:
            return 0.0
        return time.monotonic() - asked - (self._waiting() - self._waited)

    def assert_fast(self) -> None:
        """Raises AssertionError if an answer took too long, or does now."""
        assert not self.slow, self.slow[0]
        pending = self.pending()
        assert pending <= LONGEST, f"the event loop stands: no /healthz for {pending:.1f} s"

    def _run(self) -> None:
        self._own = threading.get_native_id()
        while not self._stopped.is_set():
            self._ask()
            self._stopped.wait(_INTERVAL)

    def _ask(self) -> None:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT)
        self._waited = self._waiting()
        self._asked = time.monotonic()
        how, by_the_daemon = "answered", True
        try:
            connection.request("GET", "/healthz")
            connection.getresponse().read()
            self.answers += 1
        except ConnectionRefusedError:
            # The kernel's answer, at once: nobody listens yet, or any more. What took long was this
            # thread, for the interpreter's lock.
            by_the_daemon = False
        except (OSError, http.client.HTTPException) as error:
            # It ends, or it has no descriptor for us: no failure, unless that took long, too.
            how = f"failed ({error!r})"
        finally:
            took = self.pending()
            self._asked = None
            connection.close()
        if took > LONGEST and by_the_daemon:
            self.slow.append(f"the event loop stood: /healthz {how} after {took:.1f} s")

    def _waiting(self) -> float:
        """Seconds that the thread of the daemon's event loop and this one waited for a processor so
        far."""
        loop = Path(f"/proc/{self._pid}/task/{self._pid}/schedstat")
        return _seconds_waited(loop) + _seconds_waited(
            Path(f"/proc/self/task/{self._own}/schedstat")
        )


def _seconds_waited(path: Path) -> float:
    try:
        return int(path.read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0  # The thread has ended.

"""What the file system refuses: each failure is counted, and logged, but not each time."""

import errno
import os

from shipper.logs import Log
from shipper.logs.events import LINK_DIRECTORY_EXPOSED, LINK_DIRECTORY_REPLACED, LogEvent
from shipper.metrics import Metrics

#: Messages of which each is a change of a `.shipper` by somebody else.
_CHANGES = {LINK_DIRECTORY_EXPOSED: "exposed", LINK_DIRECTORY_REPLACED: "replaced"}


def name_file(error: OSError, path: str) -> str:
    """Which path the error is about; `path` if it names none that an operator could look at: a
    call with a descriptor names its number, and one below an open directory half of the path."""
    found = error.filename
    if not isinstance(found, str) or not os.path.isabs(found) or found.startswith("/proc/self/fd/"):
        error.filename = path or str(found)
    return str(error.filename)


class FileErrors:
    """Failures that heal by themselves, or by the operator."""

    def __init__(self, metrics: Metrics, log: Log) -> None:
        self._metrics = metrics
        self._log = log

    def report(self, event: LogEvent, error: OSError, path: str = "") -> None:
        """Counts the failure by its name, and logs it with the path that it is about: that of the
        error, or `path` if it has none."""
        name = self.count(error)
        if change := _CHANGES.get(event):
            self.links_changed(change)
        path = name_file(error, path)
        self._log.emit(
            event,
            key=f"{name}:{path}",
            path=path,
            code=name,
            error=error.strerror or str(error),
        )

    def links_changed(self, change: str) -> None:
        """Counts that somebody else changed a `.shipper`; `change` is one of
        `metrics.LINK_DIRECTORY_CHANGES`."""
        self._metrics.count("shipper_link_directory_changes_total", 1, change)

    def count(self, error: OSError) -> str:
        """Only counts it, where enough is said; returns its name."""
        name = errno.errorcode.get(error.errno or 0, "other")
        self._metrics.count("shipper_file_errors_total", 1, name)
        return name

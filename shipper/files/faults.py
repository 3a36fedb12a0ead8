"""What the file system refuses: each failure is counted, and logged, but not each time."""

import errno

from shipper.logs import Log
from shipper.logs.events import LogEvent
from shipper.metrics import Metrics


class FileErrors:
    """Failures that heal by themselves, or by the operator."""

    def __init__(self, metrics: Metrics, log: Log) -> None:
        self._metrics = metrics
        self._log = log

    def report(self, event: LogEvent, error: OSError) -> None:
        """Counts the failure by its name, and logs it with `error.filename`."""
        name = self.count(error)
        self._log.emit(
            event,
            key=f"{name}:{error.filename}",
            path=str(error.filename),
            code=name,
            error=error.strerror or str(error),
        )

    def count(self, error: OSError) -> str:
        """Only counts it, where enough is said; returns its name."""
        name = errno.errorcode.get(error.errno or 0, "other")
        self._metrics.count("shipper_file_errors_total", 1, name)
        return name

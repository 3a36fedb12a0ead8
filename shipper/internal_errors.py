"""Exceptions that nobody foresaw: each is logged with its trace and counted, and the stage goes on.

`where` is of a closed set: it is a label.
"""

from enum import Enum

from shipper.logs import Log
from shipper.logs.events import INTERNAL_ERROR_CONTAINED
from shipper.metrics import Metrics

COUNTER = "shipper_internal_errors_total"


class Where(Enum):
    """Which part of shipper met it."""

    ADMIN = "admin"


class InternalErrors:
    """Logs and counts them."""

    def __init__(self, metrics: Metrics, log: Log) -> None:
        self._metrics = metrics
        self._log = log
        for where in Where:
            metrics.count(COUNTER, 0, where.value)

    def report(self, where: Where, error: BaseException, **fields: object) -> None:
        """One exception. `fields` say what it was about; raises nothing."""
        self._metrics.count(COUNTER, 1, where.value)
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
        self._log.emit(
            INTERNAL_ERROR_CONTAINED,
            # The same fault is one message, however often it comes.
            key=f"internal:{where.value}:{type(error).__name__}:{place}",
            error=error,
            where=where.value,
            **fields,
        )

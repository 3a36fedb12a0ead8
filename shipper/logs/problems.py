"""An error as messages of the log: one for each of its problems, and a bounded number."""

from shipper.errors import ShipperError
from shipper.logs.events import LogEvent
from shipper.logs.log import Log
from shipper.option_names import OWN_NAMES

#: More problems than these are counted, not logged one by one.
MOST = 50


def log_problems(log: Log, event: LogEvent, error: ShipperError) -> None:
    """Logs each problem, with its place and what to do."""
    for problem in error.problems[:MOST]:
        words = problem.in_words_of(OWN_NAMES)
        log.emit(
            event,
            error=words.what,
            where=str(words.location) or None,
            hint=words.what_to_do or None,
        )
    if (more := len(error.problems) - MOST) > 0:
        advice = "run `shipper check` to see all of them"
        log.emit(event, error=f"{more} more problems in the configuration", hint=advice)

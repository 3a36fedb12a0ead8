"""The daemon's log: messages of one table, as ECS JSON lines or as text, to standard error. Whoever
reads it, or has stopped reading it, never delays shipping.

    emit -> repeats folded -> messages per second limited -> formatted -> bounded queue -> thread
"""

from shipper.logs.events import Level
from shipper.logs.log import Log, LogFormat

__all__ = ["Level", "Log", "LogFormat"]

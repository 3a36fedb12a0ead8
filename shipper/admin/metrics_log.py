"""The metrics in the log, a message at each interval: where /metrics is not scraped (in a sidecar,
say), that is all that an operator sees of them. As Filebeat's "Non-zero metrics in the last 30s".
"""

from collections.abc import Mapping

from shipper.clock import Clock
from shipper.logs import Log
from shipper.logs.events import METRICS as METRICS_EVENT
from shipper.metric_table import METRICS, Kind
from shipper.metrics import Metrics

#: Labels whose values are few and known, and are told apart. Of others there is the sum: inputs,
#: rules and the errors of a server are as many as somebody makes them.
_LABELS = frozenset({"outcome", "reason", "status"})

#: Gauges that are there even if they are 0.
_ALWAYS = ("ready", "backlog_bytes", "oldest_unacknowledged_seconds")

#: Not worth a line each half minute.
_LEFT_OUT = frozenset({"build_info"})

_DURATION = "shipper_bulk_request_duration_seconds"

#: At most so many values of one label.
_MOST = 20


class MetricsLog:
    """Logs counters that changed, by how much, and gauges that are not 0."""

    def __init__(self, metrics: Metrics, *, clock: Clock, log: Log, interval: float) -> None:
        """`interval` in seconds."""
        self._metrics = metrics
        self._clock = clock
        self._log = log
        self._interval = float(interval)
        self._kinds = {row.name: row.kind for row in METRICS}
        self._before = self._counters()

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self._clock.sleep(self._interval)
            self.emit()

    def emit(self) -> None:
        """Logs what changed since the last call."""
        now = self._counters()
        found = self._changes(now) | self._gauges()
        self._before = now
        self._log.emit(METRICS_EVENT, interval_seconds=self._interval, metrics=found)

    def _counters(self) -> dict[tuple[str, str], float]:
        """By name, and by the label that is told apart, if there is one."""
        found: dict[tuple[str, str], float] = {}
        for name, labels, value in self._metrics.samples():
            if self._kinds.get(name) is Kind.COUNTER:
                key = _short(name), next((labels[each] for each in labels if each in _LABELS), "")
            elif name in (f"{_DURATION}_sum", f"{_DURATION}_count"):
                key = name, ""
            else:
                continue
            found[key] = found.get(key, 0.0) + value
        return found

    def _changes(self, now: Mapping[tuple[str, str], float]) -> dict[str, object]:
        new = {key: value - self._before.get(key, 0.0) for key, value in now.items()}
        total = new.pop((f"{_DURATION}_sum", ""), 0.0)
        count = new.pop((f"{_DURATION}_count", ""), 0.0)
        found: dict[str, object] = {}
        for (name, label), value in sorted(new.items()):
            if not value:
                continue
            if not label:
                found[name] = _number(value)
                continue
            group = found.setdefault(name, {})
            if isinstance(group, dict) and len(group) < _MOST:
                group[label] = _number(value)
        if count:
            found["bulk_request_seconds_mean"] = _number(total / count)
        return found

    def _gauges(self) -> dict[str, object]:
        found = dict.fromkeys(_ALWAYS, 0.0)
        for name, _, value in self._metrics.samples():
            short = _short(name)
            if self._kinds.get(name) is Kind.GAUGE and short not in _LEFT_OUT:
                found[short] = found.get(short, 0.0) + value
        return {name: _number(value) for name, value in found.items() if value or name in _ALWAYS}


def _short(name: str) -> str:
    return name.removeprefix("shipper_").removesuffix("_total")


def _number(value: float) -> float:
    return int(value) if value == int(value) else round(value, 3)

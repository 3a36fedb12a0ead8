"""What the daemon says of itself: its log, its pages, and Filebeat's monitoring, which it lacks."""

from collections.abc import Mapping

from shipper.config.filebeat.draft import Draft, Value
from shipper.config.filebeat.options import Section, fixed, honoured, ignored, refused
from shipper.config.filebeat.values import boolean, duration, duration_text, number, seconds, text

_STDERR = "the log goes to standard error, where the container's runtime or systemd keeps it"
_METRICS = "`/metrics` has all numbers, for Prometheus"
_OUR_PAGES = "the pages are our own: /metrics, /status, /readyz and /healthz"

LOGGING = Section(
    "",
    "Logging",
    (
        honoured("logging.level", text, "As `logging.level`. `critical` is `error`."),
        honoured(
            "logging.json", boolean, "As `logging.format`: `json`, or `text` if it is `false`."
        ),
        fixed("logging.to_stderr", boolean, (True, False), "The log goes there in any case."),
        ignored("logging.to_files", _STDERR),
        ignored("logging.to_syslog", _STDERR),
        ignored("logging.to_eventlog", _STDERR),
        ignored("logging.files.*", _STDERR),
        ignored("logging.events.*", "no event is ever in the log"),
        ignored("logging.event_data.*", "no event is ever in the log"),
        honoured("logging.metrics.enabled", boolean, "`false`: as `logging.metrics_interval: 0`."),
        honoured(
            "logging.metrics.period",
            duration,
            "As `logging.metrics_interval`; 1 s at least.",
        ),
        ignored("logging.metrics.*", "there is one message, with all metrics that changed"),
        ignored("logging.selectors", "there is one log, with all that matters"),
        ignored("logging.with_fields", "the log has fields of its own"),
    ),
)

HTTP = Section(
    "",
    "HTTP",
    (
        honoured(
            "http.enabled",
            boolean,
            f"As `admin.enabled`; {_OUR_PAGES}. Without the option they are at `127.0.0.1:9479`.",
        ),
        honoured(
            "http.host",
            text,
            "An address or a name, as in `admin.listen`. `localhost` is "
            "127.0.0.1. A socket or a pipe is refused.",
        ),
        honoured("http.port", number, "As in `admin.listen`; 5066 if it is not set."),
        fixed("http.pprof.enabled", boolean, (False,), "There are no such pages."),
        fixed("http.state_inspector.enabled", boolean, (False,), "There are no such pages."),
        ignored("http.pprof.*", "there are no such pages"),
        refused("http.named_pipe.*", "give `http.host` and `http.port`"),
        refused("http.user", "give `http.host` and `http.port`"),
    ),
)

MONITORING = Section(
    "",
    "Monitoring",
    (
        fixed("monitoring.enabled", boolean, (False,), f"Have it scraped: {_METRICS}."),
        fixed("xpack.monitoring.enabled", boolean, (False,), f"Have it scraped: {_METRICS}."),
        fixed("instrumentation.enabled", boolean, (False,), "shipper is not traced."),
        ignored("monitoring.*", _METRICS),
        ignored("xpack.monitoring.*", _METRICS),
        ignored("instrumentation.*", "shipper is not traced"),
    ),
)

_LEVELS = {
    "debug": "debug",
    "info": "info",
    "warning": "warning",
    "warn": "warning",
    "error": "error",
    "critical": "error",
}


#: Of metrics in the log, in seconds.
_LEAST_PERIOD = 1.0


def translate(found: Mapping[str, Value], draft: Draft) -> None:
    """Sets `logging` and `admin`. Raises ConfigError."""
    with draft.problems:
        _level(found, draft)
    if is_json := found.get("logging.json"):
        draft.put(("logging", "format"), "json" if is_json.value else "text", is_json)
    _metrics(found, draft)
    _http(found, draft)


def _level(found: Mapping[str, Value], draft: Draft) -> None:
    if level := found.get("logging.level"):
        ours = _LEVELS.get(str(level.value).lower())
        if ours is None:
            raise level.error("not a valid value", f"use one of: {', '.join(_LEVELS)}")
        draft.put(("logging", "level"), ours, level)


def _metrics(found: Mapping[str, Value], draft: Draft) -> None:
    path = ("logging", "metrics_interval")
    enabled, period = found.get("logging.metrics.enabled"), found.get("logging.metrics.period")
    if enabled and not enabled.value:
        draft.put(path, duration_text(0), enabled)
    elif period:
        is_short = 0 < seconds(period.node) < _LEAST_PERIOD
        draft.put(path, duration_text(_LEAST_PERIOD) if is_short else period.value, period)


def _http(found: Mapping[str, Value], draft: Draft) -> None:
    enabled = found.get("http.enabled")
    if enabled and not enabled.value:
        draft.put(("admin", "enabled"), False, enabled)
    if enabled is None or not enabled.value:
        return
    host, port = found.get("http.host"), found.get("http.port")
    name = str(host.value) if host else "localhost"
    if "/" in name:
        assert host is not None
        raise host.error("not an address", "use an address, and set http.port")
    address = {"localhost": "127.0.0.1"}.get(name, name)
    if ":" in address and not address.startswith("["):
        address = f"[{address}]"
    origin = host or port or enabled
    draft.put(("admin", "listen"), f"{address}:{port.value if port else 5066}", origin)
    draft.notice(_OUR_PAGES, enabled)

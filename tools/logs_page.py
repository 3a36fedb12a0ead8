"""docs/logs.md: how the daemon logs, and each message of the table in `logs.events`."""

from collections.abc import Iterator

from shipper.logs.ecs import EcsFormatter
from shipper.logs.events import EVENTS, FILE_OPENED, SECTIONS, Level, LogEvent
from shipper.logs.formats import ECS_NAMES, MAX_LINE, MAX_VALUE
from shipper.logs.limits import KNOWN_FAULTS, REPEAT_SECONDS, SHARES
from shipper.logs.log import BURST, DEBUG_PER_SECOND, PER_SECOND, Entry
from shipper.logs.process import FLUSH_SECONDS
from shipper.logs.queue import MAX_BYTES, MAX_LINES

_MB_PER_DAY = PER_SECOND * 1024 * 86400 / 1e6

_EXAMPLE = Entry(
    1_795_494_757.12,
    Level.INFO,
    FILE_OPENED.message,
    {
        "path": "/var/run/cilium/tetragon/tetragon.log",
        "offset": 0,
        "size": 1047,
        "reason": "it is new",
    },
    FILE_OPENED,
)

_INTRODUCTION = f"""\
# Logs

The daemon (`shipper run`, and the image in Filebeat's place) logs to standard error. Other commands
print text. The options are [`logging`](configuration.md#logging).

## Format

On a terminal: readable text. Otherwise: one JSON object per line in the
[Elastic Common Schema](https://www.elastic.co/docs/reference/ecs), written by Elastic's
[`ecs-logging`](https://www.elastic.co/docs/reference/ecs/logging/python/intro). `logging.format`
chooses one of them in any case. Times are in UTC. With `NO_COLOR` set, text has no colors.

```json
{{example}}
```

`event.action` is stable: build alerts and dashboards on it. The words of `message` may change with
any version. `log.logger` is `shipper`, or the name of a library whose warning or error it is; such
a message has no `event.action`.

| Field | In text | Meaning |
|---|---|---|
| `@timestamp`, `log.level`, `message` | at the beginning of the line | |
| `event.action` | | which message of the tables below it is |
{{fields}}
| `shipper.hint`, `shipper.where` | `hint`, `where` | what to do; which file and line, or option |
| `shipper.repeated` | `repeated` | how often the same message was left out before |
| `shipper.*` | the name after the dot | all else, such as `shipper.offset` and `shipper.events` |

Names of files that are not UTF-8 are escaped (`\\udcff`). Secrets are never logged. Events are not
either, but the reason for which Elasticsearch rejects one may quote a value of it.

## Limits

Logging never delays shipping, and delays a shutdown by {FLUSH_SECONDS:.0f} s at most:

- **Reader.** A thread writes what waits in a queue of at most {MAX_LINES} messages and
  {MAX_BYTES // 1024} KiB. If whoever reads standard error stops reading (a full pipe, a hanging
  journald or container runtime), messages that do not fit are dropped.
- **Repeats.** The same message about the same thing is logged at most every {REPEAT_SECONDS:.0f} s,
  with how often it was left out. {KNOWN_FAULTS} of them are remembered; then the oldest is
  forgotten.
- **Rate.** At most {PER_SECOND:.0f} messages per second, and {BURST:.0f} at once, over all of them;
  a message counts once for each KiB. That is at most {_MB_PER_DAY:.0f} MB a day.
  With `logging.level: debug` it is {DEBUG_PER_SECOND:.0f} per second.
- **Length.** A value is cut after {MAX_VALUE} characters, a line after {MAX_LINE // 1024} KiB.
- **Priority.** Errors may use all of the queue and of the burst, warnings
  {SHARES[Level.WARNING]:.0%} of them, info {SHARES[Level.INFO]:.0%}, debug
  {SHARES[Level.DEBUG]:.0%}: errors are logged while less serious messages are dropped. Messages
  that are marked with a star are not subject to the rate, and take the place of the oldest in a
  full queue.
- **End.** When the process ends, its last messages are written within {FLUSH_SECONDS:.0f} s.

What is dropped is counted in `shipper_log_messages_dropped_total`, by reason: `queue_full`,
`rate_limit`, `write_error` (the reader has gone, or its disk is full). Once there is room again,
`log-messages-dropped` says how many were.

## Messages
"""

_MEANINGS = {
    "path": "the file or directory that it is about",
    "size": "bytes",
    "error": "what went wrong",
    "error_type": "the type of an exception",
    "trace": "its stack trace; in text below the line",
    "code": "the name of the error (`EACCES`, `EIO`)",
    "reason": "why",
    "duration": "nanoseconds; in text seconds",
    "url": "the host of the output",
    "status": "of the answer",
    "version": "of shipper",
    "logger": "`shipper`, or a library",
}


def page() -> str:
    """All of it."""
    fields = "\n".join(
        f"| `{ecs}` | `{name}` | {_MEANINGS[name]} |" for name, ecs in ECS_NAMES.items()
    )
    example = EcsFormatter().line(_EXAMPLE).decode().strip()
    introduction = _INTRODUCTION.replace("{fields}", fields).replace("{example}", example)
    return introduction + "\n".join(_tables())


def _tables() -> Iterator[str]:
    for event in EVENTS:
        if event in SECTIONS:
            yield f"\n### {SECTIONS[event]}\n"
            yield "| `event.action` | Level | Message | When, and what to do |\n|---|---|---|---|"
        yield _row(event)
    yield ""


def _row(event: LogEvent) -> str:
    star = " \\*" if event.essential else ""
    meaning = event.meaning.replace("|", "\\|")
    return f"| `{event.action}` | {event.level.value} | {event.message} |{star} {meaning} |"

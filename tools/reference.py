"""The reference pages, made from what they are about: docs/configuration.md from the types that
`config.model` gathers, docs/decisions.md from the table in `output.elasticsearch.decisions`,
docs/filebeat.md from the tables of Filebeat's options, docs/logs.md from the table in
`logs.events`, docs/metrics.md from that in `metrics`.

`python -m tools.reference` writes them; with `--check` it writes nothing and ends with exit code
1 if a page is out of date.
"""

import argparse
import inspect
import sys
import types
import typing
from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import Enum
from pathlib import Path

import msgspec

from shipper.config.index_name import DATE_FIELDS, REFERENCES
from shipper.config.load import CONFIG_VARIABLE, SEARCH_PATHS
from shipper.config.model import Config
from shipper.config.outputs import OutputConfig
from shipper.config.presets import Preset, settings_of
from shipper.config.processors import Processors
from shipper.config.section import Section, options_of
from shipper.config.units import ByteSize, HostList, Seconds, Secret
from shipper.metric_table import METRICS, Metric
from tools.decisions_page import page as decisions_page
from tools.filebeat_page import page as filebeat_page
from tools.logs_page import page as logs_page

_DOCS = Path(__file__).parent.parent / "docs"

#: What the letters of dates are shown with.
_SOME_TIME = datetime(2026, 11, 24, 4, 32)

_NOTICE = "<!-- Generated from the code by `./dev docs`: a change made here is lost. -->\n"

_INTRODUCTION = f"""\
# Configuration

One YAML file. It is looked for at these places, and the first one named is read:

1. `-c FILE` on the command line,
2. the file that the environment variable `{CONFIG_VARIABLE}` names,
3. {", ".join(f"`{place}`" for place in SEARCH_PATHS)}.

A `filebeat.yml` is recognized by its keys and read as it is: [filebeat.md](filebeat.md) has each of
its options. This page describes shipper's own format.

`shipper check` reads the file and reports every problem in it, with the option and the line; then
it checks the log files and the cluster. An option that is not on this page is an error.

## Minimal configuration

```yaml
inputs:
  - id: tetragon                            # the registry keeps the offsets under this name
    paths: [/var/run/cilium/tetragon/*.log]
output:
  hosts: [https://es-1:9200]
```

## Common configuration

```yaml
inputs:
  - id: tetragon
    paths:
      - /var/run/cilium/tetragon/*.log      # Tetragon's charts up to 1.7
      - /var/log/tetragon/*.log             # later ones
    tags: [production]
    fields:
      team: platform
data_dir: /var/lib/shipper                  # must survive a restart of the pod
output:
  hosts:                                    # used in turn; one that fails is paused
    - https://es-1:9200
    - https://es-2:9200
  data_stream: logs-cilium_tetragon.log-default
  api_key_file: /run/secrets/es-api-key     # or api_key, or username with password(_file)
  tls:
    ca: /etc/shipper/ca.crt
memory:
  max_bytes: 32MiB
admin:
  listen: 127.0.0.1:9479
```

## Environment variables

They are substituted in values, not in keys:

| Written | Means |
|---|---|
| `${{NAME}}` | the variable; an error if it is not set |
| `${{NAME:default}}` | the variable, or the default if it is not set; `${{NAME:}}` may be empty |
| `${{NAME:?message}}` | the variable; an error with this message if it is not set or empty |
| `$${{` | `${{` as such |

This happens after the YAML was read, so a password may hold commas, colons, quotes, dollar signs
and line breaks. Where a number, a size, a duration or `true` is expected, a variable's text is read
as one.

```yaml
inputs:
  - id: tetragon
    paths: [/var/run/cilium/tetragon/*.log]
output:
  hosts: "${{ELASTICSEARCH_HOSTS:http://127.0.0.1:9200}}"   # several with commas between them
  username: "${{ELASTICSEARCH_USERNAME:}}"
  password: "${{ELASTICSEARCH_PASSWORD:}}"
```

## Units

A size is a number of bytes, or has a unit: `B`, `KiB`, `MiB`, `GiB` (1024) or `KB`, `MB`, `GB`
(1000). A duration always has a unit: `ms`, `s`, `m`, `h`, `d`.
"""

_METRICS_INTRODUCTION = """\
# Metrics

Served at `/metrics` of the admin address (`admin.listen`) in the text format of Prometheus. What
becomes of lines adds up at any time:

    sum(shipper_lines_read_total) = sum(shipper_events_total) + shipper_in_flight_events

All counters begin at 0 with the process.
"""

_WORDS: dict[object, str] = {
    str: "text",
    int: "whole number",
    bool: "`true` or `false`",
    ByteSize: "size",
    Seconds: "duration",
    Secret: "text, kept out of logs",
    HostList: "URL, or list of them",
    Processors: "list of [processors](processors.md)",
    typing.Any: "anything",
}


def pages() -> dict[str, str]:
    """The content of each page, by the name of its file in docs/."""
    return {
        "configuration.md": _configuration(),
        "filebeat.md": "\n".join([_NOTICE, filebeat_page()]),
        "decisions.md": "\n".join([_NOTICE, decisions_page()]),
        "logs.md": "\n".join([_NOTICE, logs_page()]),
        "metrics.md": _metrics(),
    }


def main(arguments: Sequence[str] | None = None, directory: Path = _DOCS) -> int:
    """Writes the pages into `directory`, or checks those in it; returns the exit code."""
    parser = argparse.ArgumentParser(
        "python -m tools.reference", description="Writes the reference pages in docs/."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if out of date")
    options = parser.parse_args(arguments)
    code = 0
    for name, content in pages().items():
        path = directory / name
        if path.exists() and path.read_text("utf-8") == content:
            continue
        if options.check:
            sys.stderr.write(f"{path} is out of date: run ./dev docs\n")
            code = 1
        else:
            directory.mkdir(exist_ok=True)
            path.write_text(content, "utf-8")
            sys.stderr.write(f"{path} written\n")
    return code


def _configuration() -> str:
    parts = [_NOTICE, _INTRODUCTION]
    for path, section in _sections("", Config):
        title = f"`{path}`" if path else "Top level"
        parts.append(f"## {title}\n\n{_one_line(inspect.getdoc(section) or '')}\n")
        rows = [_option_row(path, found) for found in options_of(section)]
        if rows:
            head = "| Key | Value | Default | Meaning |\n|---|---|---|---|\n"
            parts.append(head + "".join(rows))
        if section is OutputConfig:
            parts += [_index_names(), _presets()]
    return "\n".join(parts)


def _index_names() -> str:
    rows = "".join(
        f"| `{field.letters}` | {field.meaning} | `{field.render(_SOME_TIME)}` |\n"
        for field in DATE_FIELDS
    )
    known = ", ".join(f"`{name}`" for name in REFERENCES)
    return f"""\
## `output.index`

A plain index instead of a data stream, in the words of Filebeat's `index`:

```yaml
inputs:
  - id: tetragon
    paths: [/var/run/cilium/tetragon/*.log]
    fields:
      team: platform
output:
  hosts: [https://es-1:9200]
  index: "%{{[fields.team]:none}}-tetragon-%{{+yyyy.MM.dd}}"   # platform-tetragon-2026.11.24
```

`%{{[FIELD]}}` is a field that all documents of an input have alike:
{known}.
`%{{[FIELD]:default}}` has the default where it is missing or empty; without a default that is an
error at the start. Of an event itself, nothing can be named but its date.

`%{{+FORMAT}}` is the date of the event's own `@timestamp`, in UTC, made of these and of what stands
between them (letters of your own in single quotes):

| Letters | Meaning | Of 24 November 2026, 04:32 |
|---|---|---|
{rows}
The name is in small letters. What it will be is checked at the start, so that none is refused
later: no white space, none of `\\ / * ? " < > | , # :`, no `-`, `_` or `+` at its beginning, at
most 255 bytes. `index` and `data_stream` together are an error.

If the name is always the same, it stands in the path of the requests; else in each action, which a
cluster with `rest.action.multi.allow_explicit_index: false` refuses.
[What that means for documents and promises](documents.md#plain-indices).
"""


def _presets() -> str:
    """The table of what each preset sets, and the defaults where it sets nothing."""
    options = dict.fromkeys(option for preset in Preset for option in settings_of(preset))
    rows = ""
    for option in options:
        default = _written(_default(_field_at(OutputConfig, option)))
        values = " | ".join(f"`{settings_of(preset).get(option, default)}`" for preset in Preset)
        rows += f"| `output.{option}` | {values} |\n"
    names = " | ".join(f"`{preset.value}`" for preset in Preset)
    return f"""\
## `output.preset`

`balanced` is the defaults. `throughput` is for a node with very many events and a cluster that
takes them: larger requests, and more of them at once. `scale` is for hundreds of nodes that send
little each: few and full requests, and patience when the cluster is in need. `latency` has an event
there soon, in small requests. The names and what they mean are Elastic's, the numbers are our own:

| Option | {names} |
|---|{"---|" * len(Preset)}
{rows}
What you set yourself wins over the preset, option by option (in Filebeat it is the other way
round). Lines are put into a request by the block in which they were read, of at most 256 KiB: a
request that is filled from a backlog has up to a block more than `bulk.max_events` and
`bulk.max_bytes` say.
"""


def _field_at(section: type[Section], option: str) -> msgspec.structs.FieldInfo:
    name, _, rest = option.partition(".")
    (found,) = (field for field in options_of(section) if field.name == name)
    kind, _ = _element(found.type)
    inner = isinstance(kind, type) and issubclass(kind, Section)
    return _field_at(kind, rest) if inner and isinstance(kind, type) else found


def _sections(path: str, section: type[Section]) -> Iterator[tuple[str, type[Section]]]:
    """A section and those in it, each with the path of its keys."""
    yield path, section
    for found in options_of(section):
        kind, is_list = _element(found.type)
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from _sections(_join(path, found.name) + ("[]" if is_list else ""), kind)


def _option_row(path: str, found: msgspec.structs.FieldInfo) -> str:
    kind, is_list = _element(found.type)
    if isinstance(kind, type) and issubclass(kind, Section):
        full = _join(path, found.name) + ("[]" if is_list else "")
        value = f"{'list of keys' if is_list else 'keys'}, see [`{full}`](#{_anchor(full)})"
        optional = "none" if found.default is msgspec.UNSET else "see there"
        optional = "`[]`" if is_list else optional
        default = "required" if found.required else optional
        meaning = inspect.getdoc(kind) or ""
    else:
        value = f"list of {_words(kind)}" if is_list else _words(kind)
        default = "required" if found.required else f"`{_written(_default(found))}`"
        meaning = _description(found.type)
    return f"| `{found.name}` | {value} | {default} | {_cell(meaning)} |\n"


def _element(kind: object) -> tuple[object, bool]:
    """A type without its description, or that it may be left out; of a list that of its elements,
    and that it is one."""
    if typing.get_origin(kind) in (typing.Annotated, types.UnionType, typing.Union):
        kind = typing.get_args(kind)[0]
    if typing.get_origin(kind) is tuple:
        return typing.get_args(kind)[0], True
    return kind, False


def _words(kind: object) -> str:
    if isinstance(kind, type) and issubclass(kind, Enum):
        return ", ".join(f"`{member.value}`" for member in kind)
    if typing.get_origin(kind) is dict:
        return f"names with {_words(typing.get_args(kind)[1])}"
    if typing.get_origin(kind) is types.UnionType:
        return f"{_words(typing.get_args(kind)[0])}, or a list"
    return _WORDS[kind]


def _description(kind: object) -> str:
    found = [part for part in typing.get_args(kind)[1:] if isinstance(part, msgspec.Meta)]
    return (found[0].description or "") if found else ""


def _default(found: msgspec.structs.FieldInfo) -> object:
    if found.default_factory is not msgspec.NODEFAULT:
        return found.default_factory()
    return found.default


def _written(value: object) -> str:
    """A default as one would write it in the file."""
    match value:
        case Enum():
            return str(value.value)
        case bool():
            return str(value).lower()
        case Secret() | "":
            return '""'
        case ():
            return "[]"
        case _:
            return str(value)


def _metrics() -> str:
    table = "| Metric | Type | Labels | Meaning |\n|---|---|---|---|\n"
    return "\n".join([_NOTICE, _METRICS_INTRODUCTION, table + "".join(map(_metric_row, METRICS))])


def _metric_row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind.value} | {labels} | {_cell(metric.help)} |\n"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _anchor(title: str) -> str:
    """Where a heading of that text is linked to: GitHub leaves out what is no letter or digit."""
    return "".join(character for character in title if character.isalnum() or character in "_-")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return _one_line(text).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())

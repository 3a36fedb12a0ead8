"""The reference pages, made from what they are about: docs/configuration.md from the types that
`config.model` gathers, docs/metrics.md from the table in `metrics`.

`python -m shipper.reference` writes them; with `--check` it writes nothing and ends with exit code
1 if a page is out of date.
"""

import argparse
import inspect
import sys
import types
import typing
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path

import msgspec

from shipper.config.load import PLACES, VARIABLE
from shipper.config.model import Config
from shipper.config.section import Section
from shipper.config.units import ByteSize, HostList, Seconds, Secret
from shipper.metrics import METRICS, Metric

_DOCS = Path(__file__).parent.parent / "docs"

_NOTICE = "<!-- Generated from the code by `./dev docs`: a change made here is lost. -->\n"

_INTRODUCTION = f"""\
# Configuration

One YAML file. It is looked for at these places, and the first one named is read:

1. `-c FILE` on the command line,
2. the file that the environment variable `{VARIABLE}` names,
3. {", ".join(f"`{place}`" for place in PLACES)}.

`shipper check` reads it and says what is wrong in it, by key and line, or else what is wrong with
the files and the cluster that it names. A key that is not on this page is an error.

## The least

```yaml
inputs:
  - id: tetragon                            # what is remembered of the files belongs to this name
    paths: [/var/run/cilium/tetragon/*.log]
output:
  hosts: [https://es-1:9200]
```

## What is usually set

```yaml
inputs:
  - id: tetragon
    paths:
      - /var/run/cilium/tetragon/*.log      # Tetragon's charts up to 1.7
      - /var/log/tetragon/*.log             # later ones
    tags: [production]
    fields:
      team: platform
data_dir: /var/lib/shipper                  # a volume of the node: it has to outlive the pod
output:
  hosts:                                    # taken in turn; one that fails rests
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
    typing.Any: "anything",
}


def pages() -> dict[str, str]:
    """The content of each page, by the name of its file in docs/."""
    return {"configuration.md": _configuration(), "metrics.md": _metrics()}


def main(arguments: Sequence[str] | None = None, directory: Path = _DOCS) -> int:
    """Writes the pages into `directory`, or checks those in it; returns the exit code."""
    parser = argparse.ArgumentParser(
        "python -m shipper.reference", description="Writes the reference pages in docs/."
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
        rows = [_option_row(path, found) for found in msgspec.structs.fields(section)]
        if rows:
            head = "| Key | Value | Default | Meaning |\n|---|---|---|---|\n"
            parts.append(head + "".join(rows))
    return "\n".join(parts)


def _sections(path: str, section: type[Section]) -> Iterator[tuple[str, type[Section]]]:
    """A section and those in it, each with the path of its keys."""
    yield path, section
    for found in msgspec.structs.fields(section):
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

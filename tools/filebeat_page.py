"""docs/filebeat.md, made from the tables of the options."""

from shipper.config.filebeat.options import Option, Section, Support
from shipper.config.filebeat.translate import NAMES, SECTIONS
from shipper.config.filebeat.unknown import own_options

_INTRODUCTION = """\
# Filebeat's configuration

shipper reads a `filebeat.yml` as it is. It recognizes the file by its keys (`filebeat.inputs`,
`output.elasticsearch`), and also looks for it at `/usr/share/filebeat/filebeat.yml`. If you
followed Elastic's Tetragon guide, you change one line, the image ([deploy.md](deploy.md) has the
steps). The first start imports Filebeat's offsets from its registry in `path.data`: no line is
skipped, and lines that Filebeat saved as shipped are not sent again
([filebeat-registry.md](filebeat-registry.md)). `processors` work as in Filebeat
([processors.md](processors.md)); those of the guide cost no CPU per event.

The tables below have each option of these inputs, of the output and of the rest:

| | |
|---|---|
| honoured | the option has its effect |
| this value | the option may have the value that shipper uses anyway; another value is refused |
| ignored | the option cannot matter here; the log and `shipper check` name it once |
| refused | shipper does not start, and names the line and what to do instead |

No option is silently dropped. Filebeat ignores an option that it does not know, and shipper does so
too, with a warning: an option of the other type of input, or of an earlier version, is named with
what it is called here. An option of shipper's own format is refused, with its name in Filebeat's
format or [below `shipper`](#options-of-shipper). An option that is not known is refused, too, where
a required one is missing that it is like. Keys that variables name may be called anything.

What has no effect is as if it were not there, as in Filebeat: empty lists, what is below
`enabled: false`, and variables without a value in options that nobody looks at.

Options that Filebeat does not have, such as `watchdog` or `format: ecs`, are set
[below `shipper`](#options-of-shipper). `shipper convert filebeat.yml` prints the file in shipper's
own format ([below](#a-configuration)).

Where the file says nothing, shipper's own defaults are used ([configuration.md](configuration.md)),
except for what decides which lines are shipped: a line may have 10 MiB, and files that are symbolic
links are skipped, as in Filebeat.

## A configuration

Elastic's guide has this one:

```yaml
filebeat.inputs:
  - type: filestream
    id: tetragon-log
    enabled: true
    paths:
      - /var/run/cilium/tetragon/*.log
path.data: /usr/share/filebeat/data
processors:
  - timestamp:
      field: "time"
      layouts:
        - '2006-01-02T15:04:05Z'
        - '2006-01-02T15:04:05.999Z'
        - '2006-01-02T15:04:05.999-07:00'
setup.template.name: logs
setup.template.pattern: "logs-cilium_tetragon.*"
output.elasticsearch:
  hosts: ["https://es-1:9200"]
  username: "${ELASTICSEARCH_USERNAME:elastic}"
  password: "${ELASTICSEARCH_PASSWORD:changeme}"
  index: logs-cilium_tetragon.log-default
```

`shipper convert filebeat.yml` prints the same in shipper's own dialect, with a comment where
something differs. Variables stay variables in it, and no secret of the environment is printed.

## What is different in the documents

They have the fields that Filebeat's have ([documents.md](documents.md)), with these differences:

- `@timestamp` is the event's own `time`. With Filebeat it is the time of reading: the guide's
  `timestamp` processor looks for a field `time`, which a line that is not decoded has not.
- `_id` is made from the file's content, the offset and a checksum, so that a line that is sent
  again is not stored again. Identical files of two nodes are stored as one:
  `shipper.output.ids: node` tells them apart ([documents.md](documents.md#document-ids)).
- `agent.type` and `agent.version` are `shipper` and its version; `ecs.version` is that of the
  integration; `event.*`, `data_stream.*` and `log.file.fingerprint` are there too.

## Variables

| Written | Means |
|---|---|
| `${NAME}` | another key of the file (`${path.data}`), or else a variable of the environment |
| `${NAME:default}` | the same, or the default; a default may have variables in it |
| `${NAME:+other}` | `other` if it is set, or else nothing |
| `${NAME:?message}` | the same, or an error with this message |
| `$$`, `$}` | `$`, `}` |

A variable that is set and empty is one that is not set, and that is an error where nothing stands
in for it and the option is used. It is none below `enabled: false`, in an option that is ignored,
and in `cloud.id` and `cloud.auth`, which Filebeat's manifest for Kubernetes has for those who set
the variables. A keystore is not read. Where one text is expected, a value is that text whatever is
in it: a password with commas is no list, and one with a `$` before a letter keeps it (Filebeat
drops it).

Several files are laid over one another, key by key and list element by list element, and so is
`-E KEY=VALUE`.

## The command line

The image has a command `filebeat` that knows these:

    filebeat [run] [-e] [-c FILE]... [-E KEY=VALUE]... [--path.home DIR] [--path.config DIR]
             [--path.data DIR] [--path.logs DIR] [--strict.perms=false] [--environment NAME]
    filebeat test config | test output
    filebeat version

Arguments without a command are enough, as in Filebeat's image. A flag with one dash is taken as one
with two. `-d`, `-v`, `--strict.perms` and `--environment` change nothing; the owner of the file is
not looked at. Other flags and commands are refused, with what to do instead.
"""

_PROCESSORS = """\
## Processors

They are those of [processors.md](processors.md), in Filebeat's own words.
"""

_OWN = """\
## Options of shipper

What Filebeat has no option for is set below `shipper`, with the names of shipper's own format
([configuration.md](configuration.md)): at the top of the file, or, for an option of inputs, in the
input. Filebeat ignores this key, so it can still read the file. Variables, several files and
`-E shipper.watchdog=2m` work as with the other options. An option that is unknown, or that
Filebeat has, is refused with its line and what to write.

    shipper:
      watchdog: 2m
      config.reload: true
      admin:
        token_file: /run/secrets/metrics-token
        tls:
          certificate: /run/tls/tls.crt
          key: /run/tls/tls.key
    filebeat.inputs:
      - type: filestream
        paths: [/var/run/cilium/tetragon/*.log]
        shipper:
          format: ecs
          require_files: true

| Where | Options |
|---|---|
"""

_WORDS = {
    Support.HONOURED: "honoured",
    Support.FIXED: "this value",
    Support.IGNORED: "ignored",
    Support.REFUSED: "refused",
}


def page() -> str:
    """The whole page, without the notice that it is generated."""
    return "\n".join([_INTRODUCTION, _own(), *map(_section, SECTIONS), _PROCESSORS])


def _own() -> str:
    """The options that are below `shipper`."""
    options = list(own_options(NAMES))
    of_inputs = [name for name in options if name.startswith("inputs[].")]
    others = [name for name in options if name not in of_inputs]
    rows = (
        ("at the top of the file", [f"shipper.{name}" for name in others]),
        ("in an input", [f"shipper.{name.removeprefix('inputs[].')}" for name in of_inputs]),
    )
    return _OWN + "".join(
        f"| {where} | {', '.join(f'`{name}`' for name in names)} |\n" for where, names in rows
    )


def _section(section: Section) -> str:
    prefix = f"Below `{section.prefix}`. " if section.prefix else ""
    notes = f"{prefix}{section.notes}".strip()
    rows = "".join(_row(option) for option in section.options)
    return (
        f"## {section.title}\n\n"
        + (f"{notes}\n\n" if notes else "")
        + f"| Option | | |\n|---|---|---|\n{rows}"
    )


def _row(option: Option) -> str:
    says = option.description
    if not says.startswith("shipper"):
        says = says[:1].upper() + says[1:]
    if option.support is Support.FIXED:
        allowed = " or ".join(f"`{_written(each)}`" for each in option.only)
        says = f"{allowed}. {says}"
    says = says if says.endswith((".", "?")) else f"{says}."
    return f"| `{option.name}` | {_WORDS[option.support]} | {says} |\n".replace("``", '`""`')


def _written(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

"""The inputs: `filestream`, and `log`, whose options have other names."""

import os
import re

from shipper.config.filebeat import processors
from shipper.config.filebeat.draft import Draft, Value, gather, transfer
from shipper.config.filebeat.options import Option, Section, fixed, honoured, ignored, refused
from shipper.config.filebeat.tree import Node
from shipper.config.filebeat.values import (
    anything,
    boolean,
    deep_merge,
    duration,
    duration_text,
    items,
    mapping,
    size,
    text,
    texts,
)

#: Filebeat's own, for both types: a line of this length is still one document there.
_MESSAGE_MAX_BYTES = 10 * 1024**2

_FILTER = (
    "`inputs[].events` of our own dialect selects events by what they are (type, namespace, pod, "
    "binary): `shipper convert` writes the rest of the file in it"
)
_OWN_PACE = "changes are noticed as they happen, and a file is read when there is something to read"
_UNTIL_DONE = "a file is left when it is gone, read to its end and acknowledged, and never before"
_BY_CONTENT = "files are known by their content"
_KEPT = "what is forgotten, and when, is `registry.forget_after` of our own dialect"
_OPEN_FILES = "files that are done cost no more than a descriptor"
_DECODED = (
    "leave it out: the line is shipped as it is, for the ingest pipeline; the processor "
    "`decode_json_fields` decodes it before"
)
_ONE_LINE = "leave it out: a line is an event in Tetragon's logs"

_COMMON: tuple[Option, ...] = (
    honoured(
        "type",
        text,
        "`filestream` or `log`. All others are refused.",
    ),
    honoured("enabled", boolean, "An input with `false` is left out."),
    honoured(
        "paths",
        texts,
        "Absolute globs. `**` stands for any depth, where Filebeat's ends at 8.",
        "paths",
    ),
    honoured(
        "ignore_older",
        duration,
        "Of a file that is not known and that old, only what is added is shipped.",
        "ignore_older",
    ),
    honoured("tags", texts, "Behind those at the top of the file."),
    honoured("fields", mapping, "Merged with those at the top of the file, and over them."),
    honoured("fields_under_root", boolean, "As in Filebeat: they win over the fields of shipper."),
    honoured(
        "processors", items, "See [processors](#processors). They come before those at the top."
    ),
    honoured(
        "pipeline", text, "As `output.elasticsearch.pipeline`, if all inputs name the same one."
    ),
    honoured("index", text, "As `output.elasticsearch.index`, if all inputs name the same one."),
    fixed("encoding", text, ("plain", "utf-8", ""), "Tetragon writes UTF-8."),
    fixed(
        "line_terminator", text, ("auto", "line_feed"), "Lines end with LF; a CR before it goes."
    ),
    fixed("keep_null", boolean, (False,), "Fields without a value are left out."),
    fixed(
        "publisher_pipeline.disable_host",
        boolean,
        (False,),
        "Each document has `host.name`; drop_fields can drop it.",
    ),
    refused("include_lines", _FILTER),
    refused("exclude_lines", _FILTER),
    ignored("harvester_limit", f"all files are read at once, {_OPEN_FILES}"),
    ignored("clean_inactive", _KEPT),
    ignored("clean_removed", _KEPT),
    ignored("file_identity.*", _BY_CONTENT),
)

_FILESTREAM: tuple[Option, ...] = (
    honoured(
        "id",
        text,
        "The name that what is remembered of the files belongs to. Without it: `filestream`.",
        "id",
    ),
    honoured(
        "message_max_bytes",
        size,
        "As `max_line_bytes`; 10 MiB, as in Filebeat, if it is not set.",
        "max_line_bytes",
    ),
    honoured(
        "seek_to_tail",
        boolean,
        "`true`: of the files that are there at the first start, only what is added is shipped. "
        "Files that come later are read as a whole, where Filebeat skips their beginning too.",
    ),
    honoured(
        "prospector.scanner.check_interval",
        duration,
        "As `scan_interval`. It is for where the kernel does not tell of changes.",
        "scan_interval",
    ),
    honoured(
        "prospector.scanner.exclude_files",
        texts,
        "Regular expressions of text, `.`, `.*`, `^` and `$`, which become globs; others are "
        "refused.",
    ),
    honoured(
        "prospector.scanner.symlinks",
        boolean,
        "As `symlinks`; `false`, as in Filebeat, if it is not set.",
        "symlinks",
    ),
    honoured(
        "compression",
        text,
        "`auto`: gzips of rotated logs are read where the log itself went too "
        "soon, which is so without it as well; `none`: never. `gzip` is refused.",
    ),
    fixed("prospector.scanner.recursive_glob", boolean, (True,), "`**` is always understood."),
    fixed(
        "prospector.scanner.resend_on_touch",
        boolean,
        (False,),
        "What was shipped is not shipped again.",
    ),
    fixed("delete.enabled", boolean, (False,), "shipper deletes no log; Tetragon does."),
    fixed(
        "allow_deprecated_id_duplication", boolean, (False,), "Give each input an id of its own."
    ),
    fixed("include_file_owner_name", boolean, (False,), "There is no such field."),
    fixed("include_file_owner_group_name", boolean, (False,), "There is no such field."),
    refused("prospector.scanner.include_files", "name them in `paths`"),
    refused(
        "ignore_inactive",
        "`ignore_older` leaves out what is old, `seek_to_tail` what is there at the first start",
    ),
    honoured(
        "parsers", items, "An empty list. Any parser is refused: the line is shipped as it is."
    ),
    ignored("buffer_size", "blocks are as large as reads are fast"),
    ignored("backoff.*", _OWN_PACE),
    ignored("close.*", _UNTIL_DONE),
    ignored("read_until_eof.*", _UNTIL_DONE),
    ignored("delete.grace_period", "shipper deletes no log"),
    ignored("legacy_clean_inactive", _KEPT),
    ignored("prospector.scanner.fingerprint.*", f"{_BY_CONTENT}, from their first line on"),
    ignored("rotation.*", "files that are copied and truncated are recognised"),
    ignored("take_over.*", _BY_CONTENT),
)

_LOG: tuple[Option, ...] = (
    honoured("id", text, "As of a `filestream`. Without it: `log:` and the paths.", "id"),
    honoured("max_bytes", size, "As `message_max_bytes` of a `filestream`.", "max_line_bytes"),
    honoured("tail_files", boolean, "As `seek_to_tail` of a `filestream`."),
    honoured("scan_frequency", duration, "As `scan_interval`.", "scan_interval"),
    honoured("exclude_files", texts, "As `prospector.scanner.exclude_files` of a `filestream`."),
    honoured(
        "symlinks", boolean, "As `symlinks`; `false`, as in Filebeat, if it is not set.", "symlinks"
    ),
    fixed("recursive_glob.enabled", boolean, (True,), "`**` is always understood."),
    fixed("allow_deprecated_use", boolean, (True, False), "The input `log` needs no leave here."),
    refused("json.*", _DECODED),
    refused("multiline.*", _ONE_LINE),
    refused("docker-json.*", "name a file that no container runtime wraps"),
    refused("input_type", "write `type`"),
    ignored("harvester_buffer_size", "blocks are as large as reads are fast"),
    ignored("backoff", _OWN_PACE),
    ignored("backoff_factor", _OWN_PACE),
    ignored("max_backoff", _OWN_PACE),
    ignored("close_inactive", _UNTIL_DONE),
    ignored("close_renamed", _UNTIL_DONE),
    ignored("close_removed", _UNTIL_DONE),
    ignored("close_eof", _UNTIL_DONE),
    ignored("close_timeout", _UNTIL_DONE),
    ignored("scan.order", "all files are read at once"),
    ignored("scan.sort", "all files are read at once"),
)

FILESTREAM = Section(
    "filebeat.inputs[]",
    "Inputs",
    (*_COMMON, *_FILESTREAM),
    "Of type `filestream`. An input of type `container` is refused, because it never means a plain "
    "file: it takes off what a container runtime puts around each line of standard output. "
    "Tetragon's own file has its events without that.",
)
LOG = Section("filebeat.inputs[]", "Inputs of type `log`", (*_COMMON, *_LOG))

_CONTAINER = (
    "read Tetragon's own file instead: type filestream, paths: [/var/run/cilium/tetragon/*.log]"
)


def translate(
    inputs: Value, top: dict[str, Value], draft: Draft, named: frozenset[str]
) -> dict[str, Value]:
    """Makes `inputs` of ours; returns what they say of the output (`pipeline`, `index`).

    `top`: what is set at the top of the file.

    Raises ConfigError.
    """
    of_output: list[dict[str, Value]] = []
    for index, node in enumerate(items(inputs.node)):
        key = f"filebeat.inputs[{index}]"
        if not isinstance(node.content, dict):
            raise node.error(key, "expected keys with values")
        if _is_off(node, key):
            continue
        found = gather(_section(node, key), node, key, draft, named)
        _translate_one(len(of_output), Value(None, node, key), found, top, draft)
        of_output.append({name: found[name] for name in ("pipeline", "index") if name in found})
    if not of_output:
        raise inputs.error("no input is enabled", "shipper needs one at least")
    draft.origins["inputs",] = inputs
    return _agreed(of_output)


def _is_off(node: Node, key: str) -> bool:
    enabled = node.content.get("enabled") if isinstance(node.content, dict) else None
    if enabled is None or enabled.is_null:
        return False
    try:
        return not boolean(enabled)
    except ValueError as error:
        raise enabled.error(f"{key}.enabled", str(error)) from None


def _section(node: Node, key: str) -> Section:
    kind = node.content.get("type") if isinstance(node.content, dict) else None
    if kind is None:
        raise node.error(key, "it has no type", "type: filestream")
    match anything(kind):
        case "filestream":
            return FILESTREAM
        case "log":
            return LOG
        case "container" | "docker":
            raise kind.error(
                f"{key}.type", "shipper reads no logs that a container runtime wrapped", _CONTAINER
            )
    raise kind.error(f"{key}.type", "there is no such input here", "filestream or log")


def _translate_one(
    index: int, whole: Value, found: dict[str, Value], top: dict[str, Value], draft: Draft
) -> None:
    base = ("inputs", index)
    section = _section(whole.node, whole.key)
    is_log = section is LOG
    if "paths" not in found:
        raise whole.error("it has no paths")
    paths = found["paths"]
    _check_paths(paths)
    draft.put((*base, "id"), _default_id(is_log, paths), whole)
    draft.assume((*base, "paths"), [])
    draft.assume((*base, "max_line_bytes"), _MESSAGE_MAX_BYTES)
    draft.assume((*base, "symlinks"), False)
    transfer(section, found, draft, base)
    if (tail := found.get("seek_to_tail") or found.get("tail_files")) and tail.value:
        draft.put((*base, "start_at"), "end", tail)
    if excluded := found.get("prospector.scanner.exclude_files") or found.get("exclude_files"):
        draft.put((*base, "exclude"), _globs(excluded), excluded)
    if older := found.get("ignore_older"):
        # What is off in Filebeat has a number, which is that in ours, too.
        draft.put((*base, "ignore_older"), older.value or duration_text(0), older)
    _compression(base, found, draft)
    _parsers(found)
    _fields(base, found, top, draft)
    processors.hand_over(found.get("processors"), base, draft)


def _default_id(is_log: bool, paths: Value) -> str:
    assert isinstance(paths.value, list)
    # Of the type filestream Filebeat allows one input without an id, of the type log any number.
    return f"log:{','.join(paths.value)}" if is_log else "filestream"


def _check_paths(paths: Value) -> None:
    assert isinstance(paths.value, list)
    for path in paths.value:
        if not os.path.isabs(path):
            raise paths.error(f"`{path}` is not absolute", "begin it with /")


def _compression(base: tuple[str | int, ...], found: dict[str, Value], draft: Draft) -> None:
    value = found.get("compression")
    if value is None:
        return
    match value.value:
        case "auto":
            draft.put((*base, "compressed"), True, value)
        case "none" | "":
            draft.put((*base, "compressed"), False, value)
        case _:
            raise value.error("it can only be `auto` or `none` here")


def _parsers(found: dict[str, Value]) -> None:
    value = found.get("parsers")
    if value is None or not value.value:
        return
    node = items(value.node)[0]
    name = next(iter(node.content)) if isinstance(node.content, dict) and node.content else ""
    advice = {
        "ndjson": _DECODED,
        "multiline": _ONE_LINE,
        "container": _CONTAINER,
        "include_message": _FILTER,
    }
    raise node.error(
        f"{value.key}[0].{name}",
        "shipper has no such option",
        advice.get(name, "leave it out: the line is shipped as it is"),
    )


def _fields(
    base: tuple[str | int, ...], found: dict[str, Value], top: dict[str, Value], draft: Draft
) -> None:
    """Those of the top and of the input together, each where its `fields_under_root` says."""
    tags = [value for value in (top.get("tags"), found.get("tags")) if value]
    if tags:
        both = [tag for value in tags if isinstance(value.value, list) for tag in value.value]
        draft.put((*base, "tags"), both, tags[-1])
    sources = [
        (value, bool(under and under.value))
        for value, under in (
            (top.get("fields"), top.get("fields_under_root")),
            (found.get("fields"), found.get("fields_under_root")),
        )
        if value and value.value
    ]
    if not sources:
        return
    under_root = any(is_under for _, is_under in sources)
    merged: dict[str, object] = {}
    for value, is_under in sources:
        assert isinstance(value.value, dict)
        here = value.value if is_under or not under_root else {"fields": value.value}
        merged = deep_merge(merged, here)
    draft.put((*base, "fields"), merged, sources[-1][0])
    if under_root:
        draft.assume((*base, "fields_under_root"), True)


def _globs(value: Value) -> list[str]:
    assert isinstance(value.value, list)
    return [glob for expression in value.value for glob in _glob(expression, value)]


_REGEX = re.compile(r"\.\*|\.\+|\\[^A-Za-z0-9]|[^\\\[\](){}|*+?^$]")


def _glob(expression: str, value: Value) -> list[str]:
    """A regular expression, which is looked for anywhere in a path, as globs of the whole path."""
    inner = expression.removeprefix("^")
    is_anchored = inner != expression
    ends = inner.endswith("$") and not inner.endswith("\\$")
    inner = inner[:-1] if ends else inner
    while not is_anchored and inner.startswith(".*"):
        inner = inner[2:]
    parts = _REGEX.findall(inner)
    if "".join(parts) != inner:
        raise value.error(
            f"`{expression}` cannot be written as a glob",
            "use text, `.`, `.*`, `^` and `$` alone, or several expressions",
        )
    glob = "".join(
        {".": "?", ".*": "*", ".+": "?*"}.get(part) or _literal(part[-1]) for part in parts
    )
    glob = re.sub(r"\*+", "*", glob if ends else f"{glob}*")
    if is_anchored:
        return [glob]
    anywhere = re.sub(r"\*+", "*", f"/*{glob}")
    return [glob, anywhere] if glob.startswith("/") else [anywhere]


def _literal(character: str) -> str:
    return f"[{character}]" if character in "*?[" else character


def _agreed(of_inputs: list[dict[str, Value]]) -> dict[str, Value]:
    """What all inputs say of the output alike: shipper has one place for all of them."""
    agreed: dict[str, Value] = {}
    for name in ("pipeline", "index"):
        said = [found[name] for found in of_inputs if name in found]
        if not said:
            continue
        if len(said) < len(of_inputs) or len({str(value.value).lower() for value in said}) > 1:
            raise said[0].error(
                "all inputs go to one place here, and not all of them name it",
                f"set output.elasticsearch.{name}",
            )
        agreed[name] = said[0]
    return agreed

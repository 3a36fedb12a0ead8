"""What inputs of Filebeat become."""

import difflib

from shipper.config.filebeat import own, processors
from shipper.config.filebeat.draft import Draft, Path, Value
from shipper.config.filebeat.gathering import gather, is_off, transfer
from shipper.config.filebeat.globs import globs
from shipper.config.filebeat.input_options import (
    CONTAINER,
    DECODED,
    FILESTREAM,
    FILTER,
    LOG,
    ONE_LINE,
)
from shipper.config.filebeat.options import Section
from shipper.config.filebeat.tree import Node
from shipper.config.filebeat.values import (
    anything,
    duration_text,
    items,
)
from shipper.config.merging import merged

#: Filebeat's own, for both types: a line of this length is still one document there.
_MESSAGE_MAX_BYTES = 10 * 1024**2

_FINGERPRINT = "prospector.scanner.fingerprint"


def translate(
    inputs: Value, top: dict[str, Value], draft: Draft, named: frozenset[str]
) -> dict[str, Value]:
    """Makes `inputs` of ours; returns what they say of the output (`pipeline`, `index`).

    `top`: what is set at the top of the file. What is wrong with one input is reported, and the
    next one is read; raises ConfigError for what is wrong with all of them.
    """
    of_output: list[dict[str, Value]] = []
    of_filestreams: list[dict[str, Value]] = []
    enabled = 0
    for index, node in enumerate(items(inputs.node)):
        key = f"filebeat.inputs[{index}]"
        if is_off(node):
            continue
        enabled += 1
        with draft.problems:
            section = _section(node, key, draft)
            if section is None:
                continue
            of_our_own = own.take(node)
            found = gather(section, node, key, draft, named)
            whole = Value(None, node, key)
            _translate_one(section, len(of_output), whole, found, top, draft)
            own.translate_input(of_our_own, key, ("inputs", len(of_output)), draft)
            of_output.append({name: found[name] for name in ("pipeline", "index") if name in found})
            if section is FILESTREAM:
                of_filestreams.append(found)
    if not enabled:
        raise inputs.error("no input is enabled", "enable at least one")
    if not of_output:
        draft.spoil(("inputs",))
    draft.origins["inputs",] = inputs
    with draft.problems:
        _fingerprint(of_filestreams, draft)
    return _agreed(of_output, draft)


def _section(node: Node, key: str, draft: Draft) -> Section | None:
    """The options of an input of its type; None if it cannot be told, which was reported."""
    if node.is_invalid:
        draft.report_unresolved(node)
        return None
    if not isinstance(node.content, dict):
        raise node.error(key, "expected keys with values", "write such as `- type: filestream`")
    kind = node.content.get("type")
    if kind is None or kind.is_null:
        near = difflib.get_close_matches("type", node.content, n=1)
        if near:
            draft.problems.report(
                node.content[near[0]].error(
                    f"{key}.{near[0]}", "unknown option", "did you mean `type`?"
                )
            )
            return None
        raise node.error(f"{key}.type", "required option is missing", "add `type: filestream`")
    if kind.is_invalid:
        draft.report_unresolved(kind)
        return None
    match anything(kind):
        case "filestream":
            return FILESTREAM
        case "log":
            return LOG
        case "container" | "docker":
            raise kind.error(
                f"{key}.type", "unsupported input: logs of a container runtime", CONTAINER
            )
    raise kind.error(f"{key}.type", "unsupported input", "use filestream or log")


def _translate_one(
    section: Section,
    index: int,
    whole: Value,
    found: dict[str, Value],
    top: dict[str, Value],
    draft: Draft,
) -> None:
    base = ("inputs", index)
    if paths := found.get("paths"):
        draft.put((*base, "id"), _default_id(section is LOG, paths), whole)
        draft.assume((*base, "paths"), [])
    else:
        if draft.is_missing(f"{whole.key}.paths", found, "paths"):
            missing = f"{whole.key}.paths"
            advice = "list the files to follow, such as [/var/run/cilium/tetragon/*.log]"
            draft.problems.report(whole.node.error(missing, "required option is missing", advice))
        draft.spoil((*base, "id"))
        draft.spoil((*base, "paths"))
    if section is LOG and (kind := found.get("type")):
        draft.put((*base, "type"), "log", kind)
    draft.assume((*base, "max_line_bytes"), _MESSAGE_MAX_BYTES)
    draft.assume((*base, "symlinks"), False)
    transfer(section, found, draft, whole.key, base)
    if (tail := found.get("seek_to_tail") or found.get("tail_files")) and tail.value:
        draft.put((*base, "start_at"), "end", tail)
    if excluded := found.get("prospector.scanner.exclude_files") or found.get("exclude_files"):
        with draft.problems:
            draft.put((*base, "exclude"), globs(excluded), excluded)
    if older := found.get("ignore_older"):
        # What is off in Filebeat has a number, which is that in ours, too.
        draft.put((*base, "ignore_older"), older.value or duration_text(0), older)
    with draft.problems:
        _compression(base, found, draft)
    with draft.problems:
        _parsers(found)
    _fields(base, found, top, draft)
    processors.pass_on(found.get("processors"), base, draft)


def _default_id(is_log: bool, paths: Value) -> str:
    assert isinstance(paths.value, list)
    # Of the type filestream Filebeat allows one input without an id, of the type log any number.
    return f"log:{','.join(paths.value)}" if is_log else "filestream"


def _compression(base: Path, found: dict[str, Value], draft: Draft) -> None:
    value = found.get("compression")
    if value is None:
        return
    match value.value:
        case "auto":
            draft.put((*base, "compressed"), True, value)
        case "none" | "":
            draft.put((*base, "compressed"), False, value)
        case _:
            raise value.error("not a supported value", "use `auto` or `none`")


def _parsers(found: dict[str, Value]) -> None:
    value = found.get("parsers")
    if value is None or not value.value:
        return
    node = items(value.node)[0]
    name = next(iter(node.content)) if isinstance(node.content, dict) and node.content else ""
    advice = {
        "ndjson": DECODED,
        "multiline": ONE_LINE,
        "container": CONTAINER,
        "include_message": FILTER,
    }
    raise node.error(
        f"{value.key}[0].{name}",
        "unsupported option",
        advice.get(name, "leave it out: the line is shipped as it is"),
    )


def _fields(base: Path, found: dict[str, Value], top: dict[str, Value], draft: Draft) -> None:
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
    fields: dict[str, object] = {}
    for value, is_under in sources:
        assert isinstance(value.value, dict)
        here = value.value if is_under or not under_root else {"fields": value.value}
        fields = merged(fields, here)
    draft.put((*base, "fields"), fields, sources[-1][0])
    if under_root:
        draft.assume((*base, "fields_under_root"), True)


def _fingerprint(of_inputs: list[dict[str, Value]], draft: Draft) -> None:
    """Which bytes Filebeat knew its files by, where it was by their fingerprints: its registry does
    not say it, and is read for all inputs at once."""
    enabled = f"{_FINGERPRINT}.enabled"
    asking = [found for found in of_inputs if enabled not in found or found[enabled].value]
    for key, default in (("offset", 0), ("length", 1024)):
        name = f"{_FINGERPRINT}.{key}"
        said = [found[name] for found in asking if name in found]
        if not said:
            continue
        if len({found[name].value if name in found else default for found in asking}) > 1:
            raise said[0].error(
                f"not the same for all inputs (the default is {default})",
                "Filebeat's registry is imported with one value: set the same for all inputs, or "
                f"{enabled}: false for inputs without fingerprints",
            )
        draft.put(("registry", f"import_fingerprint_{key}"), said[0].value, said[0])


def _agreed(of_inputs: list[dict[str, Value]], draft: Draft) -> dict[str, Value]:
    """What all inputs say of the output alike: shipper has one place for all of them."""
    agreed: dict[str, Value] = {}
    for name in ("pipeline", "index"):
        said = [found[name] for found in of_inputs if name in found and found[name].value]
        if not said:
            continue
        if len(said) < len(of_inputs) or len({str(value.value).lower() for value in said}) > 1:
            draft.problems.report(
                said[0].error(
                    "not the same for all inputs, which have one output",
                    f"set output.elasticsearch.{name} instead",
                )
            )
        agreed[name] = said[0]
    return agreed

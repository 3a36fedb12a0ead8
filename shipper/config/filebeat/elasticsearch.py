"""`output.elasticsearch`: where to, as whom, and how."""

import re
from collections.abc import Mapping

from shipper.config.filebeat import connection, hosts, queue
from shipper.config.filebeat.draft import Draft, Value
from shipper.config.filebeat.gathering import transfer
from shipper.config.filebeat.options import Section, honoured, ignored, refused
from shipper.config.filebeat.tree import Node
from shipper.config.filebeat.values import (
    boolean,
    duration,
    duration_text,
    items,
    number,
    seconds,
    text,
    texts,
)

_ONE_PLACE = (
    "shipper sends all events to one place: name it in `index`, or route in the cluster with an "
    "ingest pipeline (processor `reroute`)"
)
_ONE_PIPELINE = "name one pipeline in `pipeline`, which may call others by condition"
_DEAD_LETTER = (
    "leave it out: what is refused for good goes to dead-letter.ndjson in `path.data`, with the "
    "reason, and nothing is dropped"
)
_LIMITER = "how many requests are under way, the cluster's answers decide"

SECTION = Section(
    "output.elasticsearch",
    "The output",
    (
        honoured("enabled", boolean, "With `false` it is as if it were not there."),
        honoured(
            "hosts",
            texts,
            "Without a scheme they get that of `protocol`, without a port 9200, and behind it "
            "`path`, as in Filebeat. They are taken in turn. A user and a password in a URL are "
            "taken out of it, and become `output.username` and `output.password`; they have to be "
            "the same for all hosts.",
        ),
        honoured("protocol", text, "`http`, which is the default, or `https`."),
        honoured("path", text, "A path that stands behind hosts that have none."),
        honoured(
            "index",
            text,
            "The name of a data stream (`TYPE-DATASET-NAMESPACE`): `output.data_stream`. Another "
            "name, or a pattern: `output.index`. Required: Filebeat's default, a data stream of "
            "its own with its version in its name, has no template here.",
        ),
        honoured(
            "indices",
            items,
            "One rule with an `index` and without a condition, in place of `index`. Others are "
            "refused.",
        ),
        honoured("pipeline", text, "As `output.pipeline`, in small letters. `_none` is none."),
        honoured(
            "pipelines",
            items,
            "One rule with a `pipeline` and without a condition, in place of `pipeline`. Others "
            "are refused.",
        ),
        honoured("username", text, "As `output.username`.", "output.username"),
        honoured("password", text, "As `output.password`.", "output.password"),
        honoured("api_key", text, "As `output.api_key`: `id:key`, or encoded.", "output.api_key"),
        *connection.OPTIONS,
        honoured(
            "compression_level",
            number,
            "`0`: as `output.compression: none`. `1` to `9`: gzip, at the level that costs least.",
        ),
        honoured(
            "bulk_max_size", number, "As `output.bulk.max_events`. `0` sets no bound of its own."
        ),
        honoured("timeout", duration, "As `output.timeout`.", "output.timeout"),
        honoured("backoff.init", duration, "As `output.backoff.initial`."),
        honoured("backoff.max", duration, "As `output.backoff.max`."),
        honoured(
            "preset",
            text,
            "As `output.preset`, with numbers of our own. It wins over `bulk_max_size`, "
            "`compression_level` and `queue.mem.flush.timeout`, as in Filebeat. `custom`: none.",
        ),
        honoured(
            "loadbalance",
            boolean,
            "`true`, or, with one host, `false`. Hosts are taken in turn; to use one, give one.",
        ),
        refused("parameters", "a proxy, or the settings of the index, can have them"),
        refused("non_indexable_policy.*", _DEAD_LETTER),
        ignored("worker", _LIMITER),
        ignored("workers", _LIMITER),
        ignored("max_retries", "events are sent again until they are there, as in Filebeat"),
        ignored("escape_html", "it makes no difference to a document"),
        ignored("allow_older_versions", "any version that knows data streams will do"),
        *queue.OPTIONS,
    ),
    elsewhere={
        "ssl.certificate_key": "ssl.key",
        "ssl.insecure": "ssl.verification_mode: none",
        "tls.certificate_authorities": "ssl.certificate_authorities",
        "tls.certificate_key": "ssl.key",
        "flush_interval": "queue.mem.flush.timeout",
        "template": "setup.template",
    },
)

#: What a preset decides, in Filebeat and here.
_OF_PRESETS = ("bulk_max_size", "compression_level", "queue.mem.flush.timeout")

_DATA_STREAM = re.compile(r"[^-%]+-[^-%]+-[^-%]+")
#: Filebeat's defaults, in seconds.
_FIRST_BACKOFF, _MOST_BACKOFF = 1.0, 60.0
_NO_BOUND_EVENTS = 100_000


def translate(
    whole: Value,
    found: dict[str, Value],
    of_inputs: Mapping[str, Value],
    draft: Draft,
    *,
    needs_hosts: bool,
) -> None:
    """Makes `output` of ours; `of_inputs`: what the inputs say of it.

    What is wrong is reported.
    """
    problems = draft.problems
    draft.put(("output",), {}, whole)
    if "hosts" in found:
        draft.spoil(("output", "hosts"))
        with problems:
            hosts.translate(found["hosts"], found, draft)
    elif needs_hosts and draft.is_missing(f"{whole.key}.hosts", found, "hosts"):
        _report_missing("hosts", "add it, such as [https://es-1:9200]", whole, draft)
    with problems:
        _index(whole, found, of_inputs, draft)
    with problems:
        _pipeline(found, of_inputs, draft)
    found = _without_what_the_preset_decides(found, draft)
    transfer(SECTION, found, draft, whole.key)
    if "hosts" in found:
        with problems:
            hosts.translate_credentials(found["hosts"], found, draft)
    connection.translate(found, draft)
    queue.translate(found, draft)
    if level := found.get("compression_level"):
        if 0 <= int(str(level.value)) <= 9:
            draft.put(("output", "compression"), "gzip" if level.value else "none", level)
        else:
            problems.report(level.error("out of range", "use 0 to 9"))
    if events := found.get("bulk_max_size"):
        most = int(str(events.value))
        draft.put(("output", "bulk", "max_events"), most if most > 0 else _NO_BOUND_EVENTS, events)
    _backoff(found, draft)


def _report_missing(name: str, advice: str, whole: Value, draft: Draft) -> None:
    key = f"{whole.key}.{name}"
    draft.problems.report(whole.node.error(key, "required option is missing", advice))


def _index(
    whole: Value, found: Mapping[str, Value], of_inputs: Mapping[str, Value], draft: Draft
) -> None:
    value = of_inputs.get("index") or _of_rule("indices", "index", found, _ONE_PLACE)
    value = value or found.get("index")
    if value is None or not value.value:
        is_missing = draft.is_missing(f"{whole.key}.index", {}, "index")
        if is_missing and f"{whole.key}.indices" not in draft.broken:
            # Filebeat's default has its version in its name.
            advice = "add it, such as logs-cilium_tetragon.log-default; shipper has no default"
            _report_missing("index", advice, whole, draft)
        return
    name = str(value.value)
    key = "data_stream" if _DATA_STREAM.fullmatch(name) else "index"
    if "%{[agent.version]}" in name:
        draft.notice("agent.version is shipper's own, so the index has another name", value)
    draft.put(("output", key), value.value, value)


def _pipeline(found: Mapping[str, Value], of_inputs: Mapping[str, Value], draft: Draft) -> None:
    value = of_inputs.get("pipeline") or _of_rule("pipelines", "pipeline", found, _ONE_PIPELINE)
    value = value or found.get("pipeline")
    if value is None:
        return
    name = str(value.value).lower()
    if "%{" in name:
        raise value.error("a name that depends on the event is not supported", _ONE_PIPELINE)
    draft.put(("output", "pipeline"), value.value if name == value.value else name, value)


def _of_rule(option: str, key: str, found: Mapping[str, Value], advice: str) -> Value | None:
    """The one rule that a list may have: a name and no condition."""
    value = found.get(option)
    if value is None or not value.value:
        return None
    nodes = items(value.node)
    rule = nodes[0].content
    if len(nodes) > 1 or not isinstance(rule, dict) or set(rule) != {key}:
        raise value.error("rules with conditions are not supported", advice)
    return Value(_text(rule[key], f"{value.key}[0].{key}"), rule[key], f"{value.key}[0].{key}")


def _text(node: Node, key: str) -> str:
    try:
        return text(node)
    except ValueError as error:
        raise node.error(key, str(error)) from None


def _without_what_the_preset_decides(found: dict[str, Value], draft: Draft) -> dict[str, Value]:
    preset = found.get("preset")
    if preset is None or preset.value in ("custom", ""):
        return found
    draft.put(("output", "preset"), preset.value, preset)
    for name in _OF_PRESETS:
        if name in found:
            draft.notice(f"ignored: the preset `{preset.value}` decides it", found[name])
    return {name: value for name, value in found.items() if name not in _OF_PRESETS}


def _backoff(found: Mapping[str, Value], draft: Draft) -> None:
    """Of two, the one that is not set has Filebeat's default, or what the other one forces."""
    first, most = found.get("backoff.init"), found.get("backoff.max")
    initial, longest = ("output", "backoff", "initial"), ("output", "backoff", "max")
    if first:
        draft.put(initial, first.value, first)
        if not most:
            # What is out of range is said of the one that is written.
            assumed = min(max(_MOST_BACKOFF, seconds(first.node)), 3600.0)
            draft.assume(longest, duration_text(assumed))
    if most:
        draft.put(longest, most.value, most)
        if not first:
            draft.assume(initial, duration_text(min(_FIRST_BACKOFF, seconds(most.node))))

"""The options of each of Filebeat's processors: from what is written to a frozen type, or an error
with the path of the option."""

import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, tzinfo
from types import MappingProxyType

import orjson

from shipper.config.options import OptionError, Options, as_items, describe, flat
from shipper.config.processor_types import (
    AddFields,
    AddHostMetadata,
    AddKubernetesMetadata,
    AddTags,
    DecodeJsonFields,
    DropEvent,
    DropFields,
    IncludeFields,
    MoveFields,
    ProcessorConfig,
    Timestamp,
    TruncateFields,
    Unix,
)
from shipper.golang.pattern import Pattern, PatternError
from shipper.golang.time import Layout, parse_zone
from shipper.option_names import option

#: Which cannot be dropped, whatever a list says.
_MANDATORY = ("@timestamp", "type")


def _timestamp(options: Options) -> ProcessorConfig:
    layouts = options.texts("layouts")
    if not layouts:
        options.report("layouts", "the list is empty", "give at least one layout")
    zone: tzinfo = UTC
    try:
        zone = parse_zone(options.text("timezone", "UTC"))
    except ValueError as error:
        options.report("timezone", str(error))
    found = Timestamp(
        field=_field(options, "field", options.text("field")),
        layouts=tuple(map(_layout, layouts)),
        target_field=_field(options, "target_field", options.text("target_field", "@timestamp")),
        zone=zone,
        ignore_missing=options.flag("ignore_missing", False),
        ignore_failure=options.flag("ignore_failure", False),
    )
    tests = options.texts("test") if "test" in options else ()
    for index, test in enumerate(tests) if options.are_good("layouts", "timezone") else ():
        try:
            found.read(test, time.time())
        except ValueError as error:
            options.report(f"test[{index}]", f"`{test}` does not match any of the layouts: {error}")
    options.text("id", "")  # It is for Filebeat's debug log, which is none of ours.
    return found


def _layout(text: str) -> Layout | Unix:
    return Unix(text) if text in {unit.value for unit in Unix} else Layout(text)


def _add_fields(options: Options) -> ProcessorConfig:
    fields = _mapping(options, "fields")
    target = options.value("target")
    name = "fields" if target is None else str(target)
    _field(options, "target", name)
    for key in fields if not name else ():
        if key.startswith("@"):
            options.report(f"fields.{key}", "cannot be added", "use the processor timestamp")
    return AddFields(name="add_fields", fields={name: fields} if name else fields)


def _add_labels(options: Options) -> ProcessorConfig:
    labels = _flat_labels(_mapping(options, "labels"))
    return AddFields(name="add_labels", fields={"labels": labels})


def _add_tags(options: Options) -> ProcessorConfig:
    tags = options.texts("tags")
    target = options.text("target", "") or "tags"
    return AddTags(tags=tags, target=_field(options, "target", target))


def _drop_event(_: Options) -> ProcessorConfig:
    return DropEvent()


def _drop_fields(options: Options) -> ProcessorConfig:
    fields = _fields(options, "fields")
    patterns = [name for name in fields if len(name) > 2 and name[0] == name[-1] == "/"]
    try:
        compiled = tuple(Pattern(pattern[1:-1]) for pattern in patterns)
    except PatternError as error:
        options.report("fields", str(error), error.what_to_do)
        compiled = ()
    return DropFields(
        fields=tuple(name for name in fields if name not in (*patterns, *_MANDATORY)),
        patterns=compiled,
        ignore_missing=options.flag("ignore_missing", False),
    )


def _include_fields(options: Options) -> ProcessorConfig:
    return IncludeFields(fields=_fields(options, "fields"))


def _move_fields(name: str) -> Callable[[Options], ProcessorConfig]:
    def read(options: Options) -> ProcessorConfig:
        where = options.at("fields")
        pairs: list[tuple[str, str]] = []
        items: list[object] = []
        with options.errors:
            items = as_items(options.value("fields"), where)
        for index, item in enumerate(items):
            with options.errors:
                pair = Options(item, f"{where}[{index}]", options.errors)
                source, target = pair.text("from"), pair.text("to")
                pair.note_unknown()
                for key, field in (("from", source), ("to", target)):
                    _field(pair, key, field)
                    if field == "@timestamp" and (name == "rename" or key == "to"):
                        pair.report(
                            key, "@timestamp cannot be moved or replaced", "name another field"
                        )
                pairs.append((source, target))
        return MoveFields(
            name=name,
            fields=tuple(pairs),
            ignore_missing=options.flag("ignore_missing", False),
            fail_on_error=options.flag("fail_on_error", True),
        )

    return read


def _decode_json_fields(options: Options) -> ProcessorConfig:
    if "document_id" in options:
        options.report(
            "document_id",
            "unsupported option",
            "ids are made of the file, the offset and the line, so that nothing is stored twice: "
            "leave it out",
        )
    options.value("document_id")
    target = options.value("target")
    max_depth = options.whole("max_depth", 1)
    if max_depth < 1:
        options.report("max_depth", f"{max_depth} is out of range", "use 1 or more")
    return DecodeJsonFields(
        fields=_fields(options, "fields"),
        process_array=options.flag("process_array", False),
        max_depth=max_depth,
        target=None if target is None else _field(options, "target", str(target)),
        overwrite_keys=options.flag("overwrite_keys", False),
        expand_keys=options.flag("expand_keys", False),
        add_error_key=options.flag("add_error_key", False),
    )


_GEO = (
    "name",
    "location",
    "continent_name",
    "country_name",
    "country_iso_code",
    "region_name",
    "region_iso_code",
    "city_name",
)

_LOCATION = re.compile(r"\s*-?\d+(\.\d+)?\s*,\s*-?\d+(\.\d+)?\s*", re.ASCII)


def _add_host_metadata(options: Options) -> ProcessorConfig:
    netinfo, cache, geo = (options.group(key) for key in ("netinfo", "cache", "geo"))
    found = AddHostMetadata(
        netinfo=netinfo.flag("enabled", True),
        cache_ttl=cache.seconds("ttl", 300.0),
        replace_fields=options.flag("replace_fields", True),
        geo={key: text for key in _GEO if (text := geo.text(key, "")).strip()},
        host_name=options.text("name", ""),
    )
    for group in (netinfo, cache, geo):
        group.note_unknown()
    location = found.geo.get("location", "0,0")
    if not _LOCATION.fullmatch(location):
        geo.report(
            "location", f"`{location}` is not latitude,longitude", "write it as 40.71,-74.00"
        )
    return found


#: Options of add_kubernetes_metadata that need the API server, which shipper does not ask.
_KUBERNETES_API = (
    "add_resource_metadata",
    "annotations",
    "append_fields",
    "cleanup_timeout",
    "include_annotations",
    "include_labels",
    "exclude_labels",
    "indexers",
    "kube_client_options",
    "kube_config",
    "matchers",
    "namespace",
    "sync_period",
    "use_kubeadm",
    "wait_for_metadata",
    "wait_for_metadata_timeout",
    "wait_for_metadata_retry_period",
)


def _add_kubernetes_metadata(options: Options) -> ProcessorConfig:
    for key in _KUBERNETES_API:
        if key in options:
            options.report(
                key,
                "needs the Kubernetes API, which shipper does not use",
                "remove it; the pod is taken from Tetragon's event",
            )
        options.value(key)
    scope = options.text("scope", "node")
    if scope != "node":
        options.report("scope", "needs the Kubernetes API, which shipper does not use", "remove it")
    for key in ("default_indexers", "default_matchers"):
        group = options.group(key)
        if not group.flag("enabled", True):
            group.report("enabled", "cannot be false: there are no others", "remove it")
        group.note_unknown()
    options.flag("in_cluster", True)
    labels = options.group("labels")
    dedot = labels.flag("dedot", True)
    labels.note_unknown()
    node = options.text("node", options.text("host", ""))
    return AddKubernetesMetadata(dedot_labels=dedot, node=node)


def _truncate_fields(options: Options) -> ProcessorConfig:
    found = TruncateFields(
        fields=_fields(options, "fields"),
        max_bytes=options.whole("max_bytes", 0),
        max_characters=options.whole("max_characters", 0),
        ignore_missing=options.flag("ignore_missing", False),
        # Filebeat's documentation says true, and its code false.
        fail_on_error=options.flag("fail_on_error", False),
    )
    limits = (found.max_bytes, found.max_characters)
    if min(limits) < 0 or (limits[0] > 0) == (limits[1] > 0):
        error = OptionError(
            options.path,
            "needs either max_bytes or max_characters",
            "set one of the two to 1 or more",
        )
        options.errors.add(error)
    return found


#: By name: who reads the options.
READERS: Mapping[str, Callable[[Options], ProcessorConfig]] = MappingProxyType(
    {
        "add_fields": _add_fields,
        "add_host_metadata": _add_host_metadata,
        "add_kubernetes_metadata": _add_kubernetes_metadata,
        "add_labels": _add_labels,
        "add_tags": _add_tags,
        "copy_fields": _move_fields("copy_fields"),
        "decode_json_fields": _decode_json_fields,
        "drop_event": _drop_event,
        "drop_fields": _drop_fields,
        "include_fields": _include_fields,
        "rename": _move_fields("rename"),
        "timestamp": _timestamp,
        "truncate_fields": _truncate_fields,
    }
)

#: Processors of which Filebeat ignores options that it does not know, with those that it knows.
#: Most refuse such options there, too (`checks.AllowedFields` in elastic/beats).
IGNORE_UNKNOWN: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "add_host_metadata": frozenset({"cache", "geo", "name", "netinfo", "replace_fields"}),
        "add_kubernetes_metadata": frozenset(
            {
                *_KUBERNETES_API,
                *("default_indexers", "default_matchers", "host", "in_cluster", "labels", "node"),
                "scope",
            }
        ),
        "timestamp": frozenset(
            {
                *("field", "id", "ignore_failure", "ignore_missing", "layouts", "target_field"),
                *("test", "timezone"),
            }
        ),
    }
)


def _field(options: Options, key: str, name: str) -> str:
    """The same name, if it is one of a field in the document."""
    if name == "@metadata" or name.startswith("@metadata."):
        options.report(
            key,
            "@metadata is not available: shipper has other options for where an event goes",
            f"use {option('output.index')} or {option('output.data_stream')}",
        )
    return name


def _fields(options: Options, key: str) -> tuple[str, ...]:
    names = options.texts(key)
    for name in names:
        _field(options, key, name)
    return names


def _mapping(options: Options, key: str) -> dict[str, object]:
    value = options.value(key)
    if not isinstance(value, dict):
        options.report(key, f"expected keys with values, not {describe(value)}")
        return {}
    try:
        orjson.dumps(value)
    except TypeError:
        options.report(
            key,
            "contains a value that cannot be written as JSON",
            "use text, numbers, true, false, lists and keys with values",
        )
        return {}
    return value


def _flat_labels(value: Mapping[str, object]) -> dict[str, object]:
    """Lists, too, become names with dots (`array.0`), and all values text: labels are keywords."""

    def opened(item: object) -> object:
        match item:
            case list():
                return {str(index): opened(below) for index, below in enumerate(item)}
            case Mapping():
                return {key: opened(below) for key, below in item.items()}
            case bool():
                return str(item).lower()
            case float():
                return repr(item).removesuffix(".0")
            case _:
                return "" if item is None else str(item)

    return flat({key: opened(item) for key, item in value.items()})

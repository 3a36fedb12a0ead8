"""The index template of the data stream, with the field types.

Retention and allocation are up to the operator: the template has no such settings, and an update
keeps settings that an operator has added.
"""

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from shipper import __version__
from shipper.documents.ecs_rules import merged
from shipper.setup.fields import ANY_LABELS, CONSTANT, FIELDS, KEPT, KEPT_OBJECT, LABELS, NEXT_BEST

#: Above the built-in `logs` template of Elasticsearch (100), below those of integrations (200): an
#: integration that is installed later has priority.
PRIORITY = 150

#: Longer text is stored but not searchable; without a limit the document would be rejected.
_LONGEST_KEYWORD = 1024

#: The default of 1000 is too low for events of all kinds: documents would be rejected.
_MOST_FIELDS = 4000

_MANAGED_BY = "shipper"


def template_name(data_stream: str) -> str:
    """The name of the template for a data stream and its namespaces."""
    kind, dataset, _ = data_stream.split("-", 2)
    return f"shipper-{kind}-{dataset}"


def template(
    data_stream: str, *, pipeline: str, priority: int = PRIORITY, unsupported: Collection[str] = ()
) -> dict[str, Any]:
    """The template, with shipper's mark.

    `pipeline`: the default pipeline, or empty. `unsupported`: types that the server does not have.
    """
    kind, dataset, _ = data_stream.split("-", 2)
    wanted = _unmarked(data_stream, pipeline, priority, ())
    return {
        **_unmarked(data_stream, pipeline, priority, unsupported),
        "_meta": {
            "managed_by": _MANAGED_BY,
            "version": __version__,
            "digest": digest(wanted),
            "description": f"Tetragon's events in {kind}-{dataset}-*, by `shipper setup`",
        },
    }


def is_ours(found: Mapping[str, Any]) -> bool:
    """Whether a template was created by shipper."""
    meta = found.get("_meta")
    return isinstance(meta, dict) and meta.get("managed_by") == _MANAGED_BY


def is_same(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether shipper's template is up to date, ignoring additions of an operator."""
    return bool(found["_meta"].get("digest") == wanted["_meta"]["digest"])


def updated(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The wanted template, with the additions of an operator to the existing one."""
    result = merged(found, wanted)
    result["template"]["mappings"] = wanted["template"]["mappings"]
    if "default_pipeline" not in wanted["template"]["settings"]["index"]:
        result["template"]["settings"]["index"].pop("default_pipeline", None)
    return result


def digest(body: object) -> str:
    """A short checksum of a body."""
    text = msgspec.json.encode(body, order="deterministic")
    return hashlib.sha256(text).hexdigest()[:16]


def _unmarked(
    data_stream: str, pipeline: str, priority: int, unsupported: Collection[str]
) -> dict[str, Any]:
    kind, dataset, _ = data_stream.split("-", 2)
    constants = {
        "data_stream.type": kind,
        "data_stream.dataset": dataset,
        "event.dataset": dataset,
        "event.module": dataset.partition(".")[0],
    }
    index: dict[str, Any] = {"mapping": {"total_fields": {"limit": str(_MOST_FIELDS)}}}
    if pipeline:
        index["default_pipeline"] = pipeline
    return {
        "index_patterns": [f"{kind}-{dataset}-*"],
        "priority": priority,
        "data_stream": {},
        "template": {
            "settings": {"index": index},
            "mappings": _mappings(constants, unsupported),
        },
    }


def _mappings(constants: Mapping[str, str], unsupported: Collection[str]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    # Sorted: parents come before their subfields, and keep their properties.
    for name, wanted in sorted(FIELDS.items()):
        at = properties
        *parents, last = name.split(".")
        for parent in parents:
            at = at.setdefault(parent, {}).setdefault("properties", {})
        at[last] = _field(_available(wanted, unsupported), constants.get(name))
    labels = _field(_available(LABELS, unsupported), None)
    return {
        "dynamic": True,
        # Otherwise the first text that looks like a date makes a date field, which rejects others.
        "date_detection": False,
        "dynamic_templates": [
            *(
                {
                    f"labels_{number}": {
                        "path_match": path,
                        "match_mapping_type": "object",
                        "mapping": labels,
                    }
                }
                for number, path in enumerate(ANY_LABELS)
            ),
            {
                "text_is_a_keyword": {
                    "match_mapping_type": "string",
                    "mapping": _field("keyword", None),
                }
            },
        ],
        "properties": properties,
    }


def _available(wanted: str, unsupported: Collection[str]) -> str:
    while wanted in unsupported and wanted in NEXT_BEST:
        wanted = NEXT_BEST[wanted]
    return wanted


def _field(kind: str, constant: str | None) -> dict[str, Any]:
    if kind == KEPT:
        return {"type": "keyword", "index": False, "doc_values": False}
    if kind == KEPT_OBJECT:
        return {"type": "object", "enabled": False}
    if kind == CONSTANT and constant is not None:
        return {"type": kind, "value": constant}
    if kind in ("keyword", LABELS):
        return {"type": kind, "ignore_above": _LONGEST_KEYWORD}
    return {"type": kind}

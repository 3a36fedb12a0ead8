"""The index template: makes the data stream, and has the types of its fields.

How long documents stay, and where, is the operator's: there is nothing about it in here, and what
an operator has added is kept when the template is updated.
"""

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from shipper import __version__
from shipper.documents.ecs_rules import merged
from shipper.setup.fields import ANY_LABELS, CONSTANT, FIELDS, KEPT, KEPT_OBJECT, LABELS, NEXT_BEST

#: Above the `logs` template that Elasticsearch brings along (100), below those of integrations
#: (200): the integration, should it be installed later, wins.
PRIORITY = 150

#: Long text is kept and not searched, instead of having its document refused.
_LONGEST_KEYWORD = 1024

#: The usual 1000 are soon reached where there are events of all kinds; then documents are refused.
_MOST_FIELDS = 4000

_MANAGED_BY = "shipper"


def template_name(data_stream: str) -> str:
    """Of the template for a data stream and its namespaces."""
    kind, dataset, _ = data_stream.split("-", 2)
    return f"shipper-{kind}-{dataset}"


def template(
    data_stream: str, *, pipeline: str, priority: int = PRIORITY, lacking: Collection[str] = ()
) -> dict[str, Any]:
    """The template, with a mark of ours.

    `pipeline`: the default one; empty for none. `lacking`: types that the server does not have.
    """
    kind, dataset, _ = data_stream.split("-", 2)
    wanted = _unmarked(data_stream, pipeline, priority, ())
    return {
        **_unmarked(data_stream, pipeline, priority, lacking),
        "_meta": {
            "managed_by": _MANAGED_BY,
            "version": __version__,
            "digest": digest(wanted),
            "description": f"Tetragon's events in {kind}-{dataset}-*, by `shipper setup`",
        },
    }


def is_ours(found: Mapping[str, Any]) -> bool:
    """Whether a template was made by us."""
    meta = found.get("_meta")
    return isinstance(meta, dict) and meta.get("managed_by") == _MANAGED_BY


def is_same(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether one of ours is what is wanted, whatever an operator has added to it."""
    return bool(found["_meta"].get("digest") == wanted["_meta"]["digest"])


def updated(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What is wanted, and what an operator has added to the one that is there."""
    result = merged(found, wanted)
    result["template"]["mappings"] = wanted["template"]["mappings"]
    if "default_pipeline" not in wanted["template"]["settings"]["index"]:
        result["template"]["settings"]["index"].pop("default_pipeline", None)
    return result


def digest(body: object) -> str:
    """A few digits that are others for any other body."""
    text = msgspec.json.encode(body, order="deterministic")
    return hashlib.sha256(text).hexdigest()[:16]


def _unmarked(
    data_stream: str, pipeline: str, priority: int, lacking: Collection[str]
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
            "mappings": _mappings(constants, lacking),
        },
    }


def _mappings(constants: Mapping[str, str], lacking: Collection[str]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    # Those with others below them come first, and keep their properties.
    for name, wanted in sorted(FIELDS.items()):
        at = properties
        *parents, last = name.split(".")
        for parent in parents:
            at = at.setdefault(parent, {}).setdefault("properties", {})
        at[last] = _field(_available(wanted, lacking), constants.get(name))
    labels = _field(_available(LABELS, lacking), None)
    return {
        "dynamic": True,
        # A text that looks like a date is one for as long as all others do: then it is refused.
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


def _available(wanted: str, lacking: Collection[str]) -> str:
    while wanted in lacking and wanted in NEXT_BEST:
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

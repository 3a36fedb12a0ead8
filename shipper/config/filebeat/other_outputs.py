"""What is not shipper's business: preparing the cluster and Kibana, and other outputs."""

from collections.abc import Mapping

from shipper.config.filebeat.draft import Draft, Value
from shipper.config.filebeat.options import Section, fixed, honoured, ignored, refused
from shipper.config.filebeat.tree import Node, find
from shipper.config.filebeat.values import boolean, number, text

_TEMPLATE = (
    "shipper installs no template when it starts; `shipper setup` installs the one that the data "
    "stream needs, and so does Elastic's Tetragon integration"
)
_KIBANA = "shipper does not talk to Kibana"
_OFF = "With `false` it is as if it were not there."
_OTHER = "shipper sends to Elasticsearch and OpenSearch: `output.elasticsearch`"

SETUP = Section(
    "",
    "Setup",
    (
        ignored("setup.template.*", _TEMPLATE),
        ignored("setup.ilm.*", "how long data is kept is for the cluster to say"),
        ignored("setup.dsl.*", "how long data is kept is for the cluster to say"),
        ignored("setup.kibana.*", _KIBANA),
        ignored("setup.dashboards.*", _KIBANA),
    ),
)


def _node(node: Node) -> Node:
    """A section, which is read by itself."""
    return node


#: The output that has a section of its own.
ELASTICSEARCH = honoured("output.elasticsearch", _node, "See [the output](#the-output).")


OUTPUTS = Section(
    "",
    "Other outputs",
    (
        honoured("output.file.path", text, "The directory, as in `output.file.path`."),
        honoured(
            "output.file.filename",
            text,
            "The name of the file; `filebeat` if it is not "
            "set. It ends with `.ndjson` here, too, and rotated ones have their time in "
            "their names.",
        ),
        honoured("output.file.rotate_every_kb", number, "As `output.file.max_bytes`."),
        honoured(
            "output.file.number_of_files",
            number,
            "As `output.file.keep`; 7, as in Filebeat, if it is not set.",
        ),
        honoured("output.file.enabled", boolean, _OFF),
        ignored("output.file.permissions", "the file is its owner's alone"),
        ignored("output.file.rotate_on_startup", "it is rotated by its size"),
        refused("output.file.codec.*", "each line is one document in JSON"),
        honoured("output.console.enabled", boolean, _OFF),
        fixed("output.console.pretty", boolean, (False,), "Each line is one document."),
        ignored("output.console.bulk_max_size", "documents are written as they come"),
        refused("output.console.codec.*", "each line is one document in JSON"),
        refused("output.logstash.*", _OTHER),
        refused("output.kafka.*", _OTHER),
        refused("output.redis.*", _OTHER),
        refused("output.discard.*", _OTHER),
    ),
)

_SUPPORTED = frozenset({"elasticsearch", "file", "console"})
_KIB = 1024
_KEEP = 7


def translate(root: Node, found: Mapping[str, Value], draft: Draft) -> bool:
    """Sets the output, if it is one of these; returns whether it is. Raises ConfigError."""
    outputs = find(root, "output")
    given = list(outputs.content) if outputs and isinstance(outputs.content, dict) else []
    # Of any other it is said that it is not supported.
    names = [name for name in given if name in _SUPPORTED]
    if outputs is not None and len(names) > 1:
        raise outputs.error("output", f"several outputs: {', '.join(names)}", "keep one of them")
    match names:
        case ["file"]:
            _file(Value(None, find(root, "output.file") or root, "output.file"), found, draft)
        case ["console"]:
            whole = Value(None, find(root, "output.console") or root, "output.console")
            draft.put(("output", "console"), {}, whole)
        case _:
            return False
    return True


def _file(whole: Value, found: Mapping[str, Value], draft: Draft) -> None:
    path, filename = found.get("output.file.path"), found.get("output.file.filename")
    if path is None:
        key = "output.file.path"
        if draft.is_missing(key, found, key):
            advice = "add the directory that the file is to be in"
            draft.problems.report(whole.node.error(key, "required option is missing", advice))
        draft.spoil(("output", "file"))
        return
    name = str(filename.value) if filename else "filebeat"
    draft.put(("output", "file", "path"), f"{path.value}/{name}.ndjson", path)
    if every := found.get("output.file.rotate_every_kb"):
        draft.put(("output", "file", "max_bytes"), int(str(every.value)) * _KIB, every)
    keep = found.get("output.file.number_of_files")
    if keep is None:
        draft.assume(("output", "file", "keep"), _KEEP)
    else:
        draft.put(("output", "file", "keep"), keep.value, keep)

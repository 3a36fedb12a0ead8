"""What is not shipper's business: preparing the cluster and Kibana, and other outputs."""

from collections.abc import Mapping

from shipper.config.filebeat.draft import Draft, Value
from shipper.config.filebeat.options import Option, Section, fixed, honoured, ignored, refused
from shipper.config.filebeat.tree import Node
from shipper.config.filebeat.values import boolean, number, text
from shipper.config.model_keys import has_key

_TEMPLATE = (
    "shipper installs no template when it starts; Elastic's Tetragon integration has the one that "
    "the data stream needs"
)
_KIBANA = "shipper does not talk to Kibana"
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


def _with_files(*options: Option) -> tuple[Option, ...]:
    """Options of the outputs to files and to standard output, if there are these outputs."""
    if has_key("output.file.path") and has_key("output.console"):
        return options
    return (refused("output.file.*", _OTHER), refused("output.console.*", _OTHER, also_null=True))


OUTPUTS = Section(
    "",
    "Other outputs",
    (
        *_with_files(
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
            fixed("output.file.enabled", boolean, (True,), "Leave the output out."),
            ignored("output.file.permissions", "the file is its owner's alone"),
            ignored("output.file.rotate_on_startup", "it is rotated by its size"),
            refused("output.file.codec.*", "each line is one document in JSON"),
            honoured("output.console.enabled", boolean, "As `output.console`."),
            fixed("output.console.pretty", boolean, (False,), "Each line is one document."),
            ignored("output.console.bulk_max_size", "documents are written as they come"),
            refused("output.console.codec.*", "each line is one document in JSON"),
        ),
        refused("output.logstash.*", _OTHER),
        refused("output.kafka.*", _OTHER),
        refused("output.redis.*", _OTHER),
        refused("output.discard.*", _OTHER),
    ),
)

_KIB = 1024
_KEEP = 7


def translate(found: Mapping[str, Value], draft: Draft) -> bool:
    """Sets the output, if it is one of these; returns whether it is."""
    if path := found.get("output.file.path"):
        filename = found.get("output.file.filename")
        name = str(filename.value) if filename else "filebeat"
        draft.put(("output", "file", "path"), f"{path.value}/{name}.ndjson", path)
        every, keep = (
            found.get("output.file.rotate_every_kb"),
            found.get("output.file.number_of_files"),
        )
        if every:
            draft.put(("output", "file", "max_bytes"), int(str(every.value)) * _KIB, every)
        if keep:
            draft.put(("output", "file", "keep"), keep.value, keep)
        else:
            draft.assume(("output", "file", "keep"), _KEEP)
        return True
    if (console := found.get("output.console.enabled")) and console.value:
        draft.put(("output", "console"), {}, console)
        return True
    return False

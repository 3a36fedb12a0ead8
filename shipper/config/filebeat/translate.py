"""From Filebeat's files to a configuration of our own."""

from collections.abc import Iterable, Mapping, Sequence

import yaml

from shipper.config.filebeat import (
    elasticsearch,
    general,
    inputs,
    other_outputs,
    own,
    processors,
    queue,
    serving,
)
from shipper.config.filebeat.draft import Draft, Value
from shipper.config.filebeat.gathering import gather, is_off, transfer
from shipper.config.filebeat.input_options import FILESTREAM, LOG
from shipper.config.filebeat.names import filebeat_names
from shipper.config.filebeat.options import Section
from shipper.config.filebeat.tree import Node, find, overlay, put, read_tree, setting
from shipper.config.filebeat.variables import expand
from shipper.config.problems import Problems
from shipper.errors import Location

#: Every section, in the order of the docs.
SECTIONS: tuple[Section, ...] = (
    FILESTREAM,
    LOG,
    elasticsearch.SECTION,
    queue.SECTION,
    general.GENERAL,
    general.PATHS,
    general.FILEBEAT,
    general.CLOUD,
    serving.LOGGING,
    serving.HTTP,
    serving.MONITORING,
    other_outputs.SETUP,
    other_outputs.OUTPUTS,
)

#: All at the top of the file, with what has sections of its own.
_TOP = Section(
    "",
    "",
    (
        *(option for section in SECTIONS if not section.prefix for option in section.options),
        other_outputs.ELASTICSEARCH,
    ),
)


#: What our own options are called in a file of Filebeat.
NAMES = filebeat_names(SECTIONS)


def read(
    files: Sequence[tuple[str, yaml.MappingNode]],
    environ: Mapping[str, str],
    settings: Iterable[str],
    problems: Problems,
) -> Draft:
    """Files by their names, laid over one another, and `settings` (`KEY=VALUE`) over all, as a
    configuration of our own. What is wrong is reported, and left out."""
    name = files[0][0] if files else "-E"
    root = Node(Location(name, 1), {})
    for file, node in files:
        overlay(root, read_tree(node, file, problems))
    for text in settings:
        with problems:
            overlay(root, setting(text))
    draft = Draft(problems=problems, usual_names=NAMES, name=name)
    assumed = _assume_paths(root)
    named = expand(root, environ, problems)
    _drop_outputs_that_are_off(root)
    for path in assumed - named:
        _forget(root, path)
    _translate(root, named, assumed, draft)
    return draft


def _translate(root: Node, named: frozenset[str], assumed: frozenset[str], draft: Draft) -> None:
    general.drop_cloud_without_value(root, draft)
    of_our_own = own.take(root)
    draft.given = frozenset(path for path in general.PATH_DEFAULTS if path not in assumed)
    top = gather(_TOP, root, "", draft, named)
    of_inputs: Mapping[str, Value] = {}
    if "filebeat.inputs" in top:
        with draft.problems:
            of_inputs = inputs.translate(top["filebeat.inputs"], top, draft, named)
    elif "filebeat.prospectors" not in draft.broken and draft.is_missing(
        "filebeat.inputs", top, "filebeat.inputs"
    ):
        draft.problems.add(
            "filebeat.inputs: required option is missing",
            Location(root.location.name),
            "list the files to follow there",
        )
    for section in SECTIONS:
        if not section.prefix:
            transfer(section, top, draft, "")
    processors.pass_on(top.get("processors"), (), draft)
    with draft.problems:
        general.translate(top, draft)
    with draft.problems:
        serving.translate(top, draft)
    with draft.problems:
        _translate_output(root, top, of_inputs, draft, named)
    own.translate_top(of_our_own, draft)
    draft.notice_unknown()


def _translate_output(
    root: Node,
    top: dict[str, Value],
    of_inputs: Mapping[str, Value],
    draft: Draft,
    named: frozenset[str],
) -> None:
    if other_outputs.translate(root, top, draft):
        return
    output = top.get("output.elasticsearch")
    if output is None:
        if not any(key.startswith("output.") for key in draft.broken):
            draft.problems.add(
                "no output is enabled",
                Location(root.location.name),
                "set output.elasticsearch",
            )
        draft.spoil(("output",))
        return
    general.drop_what_the_cloud_replaces(top, output.node)
    found = gather(elasticsearch.SECTION, output.node, output.key, draft, named)
    in_queue = {name: top[name] for name in top if name.startswith("queue.")}
    needs_hosts = draft.is_missing("cloud.id", top, "cloud.id")
    elasticsearch.translate(output, in_queue | found, of_inputs, draft, needs_hosts=needs_hosts)
    general.translate_cloud(top, draft)


def _drop_outputs_that_are_off(root: Node) -> None:
    outputs = find(root, "output")
    if outputs is None or not isinstance(outputs.content, dict):
        return
    for name, node in list(outputs.content.items()):
        if is_off(node):
            del outputs.content[name]


def _assume_paths(root: Node) -> frozenset[str]:
    """Has `${path.home}` and the like mean something, as in Filebeat; returns what was not set."""
    location = Location(root.location.name, 1)
    assumed = set()
    for path, text in general.PATH_DEFAULTS.items():
        node = find(root, path)
        if node is None or node.is_null:
            _forget(root, path)
            put(root, path, Node(location, general.default_path(text)), "")
            assumed.add(path)
    return frozenset(assumed)


def _forget(root: Node, path: str) -> None:
    above, _, key = path.rpartition(".")
    node = find(root, above)
    if node is not None and isinstance(node.content, dict):
        node.content.pop(key, None)

"""From Filebeat's files to a configuration of our own."""

from collections.abc import Iterable, Mapping, Sequence

import yaml

from shipper.config.filebeat import (
    elasticsearch,
    general,
    inputs,
    other_outputs,
    processors,
    queue,
    serving,
)
from shipper.config.filebeat.draft import Draft, Value, gather, transfer
from shipper.config.filebeat.input_options import FILESTREAM, LOG
from shipper.config.filebeat.options import Section
from shipper.config.filebeat.tree import Node, Place, find, overlay, put, read_tree, setting
from shipper.config.filebeat.values import boolean
from shipper.config.filebeat.variables import expand
from shipper.errors import ConfigError

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


def read(
    files: Sequence[tuple[str, yaml.MappingNode]],
    environ: Mapping[str, str],
    settings: Iterable[str] = (),
) -> Draft:
    """Files by their names, laid over one another, and `settings` (`KEY=VALUE`) over all, as a
    configuration of our own.

    Raises ConfigError: an option is refused or unknown, or a value cannot be.
    """
    name = files[0][0] if files else "-E"
    root = Node(Place(name, 1), {})
    for file, node in files:
        overlay(root, read_tree(node, file))
    for text in settings:
        overlay(root, setting(text))
    _drop_outputs_that_are_off(root)
    assumed = _assume_paths(root)
    named = expand(root, environ)
    for path in assumed - named:
        _forget(root, path)
    return _translate(root, named)


def _translate(root: Node, named: frozenset[str]) -> Draft:
    draft = Draft()
    top = gather(_TOP, root, "", draft, named)
    if "filebeat.inputs" not in top:
        raise ConfigError(
            "it has no filebeat.inputs",
            where=root.place.name,
            what_to_do="list the files to follow there",
        )
    of_inputs = inputs.translate(top["filebeat.inputs"], top, draft, named)
    for section in SECTIONS:
        if not section.prefix:
            transfer(section, top, draft)
    processors.pass_on(top.get("processors"), (), draft)
    general.translate(top, draft)
    serving.translate(top, draft)
    _translate_output(root, top, of_inputs, draft, named)
    return draft


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
        raise ConfigError(
            "it has no output that is enabled",
            where=root.place.name,
            what_to_do="shipper sends to what output.elasticsearch names",
        )
    found = gather(elasticsearch.SECTION, output.node, output.key, draft, named)
    in_queue = {name: top[name] for name in top if name.startswith("queue.")}
    has_cloud = "cloud.id" in top
    elasticsearch.translate(output, in_queue | found, of_inputs, draft, needs_hosts=not has_cloud)
    general.translate_cloud(top, draft)


def _drop_outputs_that_are_off(root: Node) -> None:
    outputs = find(root, "output")
    if outputs is None or not isinstance(outputs.content, dict):
        return
    for name, node in list(outputs.content.items()):
        enabled = find(node, "enabled")
        if enabled is None or enabled.is_null:
            continue
        try:
            if not boolean(enabled):
                del outputs.content[name]
        except ValueError as error:
            raise enabled.error(f"output.{name}.enabled", str(error)) from None


def _assume_paths(root: Node) -> frozenset[str]:
    """Has `${path.home}` and the like mean something, as in Filebeat; returns what was not set."""
    place = Place(root.place.name, 1)
    assumed = set()
    for path, text in general.PATH_DEFAULTS.items():
        node = find(root, path)
        if node is None or node.is_null:
            _forget(root, path)
            put(root, path, Node(place, general.default_path(text)), "")
            assumed.add(path)
    return frozenset(assumed)


def _forget(root: Node, path: str) -> None:
    above, _, key = path.rpartition(".")
    node = find(root, above)
    if node is not None and isinstance(node.content, dict):
        node.content.pop(key, None)

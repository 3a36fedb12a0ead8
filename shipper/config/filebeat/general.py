"""What stands at the top of the file: names, fields, paths, Filebeat's own settings, the cloud."""

import os
from collections.abc import Mapping

from shipper.config.filebeat import other_files
from shipper.config.filebeat.draft import Draft, Value, hidden
from shipper.config.filebeat.options import Section, fixed, honoured, ignored, refused
from shipper.config.filebeat.tree import Node, Scalar, find
from shipper.config.filebeat.values import (
    boolean,
    duration,
    duration_text,
    items,
    mapping,
    text,
    texts,
)

#: Where Filebeat's image has its files.
HOME = "/usr/share/filebeat"

#: What a variable finds at a path that the file does not set.
PATH_DEFAULTS = {
    "path.home": HOME,
    "path.config": "${path.home}",
    "path.data": "${path.home}/data",
    "path.logs": "${path.home}/logs",
}

GENERAL = Section(
    "",
    "General",
    (
        honoured("name", text, "As `name`: `agent.name` and `host.name` of each document.", "name"),
        honoured("tags", texts, "Of all inputs, before their own."),
        honoured("fields", mapping, "Of all inputs; a field of an input's own wins."),
        honoured("fields_under_root", boolean, "Whether `fields` are at the top of the document."),
        honoured("processors", items, "See [processors](#processors)."),
        ignored("timestamp.precision", "`@timestamp` is the event's own time to its last digit"),
        ignored("max_procs", "one core does the work"),
        ignored("gc_percent", "there is no such collector"),
        ignored("seccomp.*", "the container's runtime, or systemd, confines the process"),
        fixed("timeseries.enabled", boolean, (False,), "It is for metrics."),
        fixed("features.fqdn.enabled", boolean, (False,), "`name` says what the host is called."),
        refused("hostname", "write `name`"),
        refused("management.*", "shipper is not managed by Fleet"),
        refused("keystore.*", "have the secret in a variable: `${NAME}`"),
        ignored("migration.*", "there is nothing to migrate"),
    ),
)

PATHS = Section(
    "",
    "Paths",
    (
        honoured("path.home", text, f"What `path.data` is below, if that is not set: `{HOME}`."),
        honoured("path.data", text, "As `data_dir`. The default is `data` below `path.home`."),
        honoured("path.config", text, "What the file of `-c` is below, on the command line."),
        ignored("path.logs", "the daemon writes its log to standard error"),
    ),
)

FILEBEAT = Section(
    "",
    "Filebeat's own",
    (
        honoured("filebeat.inputs", items, "See [inputs](#inputs)."),
        honoured(
            "filebeat.shutdown_timeout",
            duration,
            "As `shutdown_timeout`. What is not finished is sent again, and not stored twice.",
            "shutdown_timeout",
        ),
        honoured(
            "filebeat.registry.flush", duration, "As `registry.commit_interval`; 50 ms at least."
        ),
        honoured(
            "filebeat.registry.path",
            text,
            "Where Filebeat's registry is taken over from; if it is not absolute, below "
            "`path.data`. shipper's own is in `path.data`, whatever it says.",
        ),
        ignored("filebeat.registry.file_permissions", "the registry is its owner's alone"),
        ignored("filebeat.registry.cleanup_interval", "files that are gone are forgotten in time"),
        ignored("filebeat.registry.migrate_file", "registries of Filebeat 6 are not read"),
        ignored("filebeat.registry.backend", "the registry is an SQLite file"),
        ignored("filebeat.registry.bbolt.*", "the registry is an SQLite file"),
        ignored("filebeat.overwrite_pipelines", "shipper installs no pipelines when it starts"),
        *other_files.OPTIONS,
        refused("filebeat.config_dir", other_files.ONE_FILE),
        refused("filebeat.modules", other_files.NO_MODULES),
        refused("filebeat.autodiscover.*", "Tetragon's events name their pods: list its files"),
        refused("filebeat.prospectors", "write `filebeat.inputs`"),
        refused("filebeat.registry_file", "write `path.data`, where all is that shipper remembers"),
        refused("filebeat.registry_flush", "write `filebeat.registry.flush`"),
    ),
)

CLOUD = Section(
    "",
    "Elastic Cloud",
    (
        honoured("cloud.id", text, "As `output.cloud_id`, in place of `hosts`."),
        honoured("cloud.auth", text, "`USER:PASSWORD`, in place of `username` and `password`."),
    ),
)

#: What the registry saves more often than this, it saves at this interval.
_LEAST_FLUSH = 0.05


def translate(found: Mapping[str, Value], draft: Draft) -> None:
    """Sets `data_dir` and what belongs to it. Raises ConfigError."""
    data = _data_dir(found)
    other_files.translate(found, _config_dir(found), draft)
    if draft.broken.intersection(("path.data", "path.home")):
        draft.spoil(("data_dir",))
    elif origin := found.get("path.data") or found.get("path.home"):
        draft.put(("data_dir",), data, origin)
    else:
        draft.assume(("data_dir",), data)
    if registry := found.get("filebeat.registry.path"):
        _import(registry, data, draft)
    if flush := found.get("filebeat.registry.flush"):
        is_least = flush.value in (duration_text(0),)
        draft.put(
            ("registry", "commit_interval"),
            duration_text(_LEAST_FLUSH) if is_least else flush.value,
            flush,
        )


def _import(registry: Value, data: str, draft: Draft) -> None:
    """Has Filebeat's registry be looked for where the file says that it is."""
    path = os.path.normpath(os.path.join(data, str(registry.value), "filebeat"))
    data = os.path.normpath(data)
    if path != os.path.join(data, "registry", "filebeat"):
        draft.put(("registry", "import_from"), path, registry)
    if not path.startswith(f"{data}/"):
        draft.notice(
            "Filebeat's registry is taken over from there, and shipper's own is in path.data: let "
            "that be on the volume that lasts, too",
            registry,
        )


def default_path(text: str) -> Scalar:
    """A value of PATH_DEFAULTS."""
    return Scalar(text, text, is_open=True)


def translate_cloud(found: Mapping[str, Value], draft: Draft) -> None:
    """Sets what the cloud's options decide, over what the output's do. Raises ConfigError."""
    if cloud := found.get("cloud.id"):
        draft.put(("output", "cloud_id"), cloud.value, cloud)
        output = draft.content.get("output")
        if isinstance(output, dict):
            output.pop("hosts", None)
    if auth := found.get("cloud.auth"):
        username, colon, password = str(auth.value).partition(":")
        if not colon:
            raise auth.error("no colon between user and password", "use USER:PASSWORD")
        draft.put(("output", "username"), username, auth)
        draft.put(("output", "password"), hidden(password, "CLOUD_PASSWORD", auth, draft), auth)


def drop_cloud_without_value(root: Node, draft: Draft) -> None:
    """Filebeat takes a Cloud ID, or credentials for it, whose variable has no value for none: its
    own manifest for Kubernetes has both, for those who set them."""
    for key in ("id", "auth"):
        cloud = find(root, "cloud")
        node = find(cloud, key) if cloud else None
        if cloud is None or node is None or not isinstance(cloud.content, dict):
            continue
        if node.unresolved or (isinstance(node.content, Scalar) and node.content.value == ""):
            why = node.unresolved[0].what.partition(": ")[2] if node.unresolved else "it is empty"
            what = f"ignored: {why}; it is as if the option were not there, as in Filebeat"
            draft.notice(what, Value(None, node, f"cloud.{key}"))
            del cloud.content[key]


def drop_what_the_cloud_replaces(found: Mapping[str, Value], output: Node) -> None:
    """Filebeat puts what the cloud's options say over that of the output, which it never looks
    at."""
    if not isinstance(output.content, dict):
        return
    if "cloud.id" not in found:
        return
    output.content.pop("hosts", None)
    if "cloud.auth" in found:
        output.content.pop("username", None)
        output.content.pop("password", None)


def _config_dir(found: Mapping[str, Value]) -> str:
    for name in ("path.config", "path.home"):
        if name in found:
            return str(found[name].value)
    return HOME


def _data_dir(found: Mapping[str, Value]) -> str:
    if data := found.get("path.data"):
        return data.value if isinstance(data.value, str) else ""
    home = str(found["path.home"].value) if "path.home" in found else HOME
    return os.path.join(home, "data")

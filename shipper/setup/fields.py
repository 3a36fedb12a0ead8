"""The fields of Tetragon's events and their types.

The types are those of the field list of Elastic's Tetragon integration, and of the Elastic Common
Schema (8.11) for ECS fields. Other fields are mapped dynamically: text to keyword, integers to
`long`.

The labels of a pod are the exception. The list has `pod_labels.app` beside
`pod_labels.app.kubernetes.io/name`, and an event of a pod with both would be rejected, as `app`
cannot be a text and an object. So labels are one field that accepts any labels.
"""

from collections.abc import Mapping

#: Any labels in one field; queries are `pod_labels.app`, or a value.
LABELS = "flattened"

#: A keyword that is the same in all documents of an index.
CONSTANT = "constant_keyword"

#: Full text without scoring.
TEXT = "match_only_text"

#: A keyword that is stored only: no search, sorting or aggregation.
KEPT = "a keyword that is not searched"

#: An object that is stored only.
KEPT_OBJECT = "an object that is not searched"

#: Replacements of types on servers without them. OpenSearch has `flat_object` for `flattened`, and
#: `constant_keyword` with other options.
NEXT_BEST: Mapping[str, str] = {
    LABELS: "flat_object",
    "flat_object": KEPT_OBJECT,
    CONSTANT: "keyword",
    TEXT: "text",
}


def _all(kind: str, names: str, prefix: str = "") -> dict[str, str]:
    return {prefix + name: kind for name in names.split()}


def _under(prefix: str, fields: Mapping[str, str]) -> dict[str, str]:
    return {f"{prefix}.{name}": kind for name, kind in fields.items()}


def _process(container_start: str) -> dict[str, str]:
    """The fields of a process or parent below `cilium_tetragon.log`."""
    return {
        **_all("keyword", "docker exec_id flags parent_exec_id start_time"),
        **_all("long", "auid refcnt tid uid"),
        **_all("keyword", "name namespace workload workload_kind", "pod."),
        **_all("keyword", "id name image.id image.name", "pod.container."),
        "pod.container.pid": "long",
        "pod.container.start_time": container_start,
        "pod.pod_labels": LABELS,
    }


_NAMESPACES = (
    "cgroup ipc mnt net pid pid.pid_for_children pid_for_children time time.time_for_children "
    "time_for_children user uts"
)

_KPROBE = {
    **_all("keyword", "action function_name policy_name return_action"),
    **_under("process", _process("date")),
    **_under("parent", _process("date")),
    **{f"process.ns.{name}.inum": "long" for name in _NAMESPACES.split()},
    **{f"process.ns.{name}.is_host": "boolean" for name in _NAMESPACES.split()},
    **_all("keyword", "capability_arg.name file_arg.path file_arg.permission", "args."),
    **_all("long", "capability_arg.value int_arg", "args."),
    **_all("long", "uid gid level ns.inum", "args.user_ns_arg."),
    "args.user_ns_arg.ns.is_host": "boolean",
    "return.int_arg": "long",
}

_EXEC = {
    **_under("process", _process("keyword")),
    **_under("parent", _process("keyword")),
}

_EXIT = {**_EXEC, "signal": "keyword", "status": "float", "time": "keyword"}

_LIFTED_PROCESS = {
    **_all("keyword", "args entity_id executable working_directory user.id"),
    **_all("long", "pid thread.id exit_code"),
    "start": "date",
}

#: Field types by full name.
FIELDS: Mapping[str, str] = {
    "@timestamp": "date",
    "message": TEXT,
    "tags": "keyword",
    "ecs.version": "keyword",
    "error.message": TEXT,
    "input.type": "keyword",
    "cloud.image.id": "keyword",
    **_all("keyword", "action kind", "event."),
    "event.original": KEPT,
    **_all(CONSTANT, "dataset module", "event."),
    **_all(CONSTANT, "type dataset namespace", "data_stream."),
    **_all("keyword", "id ephemeral_id name type version", "agent."),
    **_all("keyword", "name os.build os.codename", "host."),
    "host.containerized": "boolean",
    "log.offset": "long",
    "log.flags": "keyword",
    **_all("keyword", "path inode device_id fingerprint idxhi idxlo vol", "log.file."),
    **_under("process", _LIFTED_PROCESS),
    **_under("process.parent", _LIFTED_PROCESS),
    **_all("keyword", "id name image.name", "container."),
    "container.labels": "object",
    **_all("keyword", "namespace cluster.name resource.name resource.parent.type", "orchestrator."),
    **_all("keyword", "cluster_name node_name time", "cilium_tetragon.log."),
    "cilium_tetragon.log.node_labels": LABELS,
    **_under("cilium_tetragon.log.process_exec", _EXEC),
    **_under("cilium_tetragon.log.process_exit", _EXIT),
    **_under("cilium_tetragon.log.process_kprobe", _KPROBE),
}

#: Labels of pods in other kinds, and annotations of later Tetragon versions.
ANY_LABELS = ("*.pod_labels", "*.pod_annotations")

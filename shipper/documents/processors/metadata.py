"""`add_host_metadata` and `add_kubernetes_metadata`: metadata from the machine and the event."""

from shipper.config.processor_types import AddHostMetadata, AddKubernetesMetadata
from shipper.documents.processors.event import Event, Fields, copied, merge
from shipper.documents.processors.machine import Machine


class HostMetadata:
    """An `add_host_metadata` processor with a cache."""

    def __init__(self, config: AddHostMetadata, machine: Machine) -> None:
        self._config = config
        self._machine = machine
        self._known: Fields = {}
        self._asked_at: float | None = None

    def __call__(self, event: Event) -> None:
        if not self._config.replace_fields and self._has_more_than_name(event.fields.get("host")):
            return
        merge(event.fields, {"host": self._host(event.now)}, overwrite=True)

    def _host(self, now: float) -> Fields:
        if self._asked_at is None or not 0 <= now - self._asked_at < self._config.cache_ttl:
            self._asked_at = now
            self._known = self._machine.host(self._config.netinfo)
            if self._config.host_name:
                self._known["name"] = self._config.host_name
            if self._config.geo:
                self._known["geo"] = dict(self._config.geo)
        return self._known

    @staticmethod
    def _has_more_than_name(host: object) -> bool:
        """Whether `host` has other fields than the name, which every document has."""
        return isinstance(host, dict) and set(host) != {"name"}


class KubernetesMetadata:
    """An `add_kubernetes_metadata` processor: takes the pod from Tetragon's event."""

    def __init__(self, config: AddKubernetesMetadata, machine: Machine) -> None:
        self._dedot = config.dedot_labels
        self._node = config.node or machine.environ.get("NODE_NAME", "")

    def __call__(self, event: Event) -> None:
        if "kubernetes" in event.fields:
            return
        kubernetes: Fields = {}
        if node := event.decoded.get("node_name") or self._node:
            kubernetes["node"] = {"name": node}
        pod = _pod_of(event.decoded)
        container = pod.get("container")
        if pod:
            kubernetes |= self._pod(pod)
        if isinstance(container, dict):
            kubernetes["container"] = _only({"name": container.get("name")})
            merge(event.fields, {"container": _container(container)}, overwrite=False)
        if kubernetes:
            event.fields["kubernetes"] = kubernetes

    def _pod(self, pod: Fields) -> Fields:
        found = _only({"namespace": pod.get("namespace")})
        found["pod"] = _only({"name": pod.get("name"), "uid": pod.get("uid")})
        labels = pod.get("pod_labels")
        if isinstance(labels, dict) and labels:
            found["labels"] = (
                {name.replace(".", "_"): copied(value) for name, value in labels.items()}
                if self._dedot
                else copied(labels)
            )
        kind, name = pod.get("workload_kind"), pod.get("workload")
        if isinstance(kind, str) and kind and kind != "Pod" and name:
            found[kind.lower()] = {"name": name}
        return found


def _pod_of(decoded: Fields) -> Fields:
    """`process.pod` of an event of any kind."""
    for event in decoded.values():
        process = event.get("process") if isinstance(event, dict) else None
        pod = process.get("pod") if isinstance(process, dict) else None
        if isinstance(pod, dict):
            return pod
    return {}


def _container(container: Fields) -> Fields:
    """The fields of ECS; an id such as `containerd://…` begins with the runtime."""
    image, full_id = container.get("image"), container.get("id")
    runtime, _, bare = full_id.rpartition("://") if isinstance(full_id, str) else ("", "", "")
    name = image.get("name") if isinstance(image, dict) else None
    found = _only({"id": bare, "runtime": runtime})
    return {**found, "image": {"name": name}} if name else found


def _only(fields: Fields) -> Fields:
    """The fields that have a value."""
    return {key: value for key, value in fields.items() if value}

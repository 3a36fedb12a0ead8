"""Reads the YAML of deploy/ and of rendered charts, and says what does not fit together in it.

A pod that names a volume, a key or a variable that nobody gives fails only on a node, and late.
`faults` finds that here: it is empty for a pod whose every reference leads somewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from shipper.config.model import Config

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"

Manifest = dict[str, Any]

READER_OF_ROOTS_FILES: Manifest = {
    "runAsUser": 0,
    "runAsGroup": 0,
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""The security context of a container: it owns Tetragon's files, and can do nothing else."""


class _Loader(yaml.SafeLoader):
    """YAML whose keys are all different: the second of two would win in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key} is there twice", problem_mark=node.start_mark
                )
        return super().construct_mapping(node, deep=deep)


def parse(text: str) -> list[Manifest]:
    """Return the documents of a YAML text that are not empty."""
    return [document for document in yaml.load_all(text, _Loader) if document is not None]


def read(*files: Path) -> list[Manifest]:
    """Return the documents of YAML files."""
    return [document for file in files for document in parse(file.read_text())]


def one(manifests: Sequence[Manifest], kind: str, name: str) -> Manifest:
    """Return the only object of that kind and name."""
    (found,) = (m for m in manifests if m["kind"] == kind and m["metadata"]["name"] == name)
    return found


def container(pod: Manifest, name: str) -> Manifest:
    """Return the container of that name of a pod's spec."""
    (found,) = (each for each in pod["containers"] if each["name"] == name)
    return dict(found)


def mounts(pod: Manifest, name: str) -> dict[str, Manifest]:
    """Return what a container of the pod has mounted, by mount path: mount and volume in one."""
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    return {
        mount["mountPath"]: {**volumes.get(mount["name"], {}), **mount}
        for mount in container(pod, name)["volumeMounts"]
    }


def faults(pod: Manifest, name: str, beside: Sequence[Manifest]) -> list[str]:
    """Return what container `name` of a pod refers to and nobody gives.

    ``beside``: the ConfigMaps and Secrets that the deployment has, in the pod's namespace.
    """
    return list(_faults(pod, name, beside))


def _faults(pod: Manifest, name: str, beside: Sequence[Manifest]) -> Iterator[str]:
    volumes = [volume["name"] for volume in pod["volumes"]]
    for volume in sorted({each for each in volumes if volumes.count(each) > 1}):
        yield f"volume {volume} is there twice"
    for path, mount in mounts(pod, name).items():
        if mount["name"] not in volumes:
            yield f"{path}: there is no volume {mount['name']}"
    given = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in beside}
    for where, kind, wanted in _wanted(pod, name):
        if (kind, wanted) not in given:
            yield f"{where}: there is no {kind} {wanted}"


def _wanted(pod: Manifest, name: str) -> Iterator[tuple[str, str, str]]:
    for path, mount in mounts(pod, name).items():
        if "configMap" in mount:
            yield path, "ConfigMap", mount["configMap"]["name"]
        if "secret" in mount:
            yield path, "Secret", mount["secret"]["secretName"]
    for variable in container(pod, name).get("env", ()):
        source = variable.get("valueFrom", {})
        for key, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
            if key in source:
                yield variable["name"], kind, source[key]["name"]


def unmet(
    config: Config, pod: Manifest, name: str, beside: Sequence[Manifest], logs: str
) -> list[str]:
    """Return what the configuration needs of the pod's mounts and does not find there.

    ``logs``: the directory that Tetragon exports to; the configuration has to watch it.
    """
    return list(_unmet(config, pod, name, beside, logs))


def _unmet(
    config: Config, pod: Manifest, name: str, beside: Sequence[Manifest], logs: str
) -> Iterator[str]:
    mounted = mounts(pod, name)
    if not any(PurePosixPath(path).parent == PurePosixPath(logs) for path in watched(config)):
        yield f"{logs} is not watched"
    if "hostPath" not in mounted.get(logs, {}):
        yield f"{logs} is not a directory of the node"
    data = mounted.get(config.data_dir, {})
    if "hostPath" not in data or data.get("readOnly", False):
        yield f"{config.data_dir} is no directory of the node that can be written to"
    secrets = (config.output.api_key_file, config.output.password_file)
    for file in (*secrets, *config.output.tls.authorities):
        if file and not _is_given(PurePosixPath(file), mounted, beside):
            yield f"{file} is in no Secret"


def watched(config: Config) -> list[str]:
    """Return all globs of a configuration."""
    return [path for source in config.inputs for path in source.paths]


def _is_given(
    file: PurePosixPath, mounted: Mapping[str, Manifest], beside: Sequence[Manifest]
) -> bool:
    volume = mounted.get(str(file.parent), {})
    if "secret" not in volume:
        return False
    secret = one(beside, "Secret", volume["secret"]["secretName"])
    return file.name in secret["stringData"]

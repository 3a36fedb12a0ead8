"""The DaemonSet of deploy/daemonset: complete, consistent, and able to read what it is to read."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from shipper.config.model import Config
from tests.deploy import manifests
from tests.deploy.conftest import LoadText
from tests.deploy.manifests import DEPLOY, Manifest

DAEMONSET = DEPLOY / "daemonset"
NAME = "shipper"
EXAMPLE = "secret.example.yaml"
KUSTOMIZATION = "kustomization.yaml"
LOGS = ("/var/run/cilium/tetragon", "/var/log/tetragon")


@pytest.fixture
def kustomization() -> Manifest:
    """What `kubectl apply -k` applies."""
    (found,) = manifests.read(DAEMONSET / KUSTOMIZATION)
    return found


@pytest.fixture
def applied(kustomization: Manifest) -> list[Manifest]:
    """The objects of the kustomization, and the example of a Secret."""
    return manifests.read(*(DAEMONSET / name for name in [*kustomization["resources"], EXAMPLE]))


@pytest.fixture
def template(applied: list[Manifest]) -> Manifest:
    """The DaemonSet's template of a pod."""
    found = manifests.one(applied, "DaemonSet", "shipper")["spec"]["template"]
    assert isinstance(found, dict)
    return found


@pytest.fixture
def pod(template: Manifest) -> Manifest:
    """The spec of its pods."""
    spec = template["spec"]
    assert isinstance(spec, dict)
    return spec


@pytest.fixture
def config(applied: list[Manifest], load_text: LoadText) -> Config:
    """The ConfigMap's configuration."""
    text = manifests.one(applied, "ConfigMap", "shipper")["data"]["shipper.yml"]
    return load_text(text, {"NODE_NAME": "node-1"})


def test_the_kustomization_has_every_manifest_but_the_example(kustomization: Manifest) -> None:
    there = {path.name for path in DAEMONSET.glob("*.yaml")}
    assert set(kustomization["resources"]) == there - {EXAMPLE, KUSTOMIZATION}


def test_the_image_that_the_kustomization_replaces_is_the_one_that_runs(
    kustomization: Manifest, pod: Manifest
) -> None:
    (image,) = kustomization["images"]
    assert manifests.container(pod, NAME)["image"] == f"{image['name']}:{image['newTag']}"


def test_everything_is_in_one_namespace_that_allows_directories_of_the_node(
    applied: list[Manifest],
) -> None:
    namespace = manifests.one(applied, "Namespace", "shipper")
    labels = namespace["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "privileged"
    others = [manifest for manifest in applied if manifest is not namespace]
    assert {manifest["metadata"]["namespace"] for manifest in others} == {"shipper"}


def test_the_pods_have_no_token_of_the_api(applied: list[Manifest], pod: Manifest) -> None:
    account = manifests.one(applied, "ServiceAccount", pod["serviceAccountName"])
    assert account["automountServiceAccountToken"] is False
    assert pod["automountServiceAccountToken"] is False


def test_the_selector_finds_the_pods(applied: list[Manifest], template: Manifest) -> None:
    selector = manifests.one(applied, "DaemonSet", "shipper")["spec"]["selector"]["matchLabels"]
    assert selector.items() <= template["metadata"]["labels"].items()


def test_it_runs_on_every_node_that_tetragon_runs_on(pod: Manifest) -> None:
    assert pod["tolerations"] == [{"operator": "Exists"}]


def test_it_is_root_without_any_capability_on_a_read_only_root(pod: Manifest) -> None:
    assert manifests.container(pod, NAME)["securityContext"] == manifests.READER_OF_ROOTS_FILES


def test_all_that_the_pod_refers_to_is_there(pod: Manifest, applied: list[Manifest]) -> None:
    assert manifests.faults(pod, NAME, applied) == []


@pytest.mark.parametrize("logs", LOGS)
def test_the_configuration_finds_the_logs_the_key_and_a_data_directory_in_the_pod(
    config: Config, pod: Manifest, applied: list[Manifest], logs: str
) -> None:
    assert manifests.unmet(config, pod, NAME, applied, logs) == []


@pytest.mark.parametrize("logs", LOGS)
def test_a_log_directory_that_is_not_there_yet_stops_no_pod_and_may_have_links_in_it(
    pod: Manifest, logs: str
) -> None:
    mount = manifests.mounts(pod, NAME)[logs]
    assert mount["hostPath"]["type"] == "DirectoryOrCreate"
    assert "readOnly" not in mount


def test_every_watched_directory_is_mounted(config: Config, pod: Manifest) -> None:
    directories = {str(PurePosixPath(path).parent) for path in manifests.watched(config)}
    assert directories <= manifests.mounts(pod, NAME).keys()


def test_the_probes_ask_the_port_that_the_configuration_listens_on(
    config: Config, pod: Manifest
) -> None:
    host, _, port = config.admin.listen.rpartition(":")
    container = manifests.container(pod, NAME)
    assert host == "0.0.0.0"
    assert container["ports"] == [{"name": "admin", "containerPort": int(port)}]
    asked = {
        name: container[name]["httpGet"]["path"] for name in ("livenessProbe", "readinessProbe")
    }
    assert asked == {"livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    assert {container[name]["httpGet"]["port"] for name in asked} == {"admin"}


def test_a_pod_has_longer_to_stop_than_shipper_takes(config: Config, pod: Manifest) -> None:
    assert pod["terminationGracePeriodSeconds"] > config.shutdown_timeout

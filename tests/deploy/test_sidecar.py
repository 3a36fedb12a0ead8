"""Tetragon's real charts with our values: the sidecar is shipper, and has all it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from shipper.config.model import Config
from tests.deploy import manifests
from tests.deploy.conftest import LoadText
from tests.deploy.manifests import DEPLOY, Manifest

pytestmark = pytest.mark.helm

SIDECAR = DEPLOY / "sidecar"
CHARTS = Path(__file__).parent / "charts"
NAME = "export-stdout"
IN_MEMORY = ("/run/", "/var/run/", "/dev/", "/tmp/")

Render = Callable[[Path, Path], list[Manifest]]


@dataclass(frozen=True, slots=True)
class Chart:
    """One of Tetragon's charts, and where it exports to."""

    directory: Path
    logs: str


@pytest.fixture(
    params=[
        Chart(CHARTS / "tetragon-1.7.0", "/var/run/cilium/tetragon"),
        Chart(CHARTS / "tetragon-next", "/var/log/tetragon"),
    ],
    ids=lambda chart: chart.directory.name,
)
def chart(request: pytest.FixtureRequest) -> Chart:
    """Each of the charts in turn."""
    assert isinstance(request.param, Chart)
    return request.param


@pytest.fixture
def pod(chart: Chart, render: Render) -> Manifest:
    """The spec of Tetragon's pods with our values."""
    return pod_of(render(chart.directory, SIDECAR / "values.yaml"))


@pytest.fixture
def beside() -> list[Manifest]:
    """What is applied besides the chart."""
    return manifests.read(SIDECAR / "configmap.yaml", SIDECAR / "secret.example.yaml")


@pytest.fixture
def config(beside: list[Manifest], load_text: LoadText) -> Config:
    """The ConfigMap's configuration, as the container sees it."""
    text = manifests.one(beside, "ConfigMap", "shipper")["data"]["shipper.yml"]
    return load_text(text, {"NODE_NAME": "node-1", "NODE_IP": "192.0.2.1"})


def pod_of(rendered: list[Manifest]) -> Manifest:
    spec = manifests.one(rendered, "DaemonSet", "tetragon")["spec"]["template"]["spec"]
    assert isinstance(spec, dict)
    return spec


def test_the_sidecar_runs_our_image_with_its_own_command(pod: Manifest) -> None:
    sidecar = manifests.container(pod, NAME)
    assert sidecar["image"].partition(":")[0].endswith("/shipper")
    assert "command" not in sidecar
    assert "args" not in sidecar


def test_the_sidecar_is_root_without_any_capability_on_a_read_only_root(pod: Manifest) -> None:
    assert manifests.container(pod, NAME)["securityContext"] == manifests.READER_OF_ROOTS_FILES


def test_the_sidecar_has_its_share_of_cpu_and_memory(pod: Manifest) -> None:
    assert manifests.container(pod, NAME)["resources"] == {
        "requests": {"cpu": "100m", "memory": "128Mi"},
        "limits": {"cpu": "500m", "memory": "128Mi"},
    }


def test_the_sidecar_knows_its_node(pod: Manifest) -> None:
    fields = {
        variable["name"]: variable["valueFrom"]["fieldRef"]["fieldPath"]
        for variable in manifests.container(pod, NAME)["env"]
    }
    assert fields == {"NODE_NAME": "spec.nodeName", "NODE_IP": "status.hostIP"}


def test_all_that_the_sidecar_refers_to_is_there(pod: Manifest, beside: list[Manifest]) -> None:
    assert manifests.faults(pod, NAME, beside) == []


def test_a_missing_secret_would_be_noticed(pod: Manifest, beside: list[Manifest]) -> None:
    without = [manifest for manifest in beside if manifest["kind"] != "Secret"]
    assert manifests.faults(pod, NAME, without) == [
        "/run/secrets/shipper: there is no Secret shipper-credentials"
    ]


def test_the_configuration_finds_the_logs_the_key_and_a_data_directory_in_the_pod(
    chart: Chart, config: Config, pod: Manifest, beside: list[Manifest]
) -> None:
    assert manifests.unmet(config, pod, NAME, beside, chart.logs) == []


def test_the_configuration_is_mounted_where_shipper_looks_for_it(pod: Manifest) -> None:
    mount = manifests.mounts(pod, NAME)["/etc/shipper"]
    assert mount["configMap"] == {"name": "shipper"}
    assert "subPath" not in mount


def test_the_key_is_readable_by_its_owner_alone(pod: Manifest) -> None:
    assert manifests.mounts(pod, NAME)["/run/secrets/shipper"]["secret"]["defaultMode"] == 0o400


def test_offsets_are_kept_on_a_disk_of_the_node(config: Config, pod: Manifest) -> None:
    path = manifests.mounts(pod, NAME)[config.data_dir]["hostPath"]["path"]
    assert not path.startswith(IN_MEMORY)


def test_the_admin_port_stays_on_the_loopback_and_is_nobody_elses(
    chart: Chart, config: Config, render: Render
) -> None:
    host, _, port = config.admin.listen.rpartition(":")
    assert host == "127.0.0.1"
    assert port not in str(render(chart.directory, SIDECAR / "values.yaml"))


def test_the_rest_of_the_chart_is_as_it_is_without_us(
    chart: Chart, pod: Manifest, render: Render, tmp_path: Path
) -> None:
    nothing = tmp_path / "values.yaml"
    nothing.write_text("{}\n")
    before = pod_of(render(chart.directory, nothing))
    assert manifests.container(pod, "tetragon") == manifests.container(before, "tetragon")
    assert [volume for volume in pod["volumes"] if volume in before["volumes"]] == before["volumes"]
    others = before.keys() - {"containers", "volumes"}
    assert {key: pod[key] for key in others} == {key: before[key] for key in others}

"""The PodMonitors find the pods and ports that are there, and the alerts are on real labels."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from shipper.metric_table import METRICS
from tests.deploy import manifests
from tests.deploy.manifests import DEPLOY, Manifest

PROMETHEUS = DEPLOY / "prometheus"
CHARTS = Path(__file__).parent / "charts"
LABELS = {metric.name: set(metric.labels) for metric in METRICS}


@pytest.fixture
def rules() -> list[Manifest]:
    """The alerts."""
    (found,) = manifests.read(PROMETHEUS / "rules.yaml")
    (group,) = found["spec"]["groups"]
    return list(group["rules"])


def monitor(name: str) -> Manifest:
    (found,) = manifests.read(PROMETHEUS / name)
    return found


def test_there_is_an_alert_for_each_way_to_be_in_trouble(rules: list[Manifest]) -> None:
    watched = {name for rule in rules for name in re.findall(r"shipper_\w+", rule["expr"])}
    assert watched == {
        "shipper_kept_bytes",
        "shipper_events_total",
        "shipper_dead_letter_bytes",
        "shipper_dead_letter_limit_bytes",
        "shipper_failure_store_events_total",
        "shipper_file_errors_total",
        "shipper_foreign_links",
        "shipper_gzip_problems_total",
        "shipper_input_files",
        "shipper_internal_errors_total",
        "shipper_link_directory_changes_total",
        "shipper_link_directory_problems",
        "shipper_logs_removed_under_writer_total",
        "shipper_lost_bytes_total",
        "shipper_oldest_unacknowledged_seconds",
        "shipper_ready",
        "shipper_registry_commit_failures_total",
    }


def test_each_alert_says_how_bad_it_is_and_what_it_means(rules: list[Manifest]) -> None:
    for rule in rules:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"].keys() == {"summary", "description"}


def test_an_alert_uses_the_labels_that_its_metric_has(rules: list[Manifest]) -> None:
    for rule in rules:
        names = re.findall(r"shipper_\w+", rule["expr"])
        has = set().union(*(LABELS[name] for name in names)) | {"instance", "job"}
        groups = re.findall(r"by \(([^)]*)\)", rule["expr"])
        used = {label.strip() for group in groups for label in group.split(",")}
        used |= set(re.findall(r'(\w+)=~?"', rule["expr"]))
        shown = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        assert used | shown <= has, rule["alert"]


def test_the_alerts_on_scraping_know_the_jobs_of_the_pod_monitors(rules: list[Manifest]) -> None:
    (down,) = (rule for rule in rules if rule["alert"] == "ShipperDown")
    (pattern,) = re.findall(r'job=~"([^"]*)"', down["expr"])
    for name in ("podmonitor-daemonset.yaml", "podmonitor-sidecar.yaml"):
        metadata = monitor(name)["metadata"]
        assert re.fullmatch(pattern, f"{metadata['namespace']}/{metadata['name']}")


def test_the_daemonsets_pods_are_found_by_label_and_port() -> None:
    found = monitor("podmonitor-daemonset.yaml")
    (daemonset,) = manifests.read(DEPLOY / "daemonset" / "daemonset.yaml")
    template = daemonset["spec"]["template"]
    assert found["metadata"]["namespace"] == daemonset["metadata"]["namespace"]
    wanted = found["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= template["metadata"]["labels"].items()
    (endpoint,) = found["spec"]["podMetricsEndpoints"]
    ports = manifests.container(template["spec"], "shipper")["ports"]
    assert endpoint["port"] in {port["name"] for port in ports}


@pytest.mark.helm
@pytest.mark.parametrize("chart", ["tetragon-1.7.0", "tetragon-next"])
def test_the_sidecars_pods_are_found_by_label_and_container(
    chart: str, render: Callable[[Path, Path], list[Manifest]]
) -> None:
    found = monitor("podmonitor-sidecar.yaml")
    rendered = render(CHARTS / chart, DEPLOY / "sidecar" / "values.yaml")
    daemonset = manifests.one(rendered, "DaemonSet", "tetragon")
    template = daemonset["spec"]["template"]
    assert found["metadata"]["namespace"] == daemonset["metadata"]["namespace"]
    wanted = found["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= template["metadata"]["labels"].items()
    (endpoint,) = found["spec"]["podMetricsEndpoints"]
    (kept,) = (rule for rule in endpoint["relabelings"] if rule.get("action") == "keep")
    sidecar = manifests.container(template["spec"], kept["regex"])
    assert "/shipper:" in sidecar["image"]
    # The monitor relies on the one target that Prometheus makes of a container without ports.
    assert "ports" not in sidecar


@pytest.mark.parametrize(
    ("address", "target"), [("192.0.2.1", "192.0.2.1:9479"), ("2001:db8::1", "[2001:db8::1]:9479")]
)
def test_the_sidecars_port_is_added_to_the_address_of_its_pod(address: str, target: str) -> None:
    (endpoint,) = monitor("podmonitor-sidecar.yaml")["spec"]["podMetricsEndpoints"]
    targets = [
        found.expand(rule["replacement"].replace("$1", r"\1"))
        for rule in endpoint["relabelings"]
        if rule.get("targetLabel") == "__address__"
        if (found := re.fullmatch(rule["regex"], address))
    ]
    assert targets == [target]

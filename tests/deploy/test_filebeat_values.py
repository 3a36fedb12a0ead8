"""Who has Filebeat by Elastic's guide changes one line, and the pod has all that shipper needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from shipper.config.load import SEARCH_PATHS
from tests.deploy import manifests
from tests.deploy.conftest import LoadText
from tests.deploy.manifests import DEPLOY, ROOT, Manifest

VALUES = DEPLOY / "sidecar" / "filebeat-values.yaml"
GUIDE = ROOT / "tests" / "data" / "filebeat-helm-values.yaml"
CHART = Path(__file__).parent / "charts" / "tetragon-1.7.0"
NAME = "export-stdout"


def test_the_image_is_the_only_line_of_the_guides_values_that_changes() -> None:
    def lines(path: Path) -> list[str]:
        text = path.read_text().splitlines()
        return [line for line in text if not line.startswith("#")]

    ours, guides = lines(VALUES), lines(GUIDE)
    changed = [(a, b) for a, b in zip(ours, guides, strict=True) if a != b]
    assert changed == [
        (
            '      override: "example.com/shipper:0.1.0"',
            '      override: "docker.elastic.co/beats/filebeat:8.15.3"',
        )
    ]


def test_the_values_are_yaml() -> None:
    assert yaml.safe_load(VALUES.read_text())["export"]["stdout"]["enabledArgs"] is False


@pytest.mark.helm
def test_the_pod_has_the_guides_file_where_shipper_looks_and_its_data_where_it_says(
    render: Callable[[Path, Path], list[Manifest]], load_text: LoadText
) -> None:
    rendered = render(CHART, VALUES)
    pod = manifests.one(rendered, "DaemonSet", "tetragon")["spec"]["template"]["spec"]
    container = manifests.container(pod, NAME)
    assert "command" not in container
    assert "args" not in container
    places = {mount["mountPath"] for mount in container["volumeMounts"]}
    config = load_text((ROOT / "tests/data/filebeat.yml").read_text(), {})
    assert SEARCH_PATHS[1] in places
    assert config.data_dir in places
    assert Path(config.inputs[0].paths[0]).parent.as_posix() in places

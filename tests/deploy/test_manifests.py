"""What holds for every file of deploy/: it parses, it names one version, it has no stray names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from shipper import __version__
from shipper.metric_table import METRICS, Kind
from tests.deploy import manifests
from tests.deploy.manifests import DEPLOY, ROOT

GUIDE = ROOT / "docs" / "deploy.md"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
TEXTS = [*FILES, GUIDE, ROOT / "Dockerfile"]
# Helm's values and the daemon's own configuration are no objects of Kubernetes.
NO_OBJECTS = ("values.yaml", "filebeat-values.yaml", "shipper.yml")


def relative(path: Path) -> str:
    """Return a file's name as a test's id."""
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.suffix in {".yaml", ".yml"}], ids=relative
)
def test_a_yaml_file_parses_and_its_objects_have_kind_and_name(path: Path) -> None:
    documents = manifests.read(path)
    assert documents
    if path.name in NO_OBJECTS:
        return
    for document in documents:
        assert document["apiVersion"]
        assert document["kind"] == "Kustomization" or document["metadata"]["name"]


def test_a_key_that_is_there_twice_is_an_error() -> None:
    with pytest.raises(yaml.YAMLError, match="image is there twice"):
        manifests.parse("image: one\nimage: two\n")


def exposed() -> Iterator[str]:
    """Yield every name that /metrics has."""
    for metric in METRICS:
        yield metric.name
        if metric.kind is Kind.HISTOGRAM:
            yield from (f"{metric.name}_{part}" for part in ("bucket", "sum", "count"))


@pytest.mark.parametrize("path", TEXTS, ids=relative)
def test_a_metric_that_is_named_is_one_that_the_daemon_has(path: Path) -> None:
    assert set(re.findall(r"\bshipper_\w+", path.read_text())) <= set(exposed())


@pytest.mark.parametrize("path", TEXTS, ids=relative)
def test_an_image_that_is_named_has_this_version(path: Path) -> None:
    tags = re.findall(r"\bexample\.com/shipper:([\w.]+)|\bnewTag: (\S+)", path.read_text())
    assert {tag for found in tags for tag in found if tag} <= {__version__}


def test_the_guide_names_every_file_that_is_there_for_a_user_and_no_other() -> None:
    named = set(re.findall(r"deploy/[\w./-]*\w", GUIDE.read_text()))
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
    for path in DEPLOY.iterdir():
        assert relative(path) in {name for each in named for name in (each, str(Path(each).parent))}


def test_the_guide_has_the_variables_that_the_image_reads() -> None:
    variable = r"\b(?:ELASTICSEARCH|SHIPPER)_[A-Z_]+"
    read = set(re.findall(variable, (DEPLOY / "image" / "shipper.yml").read_text()))
    assert set(re.findall(variable, GUIDE.read_text())) == read


def test_the_guide_has_every_alert() -> None:
    (rules,) = manifests.read(DEPLOY / "prometheus" / "rules.yaml")
    alerts = [rule["alert"] for group in rules["spec"]["groups"] for rule in group["rules"]]
    assert re.findall(r"^\| (Shipper\w+) \|", GUIDE.read_text(), re.MULTILINE) == alerts

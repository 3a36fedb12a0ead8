"""Helm, the installed image, and configurations read by the daemon's own loader."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from shipper.config.load import load_config
from shipper.config.model import Config
from tests.deploy import helm
from tests.deploy.dockerfile import Build
from tests.deploy.dockerfile import parse as parse_dockerfile
from tests.deploy.manifests import ROOT, Manifest, parse

LoadText = Callable[[str, Mapping[str, str]], Config]


@pytest.fixture
def load_text(tmp_path: Path) -> LoadText:
    """Load a configuration that is a text, with these environment variables."""

    def load(text: str, environ: Mapping[str, str]) -> Config:
        path = tmp_path / "shipper.yml"
        path.write_text(text)
        return load_config(path, environ)

    return load


@pytest.fixture(scope="session")
def helm_program() -> Path:
    """The helm program; skips, or fails in CI, where go is not installed."""
    if shutil.which("go") is None:
        reason = "NOT TESTED AGAINST TETRAGON'S CHARTS: go is not installed"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return helm.build()


@pytest.fixture(scope="session")
def render(
    helm_program: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Path, Path], list[Manifest]]:
    """Render a chart with a file of values, in the namespace kube-system."""
    home = tmp_path_factory.mktemp("helm")

    def run(chart: Path, values: Path) -> list[Manifest]:
        text = helm.render(helm_program, chart, values, namespace="kube-system", home=home)
        return parse(text)

    return run


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the Dockerfile makes: a root with /opt/shipper and /usr/share/shipper, no sources."""
    root = tmp_path_factory.mktemp("image")
    Build(ROOT, root).run(parse_dockerfile((ROOT / "Dockerfile").read_text()))
    shutil.rmtree(root / "src")
    return root

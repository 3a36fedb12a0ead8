"""A page of the documentation is named by the path or the URL at which the reader finds it."""

from __future__ import annotations

import importlib.metadata
from email.message import Message
from pathlib import Path

import pytest

from shipper.documentation import page


def test_in_a_checkout_it_is_a_path() -> None:
    assert page("filebeat.md") == "docs/filebeat.md"


def test_elsewhere_it_is_the_url_that_the_package_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = Message()
    metadata["Project-URL"] = "Source, https://example.com/source"
    metadata["Project-URL"] = "Documentation, https://example.com/docs/"
    monkeypatch.setattr(importlib.metadata, "metadata", lambda name: metadata)
    assert page("filebeat.md", tmp_path) == "https://example.com/docs/filebeat.md"


def test_without_a_url_it_is_the_name_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(name: str) -> Message:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "metadata", nothing)
    assert page("filebeat.md", tmp_path) == "the page filebeat.md of the documentation"
    monkeypatch.setattr(importlib.metadata, "metadata", lambda name: Message())
    assert page("filebeat.md", tmp_path) == "the page filebeat.md of the documentation"

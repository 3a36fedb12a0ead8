"""A configuration of Filebeat that is as short as it can be, and what reads it in these tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from shipper.config.filebeat.draft import Draft
from shipper.config.filebeat.translate import read
from shipper.config.load import parse_config
from shipper.config.model import Config
from shipper.config.problems import Problems
from shipper.config.yaml_text import compose
from shipper.errors import ConfigError

NAME = "filebeat.yml"
LEAST = """\
filebeat.inputs:
  - type: filestream
    id: tetragon
    paths: [/logs/*.log]
output.elasticsearch:
  hosts: [http://es-1:9200]
  index: logs-cilium_tetragon.log-default
"""
"""Seven lines: what a test adds begins in line 8, at the top level or in the output."""


def load(text: str, **environ: str) -> Config:
    return parse_config(text.encode(), NAME, environ)


def draft(*texts: str, settings: tuple[str, ...] = (), **environ: str) -> Draft:
    """What is made of several files, and of settings of the command line."""
    names = [NAME, *(f"{number}.yml" for number in range(2, 1 + len(texts)))]
    files = [(name, compose(text.encode(), name)) for name, text in zip(names, texts, strict=True)]
    problems = Problems()
    made = read(files, environ, settings, problems)
    problems.raise_any(names)
    return made


def refusal(text: str, **environ: str) -> ConfigError:
    """The error that this configuration is refused with."""
    with pytest.raises(ConfigError) as raised:
        load(text, **environ)
    # One mistake is one problem.
    assert len(raised.value.problems) == 1, raised.value.problems
    return raised.value


def in_input(line: str) -> str:
    """With this line in the input, as its line 4."""
    return LEAST.replace("    paths", f"    {line}\n    paths")


def in_output(lines: str) -> str:
    return LEAST + "".join(f"  {line}\n" for line in lines.splitlines())


def written(content: Mapping[str, Any]) -> str:
    """A configuration as YAML."""
    return str(yaml.safe_dump(content, sort_keys=False))

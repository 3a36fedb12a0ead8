"""A message calls an option as the reader's file does."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

import shipper
from shipper.check.command import check
from shipper.clock import SystemClock
from shipper.config.filebeat.translate import NAMES, SECTIONS
from shipper.config.load import parse_config
from shipper.config.model import Config
from shipper.config.section import Section, options_of
from shipper.errors import ConfigError
from shipper.option_names import OWN_NAMES, OptionNames, option
from tests.config.filebeat.samples import LEAST
from tests.config.test_load import options
from tests.support.bulk_server import BulkServer

SOURCE = Path(shipper.__file__).parent

NAMED = re.compile(r"(?:\boption|\bnames|_names|\.together)\(\s*((?:f?[\"'][^\"')]*[\"'],?\s*)+)\)")
"""Where code names options by their paths."""


def named() -> set[str]:
    found: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        for call in NAMED.findall(path.read_text()):
            names = re.findall(r"[\"']([^\"']*)[\"']", call)
            found |= {name for name in names if "{" not in name and name != "…"}
    return found


def sections(section: type[Section] = Config, prefix: str = "") -> set[str]:
    """The paths of options that have options in them."""
    leaves = set(options(section, prefix))
    parts = [leaf.split(".") for leaf in leaves]
    return {".".join(part[:length]) for part in parts for length in range(1, len(part))}


def test_a_message_has_the_name_of_its_dialect() -> None:
    text = f"set {option('output.tls.ca')} to it"
    assert OWN_NAMES.fill(text) == "set output.tls.ca to it"
    assert NAMES.fill(text) == "set output.elasticsearch.ssl.certificate_authorities to it"


def test_of_several_options_those_are_named_that_the_dialect_has() -> None:
    names = OptionNames({"a": "x", "b": "x", "c": "y", "inputs": "theirs"}, "shipper")
    assert OWN_NAMES.fill(option("a", "b", "c")) == "a, b or c"
    assert names.fill(option("a", "b", "c", "d")) == "x or y"
    # The others are below a key of their own, at the top of the file or in an input.
    assert names.fill(option("d", "e")) == "shipper.d"
    assert names.fill(option("inputs[].d.e")) == "theirs[].shipper.d.e"


def test_every_option_that_code_names_is_there() -> None:
    found = named()
    assert len(found) > 30
    assert found <= {*options(), *sections(), "output.console"}


def test_every_name_of_filebeats_is_an_option_of_filebeats() -> None:
    known = {section.full_name(each) for section in SECTIONS for each in section.options}
    known |= {"output.elasticsearch", "output.file", "output.console"}
    assert set(NAMES.names.values()) <= known


def test_every_option_of_ours_that_names_have_is_there() -> None:
    assert set(NAMES.names) <= {*options(), *sections(), "inputs", "output.console"}


def test_what_the_names_are_is_no_option_of_the_file() -> None:
    assert "option_names" not in [found.name for found in options_of(Config)]
    with pytest.raises(ConfigError, match="option_names: unknown option"):
        parse_config(b"option_names: {}\ninputs: []\noutput: {console: {}}\n", "a.yml", {})


def in_filebeat(url: str, tmp_path: Path, more: str = "") -> Config:
    text = LEAST.replace("http://es-1:9200", url).replace("/logs/", f"{tmp_path}/")
    return parse_config(f"{text}{more}path.data: {tmp_path}\n".encode(), "filebeat.yml", {})


def test_check_advises_in_the_words_of_filebeat(tmp_path: Path) -> None:
    with BulkServer(tls=True) as server:
        found = asyncio.run(check(in_filebeat(server.url, tmp_path), SystemClock()))
    (failed,) = (each for each in found if each.check == "reachable")
    assert failed.what_to_do == (
        "set output.elasticsearch.ssl.certificate_authorities to the CA of the cluster"
    )
    assert f"path.data {tmp_path}" in {each.subject for each in found}


def test_errors_of_the_setup_are_in_the_words_of_filebeat(tmp_path: Path) -> None:
    tls = f"  ssl.certificate: {tmp_path}/no.crt\n  ssl.key: {tmp_path}/no.key\n"
    with pytest.raises(ConfigError) as raised:
        asyncio.run(check(in_filebeat("https://127.0.0.1:9", tmp_path, tls), SystemClock()))
    assert raised.value.problems[0].what_to_do == (
        "set output.elasticsearch.ssl.certificate to a PEM file that this user may read"
    )


def test_an_option_that_stands_elsewhere_in_the_file_is_named_there(
    tmp_path: Path, bulk_server: BulkServer
) -> None:
    bulk_server.authorization = "Basic right"
    config = in_filebeat(bulk_server.url, tmp_path, "cloud.auth: shipper:wrong\n")
    found = asyncio.run(check(config, SystemClock()))
    (failed,) = (each for each in found if each.check == "authentication")
    assert failed.what_to_do == "user and password are not accepted: check cloud.auth"

"""What inputs mean here: their types, their ids, what is left out, what they say of the output."""

from __future__ import annotations

import fnmatch
import re

import pytest

from tests.config.filebeat.samples import LEAST, draft, in_input, load, refusal

TWO = """\
filebeat.inputs:
  - {type: filestream, id: a, paths: [/a/*.log]FIRST}
  - {type: log, paths: [/b/*.log, /c.log]SECOND}
output.elasticsearch: {hosts: [http://es-1:9200], index: logs-cilium_tetragon.log-default}
"""

CONSOLE = "output.console: {pretty: false}\n"


def two(first: str = "", second: str = "") -> str:
    first, second = (f", {each}" if each else "" for each in (first, second))
    return TWO.replace("FIRST", first).replace("SECOND", second)


def test_several_inputs_are_several_inputs() -> None:
    first, second = load(two()).inputs
    assert (first.id, first.paths) == ("a", ("/a/*.log",))
    assert (second.id, second.paths) == ("log:/b/*.log,/c.log", ("/b/*.log", "/c.log"))


def test_an_input_that_is_off_is_not_looked_at() -> None:
    config = load(two("enabled: false, no_such: 1", "id: b"))
    assert [each.id for each in config.inputs] == ["b"]


def test_a_filestream_without_an_id_has_one_that_stays() -> None:
    assert load(LEAST.replace("    id: tetragon\n", "")).inputs[0].id == "filestream"


def test_two_inputs_with_one_id_are_refused_with_the_place() -> None:
    error = refusal(two(second="id: a"))
    assert error.what == "filebeat.inputs[1].id: another input has the id `a`, too"
    assert error.where == "filebeat.yml, line 3"


def test_lines_are_as_long_as_in_filebeat_and_links_are_left_out() -> None:
    for source in load(two()).inputs:
        assert (source.max_line_bytes, source.symlinks) == (10 * 1024**2, False)


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("container", "unsupported input: logs of a container runtime"),
        ("docker", "unsupported input: logs of a container runtime"),
        ("stdin", "unsupported input"),
        ("[a]", "unsupported input"),
    ],
)
def test_other_types_are_refused_with_the_line(kind: str, what: str) -> None:
    error = refusal(LEAST.replace("type: filestream", f"type: {kind}"))
    assert error.what == f"filebeat.inputs[0].type: {what}"
    assert error.where == "filebeat.yml, line 2"
    assert "filestream" in error.what_to_do


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (LEAST.replace("    paths: [/logs/*.log]\n", ""), "filebeat.inputs[0].paths: required"),
        (LEAST.replace("type: filestream", "tags: []"), "filebeat.inputs[0].type: required"),
        (LEAST.replace("[/logs", "[logs"), "filebeat.inputs[0].paths[0]: `logs/*.log` is not"),
        (in_input("ignore_older: 1x"), "filebeat.inputs[0].ignore_older: expected a duration"),
        (in_input("message_max_bytes: 1"), "filebeat.inputs[0].message_max_bytes: 1B is out of"),
        (in_input("encoding: utf-16"), "filebeat.inputs[0].encoding: unsupported value; only "),
        (in_input("parsers: [ndjson: {}]"), "filebeat.inputs[0].parsers[0].ndjson: unsupported"),
        (in_input("tags: [a, {b: c}]"), "filebeat.inputs[0].tags: expected text"),
        (in_input("compression: gzip"), "filebeat.inputs[0].compression: not a supported"),
        ("output.console: {pretty: false}\n", "filebeat.inputs: required option is missing"),
        (f"filebeat.inputs: []\n{CONSOLE}", "filebeat.inputs: no input is enabled"),
        (f"filebeat.inputs: [a]\n{CONSOLE}", "filebeat.inputs[0]: expected keys with values"),
        (f"filebeat.inputs: {{}}\n{CONSOLE}", "filebeat.inputs: expected a list"),
    ],
)
def test_a_fault_is_told_with_the_keys_of_the_file(text: str, what: str) -> None:
    assert refusal(text).what.startswith(what)


@pytest.mark.parametrize(
    ("expression", "globs"),
    [
        (r"\.gz$", ["/*.gz"]),
        (r".gz$", ["/*?gz"]),
        (r"^/logs/old", ["/logs/old*"]),
        (r"/old/", ["/old/*", "/*/old/*"]),
        (r"^/logs/.*\.[0-9]", None),
        (r"a|b", None),
        (r"^/a.+b\$", ["/a?*b$*"]),
        (r".*backup.*", ["/*backup*"]),
        (r"\*", ["/*[*]*"]),
    ],
)
def test_an_expression_that_leaves_out_files_becomes_globs(
    expression: str, globs: list[str] | None
) -> None:
    text = in_input(f"prospector.scanner.exclude_files: ['{expression}']")
    if globs is None:
        assert "cannot be written as a glob" in refusal(text).what
        return
    assert list(load(text).inputs[0].exclude) == globs
    for path in ("/a.gz", "/logs/old.1", "/old/x", "/x/old/y", "/a-b$", "/backup", "/*", "/agz"):
        expected = re.search(expression, path) is not None
        assert any(fnmatch.fnmatchcase(path, glob) for glob in globs) is expected, path


def test_what_all_inputs_say_of_the_output_is_said_of_it() -> None:
    output = load(two("pipeline: P, index: logs-x-y", "pipeline: p, index: logs-x-y")).output
    assert output.data_stream == "logs-x-y"
    output = load(two("pipeline: p", "pipeline: p")).output
    assert output.pipeline == "p"


@pytest.mark.parametrize(
    "line",
    [
        "include_lines: []",
        "exclude_lines: []",
        "prospector.scanner.include_files: []",
        "prospector.scanner.exclude_files: []",
        "prospector.scanner: {}",
        "parsers: []",
        "processors: []",
        "tags: []",
        "fields: {}",
        "index: ''",
        "pipeline: ''",
        "encoding: ''",
        *(f"encoding: {name}" for name in ("utf8", "UTF-8", "Plain", "nop", "utf-8", "UTF8")),
    ],
)
def test_what_is_the_default_is_as_if_it_were_not_there(line: str) -> None:
    found, plain = load(in_input(line)), load(LEAST)
    assert (found.inputs, found.output) == (plain.inputs, plain.output)
    assert draft(in_input(line)).notices == []


@pytest.mark.parametrize("second", ["", "pipeline: q"])
def test_what_inputs_say_differently_of_the_output_is_refused(second: str) -> None:
    error = refusal(two("pipeline: p", second))
    assert error.what.startswith("filebeat.inputs[0].pipeline: not the same for all inputs")
    assert error.what_to_do == "set output.elasticsearch.pipeline instead"

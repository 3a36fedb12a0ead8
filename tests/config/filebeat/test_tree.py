"""Dotted and nested keys, several files, settings of the command line; and where a fault is."""

from __future__ import annotations

import pytest

from shipper.errors import ConfigError
from tests.config.filebeat.samples import LEAST, draft, load, refusal

NESTED = """\
filebeat:
  inputs:
  - {type: filestream, id: tetragon, paths: /logs/*.log, prospector: {scanner: {symlinks: yes}}}
output:
  elasticsearch: {hosts: es-1, index: logs-cilium_tetragon.log-default}
queue: {mem: {flush: {timeout: 5s}}}
"""
DOTTED = """\
filebeat.inputs:
  - type: filestream
    id: tetragon
    paths: ["/logs/*.log"]
    prospector.scanner.symlinks: true
output.elasticsearch.hosts: ["http://es-1:9200"]
output.elasticsearch.index: logs-cilium_tetragon.log-default
queue.mem.flush.timeout: 5s
"""
MIXED = """\
filebeat: {inputs: [{type: filestream, id: tetragon, paths: [/logs/*.log], prospector.scanner: {
  symlinks: true}}]}
output.elasticsearch:
  hosts: "es-1:9200"
output.elasticsearch.index: logs-cilium_tetragon.log-default
queue.mem: {flush.timeout: 5}
"""


@pytest.mark.parametrize("text", [DOTTED, MIXED], ids=["dotted", "mixed"])
def test_dotted_and_nested_keys_are_the_same(text: str) -> None:
    assert draft(text).content == draft(NESTED).content
    assert load(text).output.bulk.linger == 5.0


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("name: a\nname: b\n", 9, "name: the key is set twice"),
        (
            "queue.mem.events: 1\nqueue: {mem: {events: 2}}\n",
            9,
            "queue.mem.events: the key is set twice",
        ),
        ("logging: 1\nlogging.level: info\n", 9, "logging: the key is set twice"),
        ("logging: 1\n", 8, "logging: expected keys with values"),
        ("<<: {}\n", 8, "<<: merge keys are not supported"),
        ("fields: &a {b: *a}\n", 8, "fields.b: the value contains itself"),
        ("queue.meme.events: 1\n", 8, "queue.meme: unknown option"),
        (
            "name: 2026-13-45\nfields: {a: !!float x}\n",
            9,
            "fields.a: the value does not fit its YAML type",
        ),
    ],
)
def test_a_fault_is_told_with_its_key_and_line(text: str, line: int, what: str) -> None:
    error = refusal(LEAST + text)
    assert error.what.startswith(what)
    assert error.where == f"filebeat.yml, line {line}"


def test_an_unknown_option_is_told_with_the_nearest_that_is_known() -> None:
    (notice,) = draft(f"{LEAST}logging.levle: info\n").notices
    assert notice.what.endswith("and so does shipper; did you mean `logging.level`?")
    assert (notice.location.line, notice.is_warning) == (8, True)
    text = LEAST.replace("paths:", "pahts:")
    assert refusal(text).what == "filebeat.inputs[0].pahts: unknown option"
    assert refusal(text).what_to_do == "did you mean `paths`?"


@pytest.mark.parametrize(
    ("name", "misspelt", "key"),
    [
        ("    paths", "    path", "filebeat.inputs[0].path"),
        ("  - type", "  - typ", "filebeat.inputs[0].typ"),
        ("  hosts", "  host", "output.elasticsearch.host"),
        ("  index", "  indx", "output.elasticsearch.indx"),
        ("filebeat.inputs", "filebeat.input", "filebeat.input"),
        ("filebeat.inputs", "input", "input"),
        ("output.elasticsearch", "output.elasticsearh", "output.elasticsearh"),
    ],
)
def test_an_unknown_option_is_refused_where_a_required_one_is_missing(
    name: str, misspelt: str, key: str
) -> None:
    error = refusal(LEAST.replace(f"{name}:", f"{misspelt}:"))
    assert error.what == f"{key}: unknown option"
    assert "did you mean `" in error.what_to_do


@pytest.mark.parametrize(
    ("lines", "key", "advice"),
    [
        ("retention.max_bytes: 1GiB", "retention.max_bytes", "write queue.disk.max_size"),
        ("admin: {listen: '0.0.0.0:9479'}", "admin.listen", "write http.host"),
        ("output.tls.ca: /ca", "output.tls.ca", "write output.elasticsearch.ssl.certificate_auth"),
        ("memory.max_bytes: 1MiB", "memory.max_bytes", "write shipper.memory.max_bytes"),
        (
            "dead_letter: {max_bytes: 1MiB}",
            "dead_letter.max_bytes",
            "write shipper.dead_letter.max_bytes",
        ),
        ("logging.metrics_interval: 1m", "logging.metrics_interval", "write logging.metrics.per"),
    ],
)
def test_an_option_of_shippers_own_format_is_told_with_filebeats_name(
    lines: str, key: str, advice: str
) -> None:
    error = refusal(f"{LEAST}{lines}\n")
    assert error.what == f"{key}: an option of shipper's own format"
    assert error.where == "filebeat.yml, line 8"
    assert error.what_to_do.startswith(advice)


def test_later_files_are_laid_over_earlier_ones() -> None:
    made = draft(
        LEAST,
        "name: b\nfields: {x: 1}\n",
        "output.elasticsearch: {hosts: [http://other:9200], username: u, password: p}\nname: c\n",
    )
    assert made.content["name"] == "c"
    output = made.content["output"]
    assert isinstance(output, dict)
    assert output["hosts"] == ["http://other:9200"]
    assert output["data_stream"] == "logs-cilium_tetragon.log-default"


def test_lists_of_several_files_are_merged_element_by_element() -> None:
    over = "filebeat.inputs: [{id: other}, {type: log, paths: [/b]}]\n"
    inputs = draft(LEAST, over).content["inputs"]
    assert isinstance(inputs, list)
    assert [(each["id"], each["paths"]) for each in inputs] == [
        ("other", ["/logs/*.log"]),
        ("log:/b", ["/b"]),
    ]


def test_a_setting_of_the_command_line_is_laid_over_all() -> None:
    settings = (
        "name=a",
        "output.elasticsearch.hosts=x:1,y:2",
        "filebeat.inputs.0.id=mine",
        "filebeat.inputs.0.tags=['p', q]",
        "path.data=/data",
        "name=b",
    )
    content = draft(LEAST, settings=settings).content
    inputs, output = content["inputs"], content["output"]
    assert isinstance(inputs, list)
    assert isinstance(output, dict)
    assert content["name"] == "b"
    assert output["hosts"] == ["http://x:1", "http://y:2"]
    assert (inputs[0]["id"], inputs[0]["tags"]) == ("mine", ["p", "q"])
    assert content["data_dir"] == "/data"


def test_a_setting_knows_where_it_comes_from() -> None:
    with pytest.raises(ConfigError) as raised:
        draft(LEAST, settings=("logging.level=loud",))
    assert raised.value.where == "-E logging.level"
    with pytest.raises(ConfigError) as raised:
        draft(LEAST, "logging.level: loud\n")
    assert raised.value.where == "2.yml, line 1"


@pytest.mark.parametrize("setting", ["MARKER7", "=MARKER7", "a..b=MARKER7"])
def test_a_setting_that_is_none_is_refused_without_its_value(setting: str) -> None:
    with pytest.raises(ConfigError, match="not KEY=VALUE") as raised:
        draft(LEAST, settings=(setting,))
    assert "MARKER7" not in str(raised.value)

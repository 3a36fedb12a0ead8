"""A configuration is found, read, and refused with the key, the line and advice if wrong."""

from __future__ import annotations

import socket
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from shipper.config.file_output import FileFormat
from shipper.config.index_name import REFERENCES
from shipper.config.inputs import Format, InputType, OnInvalid, StartAt
from shipper.config.load import find_config, load_config, parse_config
from shipper.config.model import Config
from shipper.config.outputs import Compression, Concurrency, Ids, header_values
from shipper.config.presets import Preset
from shipper.config.processor_types import AddTags
from shipper.config.section import Section, options_of
from shipper.config.tls import TlsVerify
from shipper.config.units import HostList, Secret
from shipper.errors import ConfigError, Location, Problem
from shipper.logs import Level, LogFormat

LEAST = """\
inputs:
  - id: tetragon
    paths: [/logs/*.log]
output:
  hosts: [http://es-1:9200]
"""
"""Five lines: what a test adds begins in line 6, at the top level or in `output`."""

CLOUD_ID = "prod:ZXUuZXhhbXBsZS5vcmc6OTI0MyRlcy11dWlkJGtiLXV1aWQ="
"""Of `eu.example.org:9243$es-uuid$kb-uuid`."""

SECRET = "MARKER7secret"
"""What no error and no repr may contain."""


def load(text: str, **environ: str) -> Config:
    return parse_config(text.encode(), "shipper.yml", environ)


def refusal(text: str | bytes, **environ: str) -> ConfigError:
    """Return the error that this configuration is refused with."""
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises(ConfigError) as raised:
        parse_config(data, "shipper.yml", environ)
    # One mistake is one problem.
    assert len(raised.value.problems) == 1, raised.value.problems
    return raised.value


def in_input(line: str) -> str:
    """Return a configuration whose input has this line too, as its line 3."""
    return LEAST.replace("    paths", f"    {line}\n    paths")


def in_output(lines: str) -> str:
    return LEAST + "".join(f"  {line}\n" for line in lines.splitlines())


class TestFinding:
    def test_the_file_that_is_named_comes_first(self) -> None:
        assert find_config("/a.yml", {"SHIPPER_CONFIG": "/b.yml"}) == Path("/a.yml")
        assert find_config(None, {"SHIPPER_CONFIG": "/b.yml"}) == Path("/b.yml")

    def test_the_usual_place_is_looked_at_when_none_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = tmp_path / "shipper.yml"
        monkeypatch.setattr("shipper.config.load.SEARCH_PATHS", (str(place),))
        with pytest.raises(ConfigError, match=r"no configuration file found; looked for .*-c FILE"):
            find_config(None, {})
        place.write_text(LEAST)
        assert find_config(None, {}) == place


class TestReading:
    def test_a_file_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(
            ConfigError, match="cannot be read: no such file or directory"
        ) as raised:
            load_config(tmp_path / "no.yml", {})
        assert raised.value.where == str(tmp_path / "no.yml")

    def test_a_directory_is_no_configuration(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="cannot be read: is a directory"):
            load_config(tmp_path, {})

    def test_a_file_as_large_as_a_log_is_not_read_to_its_end(self, tmp_path: Path) -> None:
        path = tmp_path / "shipper.yml"
        path.write_bytes(b"#" * 1024**2 + b"\n")
        with pytest.raises(ConfigError, match="more than 1048576 bytes"):
            load_config(path, {})

    def test_a_byte_order_mark_is_no_fault(self, tmp_path: Path) -> None:
        path = tmp_path / "shipper.yml"
        path.write_bytes(b"\xef\xbb\xbf" + LEAST.encode())
        assert load_config(path, {}).inputs[0].id == "tetragon"

    def test_the_least_configuration_has_the_defaults_of_the_page(self) -> None:
        config = load(LEAST)
        assert config.data_dir == "/var/lib/shipper"
        assert config.output.bulk.max_bytes == 4 * 1024**2
        assert config.output.timeout == 60.0
        assert config.admin.listen == "127.0.0.1:9479"

    def test_the_name_is_the_file_s_or_the_node_s_or_the_machine_s(self) -> None:
        assert load(LEAST + "name: mine\n", NODE_NAME="node-1").name == "mine"
        assert load(LEAST, NODE_NAME="node-1").name == "node-1"
        assert load(LEAST).name == socket.gethostname()

    def test_fields_hold_anything_that_json_can_say(self) -> None:
        text = in_input("fields: {team: a, ports: [1, 2.5], nested: {on: true, none: ~}}")
        assert load(text).inputs[0].fields == {
            "team": "a",
            "ports": [1, 2.5],
            "nested": {"on": True, "none": None},
        }

    def test_a_date_is_the_text_that_was_written(self) -> None:
        assert load(in_input("tags: [2026-11-24]")).inputs[0].tags == ("2026-11-24",)

    def test_a_time_is_the_text_that_was_written(self) -> None:
        # In YAML 1.1 these are numbers of seconds.
        times = "[15:04:05, 15:04:05.5, +02:00, 1:30]"
        found = load(in_input(f"tags: {times}")).inputs[0].tags
        assert found == ("15:04:05", "15:04:05.5", "+02:00", "1:30")

    def test_an_anchor_repeats_a_value(self) -> None:
        text = LEAST.replace("[/logs/*.log]", "&logs [/logs/*.log]")
        text = text.replace("output:", "  - id: second\n    paths: *logs\noutput:")
        assert [source.paths for source in load(text).inputs] == [("/logs/*.log",)] * 2


@pytest.mark.parametrize(
    ("text", "what", "line"),
    [
        (b"\xff\xfe", "the file is not UTF-8: byte 0", None),
        (LEAST + "\tname: x\n", r"invalid YAML: found character '\t'", 6),
        (in_output("timeout: a: b"), "invalid YAML: mapping values are not allowed here", 6),
        (LEAST + "---\n" + LEAST, "invalid YAML: but found another document", 6),
        (LEAST + 'name: "\0"\n', "invalid YAML: special characters are not allowed", None),
        ("[" * 5000, "invalid YAML", None),
        ("", "the file has no options", None),
        ("# nothing\n", "the file has no options", None),
        ("shipper\n", "the file has no options", None),
        ("- inputs\n", "the file has no options", None),
    ],
)
def test_what_is_no_yaml_mapping_is_refused(text: str | bytes, what: str, line: int | None) -> None:
    error = refusal(text)
    assert error.what.startswith(what)
    assert error.where == (f"shipper.yml, line {line}" if line else "shipper.yml")


#: The whole configuration, the line of the fault, what is said of it, and the advice.
WRONG = {
    "unknown key": (
        LEAST + "loging: {}\n",
        6,
        "loging: unknown option",
        "did you mean `logging`?",
    ),
    "unknown key without a near one": (
        in_output("bulk:\n  zzz: 1"),
        7,
        "output.bulk.zzz: unknown option",
        "known options: max_bytes, max_events, linger",
    ),
    "unknown key of a rule": (
        in_input("events: {exclude: [{types: [process_exit]}]}"),
        3,
        "inputs[0].events.exclude[0].types: unknown option",
        "did you mean `type`?",
    ),
    "name of a rule that is not counted": (
        in_input("events: {include: [{name: a, type: [process_exec]}]}"),
        3,
        "inputs[0].events.include[0].name: unknown option",
        "did you mean `namespace`?",
    ),
    "rule without globs": (
        in_input("events: {exclude: [{type: [test]}, {name: all}]}"),
        3,
        "inputs[0].events.exclude[1]: the rule has no globs",
        "give at least one of type, namespace, pod, binary",
    ),
    "rule with a text for its globs": (
        in_input("events: {include: [{type: process_exec}]}"),
        3,
        "inputs[0].events.include[0].type: expected a list, not text",
        "",
    ),
    "two rules of one name": (
        in_input("events: {exclude: [{type: [test], name: 'exclude[1]'}, {pod: [a]}]}"),
        3,
        "inputs[0].events.exclude[1]: another rule has the name `exclude[1]`, too",
        "give each rule a name of its own",
    ),
    "rule with the name of another reason": (
        in_input("events: {exclude: [{type: [test], name: include}]}"),
        3,
        "inputs[0].events.exclude[0].name: the name `include` is reserved for events that "
        "no rule of `include` matches",
        "give the rule another name",
    ),
    "duplicate key": (
        LEAST + "name: a\nname: b\n",
        7,
        "name: the key is set twice",
        "remove one of them",
    ),
    "merge key": (
        LEAST + "logging: &x {level: info}\nadmin:\n  <<: *x\n",
        8,
        "admin.<<: merge keys are not supported",
        "write the keys out",
    ),
    "contains itself": (
        "inputs: &a [*a]\noutput: {console: {}}\n",
        1,
        "inputs[0]: the value contains itself",
        "write it out",
    ),
    "no output": (
        LEAST[: LEAST.index("output")],
        1,
        "output: required option is missing",
        "add it",
    ),
    "no paths": (
        LEAST.replace("    paths: [/logs/*.log]\n", ""),
        2,
        "inputs[0].paths: required option is missing",
        "add it",
    ),
    "no hosts": (
        LEAST.replace("hosts: [http://es-1:9200]", "ids: auto"),
        4,
        "output: there is no destination",
        "set output.hosts, output.cloud_id, output.file or output.console",
    ),
    "two outputs": (
        in_output("file: {path: /a}"),
        5,
        "output.hosts: cannot be combined with output.file",
        "remove one of the two",
    ),
    "two outputs without hosts": (
        in_output("file: {path: /a}\nconsole: {}").replace("  hosts: [http://es-1:9200]\n", ""),
        6,
        "output.console: cannot be combined with output.file",
        "remove one of the two",
    ),
    "options of Elasticsearch beside a file": (
        in_output("file: {path: /a}\ntimeout: 60s").replace("  hosts: [http://es-1:9200]\n", ""),
        6,
        "output.timeout: has no effect with output.file",
        "remove it",
    ),
    "options of Elasticsearch beside the console": (
        LEAST.replace("hosts: [http://es-1:9200]", "console: {}\n  tls: {}"),
        6,
        "output.tls: has no effect with output.console",
        "remove it",
    ),
    "console without braces": (
        LEAST.replace("hosts: [http://es-1:9200]", "console:"),
        5,
        "output.console: the option has no value",
        "give it one, or remove the option",
    ),
    "file without a path": (
        LEAST.replace("hosts: [http://es-1:9200]", "file: {}"),
        5,
        "output.file.path: required option is missing",
        "add it",
    ),
    "file with a path that is not absolute": (
        LEAST.replace("hosts: [http://es-1:9200]", "file: {path: events.ndjson}"),
        5,
        "output.file.path: `events.ndjson` is not an absolute path",
        "begin it with /",
    ),
    "file with a key that is not known": (
        LEAST.replace("hosts: [http://es-1:9200]", "file: {path: /a, kep: 1}"),
        5,
        "output.file.kep: unknown option",
        "did you mean `keep`?",
    ),
    "empty list": (
        LEAST.replace("[http://es-1:9200]", "[]"),
        5,
        "output.hosts: the list is empty",
        "give at least one URL, or set output.cloud_id in its place",
    ),
    "number for text": (
        LEAST + "name: 5\n",
        6,
        "name: expected text, not a number",
        "put it in quotes",
    ),
    "nothing for a section": (
        in_output("tls:"),
        6,
        "output.tls: the option has no value",
        "give it one, or remove the option",
    ),
    "text for a list": (
        in_input("tags: production"),
        3,
        "inputs[0].tags: expected a list, not text",
        "",
    ),
    "keys for a list": (
        "inputs: {id: a}\noutput: {hosts: http://a}\n",
        1,
        "inputs: expected a list, not keys with values",
        "",
    ),
    "text for a truth value": (
        LEAST + "admin: {enabled: maybe}\n",
        6,
        "admin.enabled: expected true or false, not text",
        "",
    ),
    "fraction for a whole number": (
        in_output("max_in_flight: 1.5"),
        6,
        "output.max_in_flight: expected a whole number, not a number",
        "",
    ),
    "number for a secret": (
        in_output("username: u\npassword: 12345"),
        7,
        "output.password: expected text, not a number",
        "put it in quotes",
    ),
    "number in a header": (
        in_output("headers:\n  X-Tenant: 5"),
        7,
        "output.headers.X-Tenant: expected text, not a number",
        "put it in quotes",
    ),
    "value that is not on the list": (
        in_output("compression: lz4"),
        6,
        "output.compression: not a valid value",
        "use one of: gzip, none",
    ),
    "bytes in fields": (
        in_input("fields: {a: !!binary aGk=}"),
        3,
        "inputs[0].fields: contains a value that cannot be written as JSON",
        "use text, numbers, true, false, lists and keys with values",
    ),
    "unit that is none": (
        LEAST + "memory: {max_bytes: 4 parsecs}\n",
        6,
        "memory.max_bytes: `parsecs` is not a unit of size; those are B, KiB, MiB, GiB, KB, MB, GB",
        "",
    ),
    "duration without a unit": (
        in_output("timeout: 5"),
        6,
        "output.timeout: `5` has no unit; those are ms, s, m, h, d",
        "",
    ),
    "size out of range": (
        in_input("max_line_bytes: 1GiB"),
        3,
        "inputs[0].max_line_bytes: 1GiB is out of range",
        "use 1KiB to 64MiB",
    ),
    "metrics interval out of range": (
        LEAST + "logging: {metrics_interval: 100ms}\n",
        6,
        "logging.metrics_interval: 100ms is out of range",
        "use 1s to 24h",
    ),
    "duration out of range": (
        LEAST + "registry:\n  commit_interval: 2m\n",
        7,
        "registry.commit_interval: 2m is out of range",
        "use 50ms to 1m",
    ),
    "a place that is none": (
        LEAST + "registry:\n  import_from: filebeat\n",
        7,
        "registry.import_from: `filebeat` is not a valid value",
        "use `auto`, `none` or an absolute path",
    ),
    "a fingerprint that is too short": (
        LEAST + "registry:\n  import_fingerprint_length: 63\n",
        7,
        "registry.import_fingerprint_length: 63B is out of range",
        "use 64B to 1MiB",
    ),
    "number out of range": (
        in_output("max_in_flight: 0"),
        6,
        "output.max_in_flight: 0 is out of range",
        "use 1 to 256",
    ),
    "most below the least": (
        in_output("backoff: {initial: 2s, max: 1s}"),
        6,
        "output.backoff.max: 1s is less than output.backoff.initial, 2s",
        "raise the one or lower the other",
    ),
    "relative path": (
        LEAST.replace("/logs/*", "logs/*"),
        3,
        "inputs[0].paths[0]: `logs/*.log` is not an absolute path",
        "begin it with /",
    ),
    "two inputs of one name": (
        LEAST.replace("output:", "  - id: tetragon\n    paths: [/b]\noutput:"),
        4,
        "inputs[1].id: another input has the id `tetragon`, too",
        "give each input an id of its own",
    ),
    "data stream of two parts": (
        in_output("data_stream: logs-tetragon"),
        6,
        "output.data_stream: `logs-tetragon` is not the name of a data stream",
        "use TYPE-DATASET-NAMESPACE in lower case, with no other hyphens",
    ),
    "index that can be none": (
        in_output('index: "tetragon-%{[message]}"'),
        6,
        "output.index: `message` is not the same in all documents of an input; use one of "
        f"{', '.join(REFERENCES)}",
        "",
    ),
    "index and data stream": (
        in_output("data_stream: logs-cilium_tetragon.log-default\nindex: tetragon"),
        7,
        "output.index: cannot be combined with output.data_stream",
        "remove one of the two",
    ),
    "unknown preset": (
        in_output("preset: fast"),
        6,
        "output.preset: not a valid value",
        "use one of: balanced, throughput, scale, latency",
    ),
    "preset that is no text": (
        in_output("preset: [scale]"),
        6,
        "output.preset: not a valid value",
        "use one of: balanced, throughput, scale, latency",
    ),
    "preset beside a section that is none": (
        in_output("preset: scale\nbulk: 5"),
        7,
        "output.bulk: expected keys with values, not a number",
        "",
    ),
    "pipeline with a query": (
        in_output("pipeline: a&refresh=true"),
        6,
        "output.pipeline: not the name of an ingest pipeline",
        "use a name without white space and without & ? # % /",
    ),
    "host without a scheme": (
        LEAST.replace("http://es-1:9200", "es-1:9200"),
        5,
        "output.hosts: `es-1:9200` is not a valid URL",
        "use a URL such as https://es-1:9200",
    ),
    "port that is no number": (
        LEAST.replace("9200", "92x"),
        5,
        "output.hosts: `http://es-1:92x` is not a valid URL",
        "use a URL such as https://es-1:9200",
    ),
    "password without a user": (
        in_output("password: a"),
        6,
        "output.password: set without a user",
        "set output.username",
    ),
    "two passwords": (
        in_output("username: u\npassword: a\npassword_file: /b"),
        7,
        "output.password: cannot be combined with output.password_file",
        "remove one of the two",
    ),
    "user and API key": (
        in_output("username: u\npassword: a\napi_key: b"),
        6,
        "output.username: cannot be combined with output.api_key",
        "remove one of the two",
    ),
    "token and user": (
        in_output("username: u\npassword: a\nbearer_token: b"),
        8,
        "output.bearer_token: cannot be combined with output.username",
        "remove one of the two",
    ),
    "token and API key": (
        in_output("api_key_file: /a\nbearer_token: b"),
        7,
        "output.bearer_token: cannot be combined with output.api_key_file",
        "remove one of the two",
    ),
    "two tokens": (
        in_output("bearer_token: a\nbearer_token_file: /b"),
        6,
        "output.bearer_token: cannot be combined with output.bearer_token_file",
        "remove one of the two",
    ),
    "hosts and Cloud ID": (
        in_output(f"cloud_id: {CLOUD_ID}"),
        6,
        "output.cloud_id: cannot be combined with output.hosts",
        "remove one of the two",
    ),
    "fingerprint that is none": (
        in_output("tls: {ca_trusted_fingerprint: 'ab:cd'}"),
        6,
        "output.tls.ca_trusted_fingerprint: not a SHA-256 fingerprint",
        "use 64 hexadecimal digits, with or without colons",
    ),
    "fingerprint that nobody looks at": (
        in_output(f"tls: {{ca_trusted_fingerprint: {'a1' * 32}, verify: none}}"),
        6,
        "output.tls.ca_trusted_fingerprint: has no effect with output.tls.verify: none, "
        "which verifies nothing",
        "remove one of the two",
    ),
    "certificate without a key": (
        in_output("tls: {certificate: /c}"),
        6,
        "output.tls.certificate: set without its key",
        "set output.tls.key",
    ),
    "key without a certificate": (
        in_output("tls: {key: /k}"),
        6,
        "output.tls.key: set without its certificate",
        "set output.tls.certificate",
    ),
    "two passphrases": (
        in_output("tls: {certificate: /c, key: /k, key_passphrase: a, key_passphrase_file: /p}"),
        6,
        "output.tls.key_passphrase: cannot be combined with output.tls.key_passphrase_file",
        "remove one of the two",
    ),
    "passphrase without a key": (
        in_output("tls: {key_passphrase_file: /p}"),
        6,
        "output.tls.key_passphrase_file: set without a key",
        "set output.tls.key",
    ),
    "server name with a port": (
        in_output("tls: {server_name: 'es:9200'}"),
        6,
        "output.tls.server_name: not a host name",
        "use a name without a scheme and a port",
    ),
    "proxy of another kind": (
        in_output("proxy: {url: 'socks5://proxy:1080'}"),
        6,
        "output.proxy.url: not the URL of an HTTP proxy",
        "use a URL such as http://proxy:3128",
    ),
    "proxy with a path": (
        in_output("proxy: {url: 'http://proxy:3128/x'}"),
        6,
        "output.proxy.url: not the URL of an HTTP proxy",
        "use a URL such as http://proxy:3128",
    ),
    "two proxies": (
        in_output("proxy: {url: 'http://proxy:3128', from_environment: true}"),
        6,
        "output.proxy.url: cannot be combined with output.proxy.from_environment",
        "remove one of the two",
    ),
    "proxy without a password": (
        in_output("proxy: {url: 'http://proxy:3128', username: u}"),
        6,
        "output.proxy.username: set without a password",
        "set output.proxy.password or output.proxy.password_file",
    ),
    "proxy with two passwords": (
        in_output("proxy: {url: 'http://p:1', username: u, password: a, password_file: /b}"),
        6,
        "output.proxy.password: cannot be combined with output.proxy.password_file",
        "remove one of the two",
    ),
    "proxy without a user": (
        in_output("proxy: {url: 'http://proxy:3128', password_file: /b}"),
        6,
        "output.proxy.password_file: set without a user",
        "set output.proxy.username",
    ),
    "user of no proxy": (
        in_output("proxy: {username: u, password: p}"),
        6,
        "output.proxy.username: set without a proxy",
        "set output.proxy.url",
    ),
    "header of ours": (
        in_output("headers: {authorization: a}"),
        6,
        "output.headers.authorization: this header is set by shipper",
        "remove it",
    ),
    "IPv6 address without brackets": (
        LEAST + "admin: {listen: '::1'}\n",
        6,
        "admin.listen: `::1` is not an address with a port",
        "use HOST:PORT, such as 127.0.0.1:9479 or [::1]:9479, or :9479 for every address",
    ),
    "key that is no text": (
        LEAST + "? [a]\n: 1\n",
        6,
        "(a key that is not text): unknown option",
        "known options: name, inputs, processors, data_dir, output, dead_letter, memory, "
        "retention, losses, registry, admin, logging, config, shutdown_timeout, watchdog",
    ),
    "processor that is none": (
        LEAST + "processors:\n  - add_tags:\n      tags: [a]\n  - renam: {}\n",
        9,
        "processors[1].renam: unknown processor",
        "did you mean `rename`?",
    ),
    "condition in a processor of an input": (
        "inputs:\n  - id: a\n    paths: [/a]\n    processors:\n      - drop_event:\n"
        "          when:\n            range:\n              a.b.above: 1\n"
        "output: {hosts: [http://es-1:9200]}\n",
        8,
        "inputs[0].processors[0].drop_event.when.range.a.b.above: a range needs gt, gte, lt or lte",
        "write such as `a.b.above.gte: 400`",
    ),
}


@pytest.mark.parametrize(("text", "line", "what", "advice"), WRONG.values(), ids=WRONG)
def test_a_fault_is_told_with_its_key_its_line_and_advice(
    text: str, line: int, what: str, advice: str
) -> None:
    error = refusal(text)
    assert error.problems == (Problem(what, Location("shipper.yml", line), advice),)


def test_keys_of_filebeat_among_our_own_are_refused_in_words() -> None:
    for text in (
        "filebeat.inputs: []\n",
        "filebeat:\n  inputs: []\n",
        "output.elasticsearch: {}\n",
    ):
        error = refusal(LEAST + text)
        assert (
            "is an option of Filebeat's, but the file has options of shipper's own format, too"
            in error.what
        )
        assert error.where == f"shipper.yml, line {LEAST.count(chr(10)) + 1}"


class TestVariables:
    @pytest.mark.parametrize(
        "password",
        ["a,b", "a: b", "{a}", "[x", "#no comment", "'\"", "$HOME $${ ${X}", "a\nb\n", "*a", " "],
    )
    def test_a_password_is_that_password_whatever_is_in_it(self, password: str) -> None:
        text = in_output("username: u\npassword: ${PASSWORD}")
        assert load(text, PASSWORD=password).output.password.reveal() == password

    def test_a_variable_is_part_of_a_value(self) -> None:
        text = LEAST.replace("http://es-1:9200", '"http://${HOST}:${PORT:9200}/${A.b}"')
        config = load(text, **{"HOST": "es-7", "A.b": "x"})
        assert config.output.hosts == HostList(["http://es-7:9200/x"])

    def test_several_hosts_fit_into_one_variable(self) -> None:
        text = LEAST.replace("[http://es-1:9200]", "${HOSTS}")
        config = load(text, HOSTS="http://es-1:9200, http://es-2:9200/")
        assert config.output.hosts == HostList(["http://es-1:9200", "http://es-2:9200"])

    def test_numbers_sizes_durations_and_truth_come_from_variables(self) -> None:
        text = in_output("max_in_flight: ${N}\ntimeout: ${T}\nbulk: {max_bytes: '${B}'}\n")
        text += "admin: {enabled: '${ON}'}\n"
        config = load(text, N="7", T="5s", B="2MiB", ON="false")
        assert config.output.max_in_flight == 7
        assert config.output.timeout == 5.0
        assert config.output.bulk.max_bytes == 2 * 1024**2
        assert config.admin.enabled is False

    def test_a_number_from_a_variable_stays_text_where_text_belongs(self) -> None:
        assert load(LEAST + "name: ${N}\n", N="007").name == "007"

    def test_a_default_stands_in_for_what_is_not_set(self) -> None:
        text = in_output("pipeline: ${P:mine}")
        assert load(text).output.pipeline == "mine"
        assert load(text, P="").output.pipeline == ""
        assert load(in_output("pipeline: ${P:}")).output.pipeline == ""
        assert load(LEAST + "name: '${N:a:b}'\n").name == "a:b"

    def test_two_dollars_are_one_as_such(self) -> None:
        assert load(LEAST + "name: $${NAME} $5\n").name == "${NAME} $5"

    def test_a_value_that_a_variable_gives_is_not_substituted_again(self) -> None:
        assert load(LEAST + "name: ${A}\n", A="${B}").name == "${B}"

    @pytest.mark.parametrize(
        ("written", "what", "advice"),
        [
            ("${NO}", "name: the variable NO is not set", "set it, or write ${NO:default}"),
            ("${NO:?call it}", "name: call it", "set NO"),
            ("${EMPTY:?call it}", "name: call it", "set EMPTY"),
            ("${NO:?}", "name: the variable NO is not set", "set NO"),
            (
                "${}",
                "name: an invalid variable after ${",
                "write ${NAME}, ${NAME:default} or ${NAME:?message}; $${ is a ${ as such",
            ),
        ],
    )
    def test_a_variable_that_is_missing_is_told_with_its_line(
        self, written: str, what: str, advice: str
    ) -> None:
        error = refusal(f"{LEAST}name: '{written}'\n", EMPTY="")
        assert (error.what, error.what_to_do) == (what, advice)
        assert error.where == "shipper.yml, line 6"

    def test_a_number_from_a_variable_that_is_none_is_refused(self) -> None:
        error = refusal(in_output("max_in_flight: ${N}"), N="many")
        assert error.what == "output.max_in_flight: expected a whole number, not text"


@pytest.mark.parametrize(
    "text",
    [
        in_output(f"username: u\npassword: *{SECRET}"),
        in_output(f"username: u\npassword: !{SECRET}"),
        in_output(f"username: u\npassword: !{SECRET}!x"),
        in_output(f"username: u\npassword: !!int {SECRET}"),
        in_output(f"username: u\npassword: !!binary {SECRET}"),
        in_output(f"username: u\npassword: &{SECRET}"),
        in_output(f"username: u\npassword: a${{{SECRET}!}}"),
        in_output(f"username: u\npassword: [{SECRET}]"),
        in_output(f"username: u\npassword: a: {SECRET}"),
        in_output(f"username: u\npassword: {SECRET}\npassword_file: /b"),
        in_output(f"username: u\npassword: {SECRET}\napi_key: {SECRET}"),
        in_output(f"password: {SECRET}"),
        in_output(f"api_key: {SECRET}\napi_key: {SECRET}"),
        in_output(f"api_key: {{{SECRET}: {SECRET}}}"),
        in_output(f"username: u\npassword: {SECRET}\nbearer_token: {SECRET}"),
        in_output(f"bearer_token: {SECRET}\nbearer_token_file: /b"),
        in_output(f"bearer_token: [{SECRET}]"),
        in_output(f"cloud_id: mine:{SECRET}"),
        in_output(f"tls: {{key: {SECRET}}}"),
        in_output(f"tls: {{key_passphrase: {SECRET}}}"),
        in_output(f"tls: {{key_passphrase: [{SECRET}]}}"),
        in_output(f"proxy: {{url: 'http://u:{SECRET}@proxy:3128'}}"),
        in_output(f"proxy: {{url: 'u:{SECRET}@proxy:3128'}}"),
        in_output(f"proxy: {{url: 'http://proxy:3128/?token={SECRET}'}}"),
        in_output(f"proxy: {{username: u, password: {SECRET}}}"),
        in_output(f"headers: [{SECRET}]"),
        in_output(f"headers: {{X-Key: [{SECRET}]}}"),
        in_output(f'headers: {{X-Key: "{SECRET}\\n"}}'),
        in_output(f"api_key: {SECRET}\ntimeout: never"),
        LEAST.replace("http://es-1:9200", f"http://u:{SECRET}@es-1:9200"),
        LEAST.replace("http://es-1:9200", f"u:{SECRET}@es-1:9200"),
        LEAST.replace("http://es-1:9200", f"http://u:{SECRET}/x@es-1:9200"),
        LEAST.replace("[http://es-1:9200]", f'"http://u:{SECRET},x@es-1:9200"'),
        LEAST.replace("http://es-1:9200", f"http://es-1:9200/?token={SECRET}"),
        LEAST.replace("http://es-1:9200", f"http://es-1:9200/#{SECRET}"),
    ],
)
def test_a_secret_is_in_no_error(text: str) -> None:
    error = refusal(text)
    for shown in (str(error), repr(error), error.what_to_do):
        assert SECRET not in shown


def test_a_secret_is_in_no_repr_of_a_configuration() -> None:
    user = load(in_output(f"username: u\npassword: {SECRET}\nheaders: {{X-Key: {SECRET}}}"))
    key = load(in_output(f"api_key: {SECRET}"))
    assert user.output.headers["X-Key"].reveal() == SECRET
    assert key.output.api_key.reveal() == SECRET
    for shown in (repr(user), str(user), repr(key), f"{key.output.api_key}"):
        assert SECRET not in shown


EVERY_OPTION = {
    "name": ("node-7", "node-7"),
    "inputs[].id": ("mine", "mine"),
    "inputs[].paths": ("[/a, /b]", ("/a", "/b")),
    "inputs[].exclude": ("[/a/b]", ("/a/b",)),
    "inputs[].compressed": ("false", False),
    "inputs[].start_at": ("end", StartAt.END),
    "inputs[].ignore_older": ("1d", 86400.0),
    "inputs[].format": ("ecs", Format.ECS),
    "inputs[].type": ("log", InputType.LOG),
    "inputs[].max_line_bytes": ("64KiB", 65536),
    "inputs[].on_invalid": ("dead_letter", OnInvalid.DEAD_LETTER),
    "inputs[].events.include[].type": ("[process_*]", ("process_*",)),
    "inputs[].events.include[].namespace": ("[a, '']", ("a", "")),
    "inputs[].events.include[].pod": ("['*-0']", ("*-0",)),
    "inputs[].events.include[].binary": ("[/bin/sh]", ("/bin/sh",)),
    "inputs[].events.exclude[].type": ("[process_*]", ("process_*",)),
    "inputs[].events.exclude[].namespace": ("[a, '']", ("a", "")),
    "inputs[].events.exclude[].pod": ("['*-0']", ("*-0",)),
    "inputs[].events.exclude[].binary": ("[/bin/sh]", ("/bin/sh",)),
    "inputs[].events.exclude[].name": ("noise", "noise"),
    "inputs[].scan_interval": ("5s", 5.0),
    "inputs[].close_removed_after": ("5m", 300.0),
    "inputs[].symlinks": ("false", False),
    "inputs[].require_files": ("true", True),
    "inputs[].fields": ("{team: a}", {"team": "a"}),
    "inputs[].fields_under_root": ("true", True),
    "inputs[].tags": ("[a, b]", ("a", "b")),
    "inputs[].processors": (
        "[{add_tags: {tags: [a]}}]",
        (AddTags(tags=("a",), target="tags"),),
    ),
    "processors": ("[{add_tags: {tags: [a]}}]", (AddTags(tags=("a",), target="tags"),)),
    "data_dir": ("/data", "/data"),
    "output.hosts": ("[https://a/es/, http://b:1]", ("https://a/es", "http://b:1")),
    "output.cloud_id": (CLOUD_ID, CLOUD_ID),
    "output.data_stream": ("logs-mine.log-prod", "logs-mine.log-prod"),
    "output.index": ("tetragon-%{+yyyy.MM.dd}", "tetragon-%{+yyyy.MM.dd}"),
    "output.ids": ("auto", Ids.AUTO),
    "output.pipeline": ("mine", "mine"),
    "output.username": ("u", "u"),
    "output.password": ("p", "p"),
    "output.password_file": ("/p", "/p"),
    "output.api_key": ("k", "k"),
    "output.api_key_file": ("/k", "/k"),
    "output.bearer_token": ("t", "t"),
    "output.bearer_token_file": ("/t", "/t"),
    "output.headers": ("{X-Tenant: a}", {"X-Tenant": "a"}),
    "output.tls.ca": ("/ca.crt", "/ca.crt"),
    "output.tls.ca_trusted_fingerprint": ("a1:" * 31 + "a1", "a1:" * 31 + "a1"),
    "output.tls.certificate": ("/c.crt", "/c.crt"),
    "output.tls.key": ("/c.key", "/c.key"),
    "output.tls.key_passphrase": ("p", "p"),
    "output.tls.key_passphrase_file": ("/p", "/p"),
    "output.tls.server_name": ("es.example", "es.example"),
    "output.tls.verify": ("certificate", TlsVerify.CERTIFICATE),
    "output.proxy.url": ("http://proxy:3128", "http://proxy:3128"),
    "output.proxy.username": ("u", "u"),
    "output.proxy.password": ("p", "p"),
    "output.proxy.password_file": ("/p", "/p"),
    "output.proxy.from_environment": ("true", True),
    "output.compression": ("none", Compression.NONE),
    "output.preset": ("scale", Preset.SCALE),
    "output.bulk.max_bytes": ("1MB", 1_000_000),
    "output.bulk.max_events": ("7", 7),
    "output.bulk.linger": ("0", 0.0),
    "output.concurrency": ("fixed", Concurrency.FIXED),
    "output.max_in_flight": ("9", 9),
    "output.timeout": ("1m", 60.0),
    "output.backoff.initial": ("250ms", 0.25),
    "output.backoff.max": ("1h", 3600.0),
    "output.file.path": ("/a/events.ndjson", "/a/events.ndjson"),
    "output.file.max_bytes": ("1GiB", 1024**3),
    "output.file.keep": ("7", 7),
    "output.file.format": ("bulk", FileFormat.BULK),
    "dead_letter.max_bytes": ("2MiB", 2 * 1024**2),
    "memory.max_bytes": ("1GiB", 1024**3),
    "retention.enabled": ("false", False),
    "retention.max_bytes": ("0", 0),
    "losses.ship": ("false", False),
    "registry.commit_interval": ("100ms", 0.1),
    "registry.forget_after": ("1d", 86400.0),
    "registry.import_from": ("/usr/share/filebeat/data", "/usr/share/filebeat/data"),
    "registry.import_fingerprint_offset": ("1KiB", 1024),
    "registry.import_fingerprint_length": ("64", 64),
    "admin.enabled": ("false", False),
    "admin.listen": ("'[::1]:80'", "[::1]:80"),
    "admin.token_file": ("/run/secrets/token", "/run/secrets/token"),
    "admin.tls.certificate": ("/tls/tls.crt", "/tls/tls.crt"),
    "admin.tls.key": ("/tls/tls.key", "/tls/tls.key"),
    "logging.level": ("error", Level.ERROR),
    "logging.format": ("text", LogFormat.TEXT),
    "logging.metrics_interval": ("0", 0.0),
    "config.reload": ("true", True),
    "shutdown_timeout": ("1s", 1.0),
    "watchdog": ("0", 0.0),
}
"""What may be written, and what it is then."""

NEEDED = {
    "output.password": {"username": "u"},
    "output.password_file": {"username": "u"},
    "output.username": {"password": "p"},
    "output.tls.certificate": {"key": "/k"},
    "output.tls.key": {"certificate": "/c"},
    "output.tls.key_passphrase": {"certificate": "/c", "key": "/k"},
    "output.tls.key_passphrase_file": {"certificate": "/c", "key": "/k"},
    "admin.tls.certificate": {"key": "/k"},
    "admin.tls.key": {"certificate": "/c"},
    "output.proxy.username": {"url": "http://proxy:3128", "password": "p"},
    "output.proxy.password": {"url": "http://proxy:3128", "username": "u"},
    "output.proxy.password_file": {"url": "http://proxy:3128", "username": "u"},
    "inputs[].events.exclude[].name": {"type": ["process_exit"]},
    "output.file.max_bytes": {"path": "/a"},
    "output.file.keep": {"path": "/a"},
    "output.file.format": {"path": "/a"},
}
"""The options that cannot stand alone, with what they need beside them."""


def options(section: type[Section] = Config, prefix: str = "") -> Iterator[str]:
    """Return the path of every option of the model."""
    for found in options_of(section):
        kind = typing.get_args(found.type)[0] if typing.get_args(found.type) else found.type
        if isinstance(kind, type) and issubclass(kind, Section):
            is_list = typing.get_origin(found.type) is tuple
            yield from options(kind, f"{prefix}{found.name}{'[]' if is_list else ''}.")
        else:
            yield f"{prefix}{found.name}"


def test_every_option_of_the_model_is_among_those_that_are_tested() -> None:
    assert list(EVERY_OPTION) == list(options())


@pytest.mark.parametrize("path", EVERY_OPTION)
def test_an_option_can_be_set(path: str) -> None:
    written, expected = EVERY_OPTION[path]
    content = yaml.safe_load(LEAST)
    section = content
    *parents, name = path.split(".")
    if parents[:2] == ["output", "file"]:
        del content["output"]["hosts"]
    for parent in parents:
        key = parent.removesuffix("[]")
        section = section.setdefault(key, {}) if key == parent else section.setdefault(key, [{}])[0]
    if path == "output.cloud_id":
        del section["hosts"]
    section.update(NEEDED.get(path, {}), **{name: yaml.safe_load(written)})
    found: Any = load(yaml.safe_dump(content))
    for step in (*parents, name):
        key = step.removesuffix("[]")
        found = getattr(found, key) if key == step else getattr(found, key)[0]
    if path == "output.headers":
        found = header_values(found)
    assert (found.reveal() if isinstance(found, Secret) else found) == expected

"""Every option of the tables: those that are honoured by their effect, those that are refused by
what is said, those that are ignored by their warning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from shipper.config.filebeat.convert import as_yaml
from shipper.config.filebeat.draft import Draft
from shipper.config.filebeat.input_options import LOG
from shipper.config.filebeat.options import Option, Section, Support
from shipper.config.filebeat.translate import SECTIONS
from shipper.config.load import parse_config, read_config
from shipper.config.model import Config
from shipper.config.units import Secret
from shipper.errors import ConfigError
from tests.config.filebeat.samples import LEAST, NAME, draft, refusal, written

OF_LOG = "log: "


@dataclass(frozen=True, slots=True)
class Example:
    """A value of an option, and what is so then."""

    value: object
    #: Paths in the Config, with what is there.
    effect: Mapping[str, object] = field(default_factory=dict)
    #: What else has to be set, by whole keys.
    beside: Mapping[str, object] = field(default_factory=dict)
    #: It is refused, with this.
    refused: str = ""


_DAY_OLD = {"inputs.0.ignore_older": 86400}
_AT_END: dict[str, object] = {"inputs.0.start_at.value": "end"}
_NO_GZ = {"inputs.0.exclude": ("/*.gz",)}
_TIMESTAMP = [{"timestamp": {"field": "time", "layouts": ["2006-01-02T15:04:05Z"]}}]
_FIELDS: dict[str, object] = {"team": "a"}
_LINGER = {"output.bulk.linger": 5}
_KEPT = {"retention.max_bytes": 1024**3}
_FINGERPRINT = "prospector.scanner.fingerprint"
_STREAM = {"output.data_stream": "logs-mine-prod"}

_CLOUD_ID = "x:" + "ZXhhbXBsZS5jb20kYWJjJGRlZg=="

_COMMON: dict[str, Example] = {
    "enabled": Example(False, refused="filebeat.inputs: no input is enabled"),
    "paths": Example(["/a", "/b/*"], {"inputs.0.paths": ("/a", "/b/*")}),
    "ignore_older": Example("24h", _DAY_OLD),
    "tags": Example(["a"], {"inputs.0.tags": ("t", "a")}, {"tags": ["t"]}),
    "fields": Example(
        {"b": 2, "c": None},
        {"inputs.0.fields": {"a": 1, "b": 2}, "inputs.0.fields_under_root": False},
        {"fields": {"a": 1, "b": 1}},
    ),
    "fields_under_root": Example(
        True,
        {"inputs.0.fields": {"team": "a", "fields": {"x": 1}}, "inputs.0.fields_under_root": True},
        {"filebeat.inputs[].fields": _FIELDS, "fields": {"x": 1}},
    ),
    "processors": Example(_TIMESTAMP),
    "pipeline": Example("Mine", {"output.pipeline": "mine"}),
    "index": Example("logs-mine-prod", _STREAM),
}

EFFECTS: dict[str, Example] = {
    **{f"filebeat.inputs[].{name}": example for name, example in _COMMON.items()},
    **{f"{OF_LOG}filebeat.inputs[].{name}": example for name, example in _COMMON.items()},
    "filebeat.inputs[].type": Example("stdin", refused="unsupported input"),
    "filebeat.inputs[].id": Example("mine", {"inputs.0.id": "mine"}),
    "filebeat.inputs[].message_max_bytes": Example("1MiB", {"inputs.0.max_line_bytes": 1024**2}),
    "filebeat.inputs[].seek_to_tail": Example(True, _AT_END),
    "filebeat.inputs[].prospector.scanner.check_interval": Example(
        7, {"inputs.0.scan_interval": 7}
    ),
    "filebeat.inputs[].prospector.scanner.exclude_files": Example(["\\.gz$"], _NO_GZ),
    "filebeat.inputs[].prospector.scanner.symlinks": Example(True, {"inputs.0.symlinks": True}),
    f"filebeat.inputs[].{_FINGERPRINT}.enabled": Example(
        False,
        {"registry.import_fingerprint_length": 1024},
        {f"filebeat.inputs[].{_FINGERPRINT}.length": 512},
    ),
    f"filebeat.inputs[].{_FINGERPRINT}.offset": Example(
        64, {"registry.import_fingerprint_offset": 64}
    ),
    f"filebeat.inputs[].{_FINGERPRINT}.length": Example(
        512, {"registry.import_fingerprint_length": 512}
    ),
    "filebeat.inputs[].compression": Example("none", {"inputs.0.compressed": False}),
    "filebeat.inputs[].parsers": Example([]),
    f"{OF_LOG}filebeat.inputs[].type": Example("docker", refused="logs of a container runtime"),
    f"{OF_LOG}filebeat.inputs[].id": Example("mine", {"inputs.0.id": "mine"}),
    f"{OF_LOG}filebeat.inputs[].max_bytes": Example(2048, {"inputs.0.max_line_bytes": 2048}),
    f"{OF_LOG}filebeat.inputs[].tail_files": Example(True, _AT_END),
    f"{OF_LOG}filebeat.inputs[].scan_frequency": Example("1m", {"inputs.0.scan_interval": 60}),
    f"{OF_LOG}filebeat.inputs[].exclude_files": Example([".*\\.gz$"], _NO_GZ),
    f"{OF_LOG}filebeat.inputs[].symlinks": Example(True, {"inputs.0.symlinks": True}),
    "output.elasticsearch.enabled": Example(False, refused="no output is enabled"),
    "output.elasticsearch.hosts": Example("es-9", {"output.hosts": ("http://es-9:9200",)}),
    "output.elasticsearch.protocol": Example(
        "https",
        {"output.hosts": ("https://es-9:9200",)},
        {"output.elasticsearch.hosts": ["es-9"]},
    ),
    "output.elasticsearch.path": Example("/es", {"output.hosts": ("http://es-1:9200/es",)}),
    "output.elasticsearch.index": Example("logs-mine-prod", _STREAM),
    "output.elasticsearch.indices": Example([{"index": "logs-mine-prod"}], _STREAM),
    "output.elasticsearch.pipeline": Example("Mine", {"output.pipeline": "mine"}),
    "output.elasticsearch.pipelines": Example([{"pipeline": "mine"}], {"output.pipeline": "mine"}),
    "output.elasticsearch.username": Example(
        "u", {"output.username": "u"}, {"output.elasticsearch.password": "p"}
    ),
    "output.elasticsearch.password": Example(
        "a,b:c$d", {"output.password": "a,b:c$d"}, {"output.elasticsearch.username": "u"}
    ),
    "output.elasticsearch.api_key": Example("id:key", {"output.api_key": "id:key"}),
    "output.elasticsearch.ssl.enabled": Example(
        False,
        {"output.tls.verify.value": "full"},
        {"output.elasticsearch.ssl.verification_mode": "none"},
    ),
    "output.elasticsearch.ssl.verification_mode": Example(
        "certificate", {"output.tls.verify.value": "certificate"}
    ),
    "output.elasticsearch.ssl.certificate_authorities": Example(
        ["/ca.pem"], {"output.tls.ca": "/ca.pem"}
    ),
    "output.elasticsearch.ssl.supported_protocols": Example(
        ["TLSv1.1"], refused="shipper needs TLS 1.2 or newer"
    ),
    "output.elasticsearch.headers": Example({"X-A.b": "c"}, {"output.headers.X-A.b": "c"}),
    "output.elasticsearch.compression_level": Example(0, {"output.compression.value": "none"}),
    "output.elasticsearch.bulk_max_size": Example(50, {"output.bulk.max_events": 50}),
    "output.elasticsearch.timeout": Example(90, {"output.timeout": 90}),
    "output.elasticsearch.backoff.init": Example(
        "5s", {"output.backoff.initial": 5, "output.backoff.max": 60}
    ),
    "output.elasticsearch.backoff.max": Example(
        "5m", {"output.backoff.initial": 1, "output.backoff.max": 300}
    ),
    "output.elasticsearch.loadbalance": Example(
        False,
        refused="with several hosts only true is supported",
        beside={"output.elasticsearch.hosts": ["es-1", "es-2"]},
    ),
    "output.elasticsearch.ssl.restart_on_cert_change.period": Example("1m"),
    "output.elasticsearch.ssl.certificate_reload.reload_interval": Example("5s"),
    "output.elasticsearch.preset": Example(
        "latency",
        {"output.preset.value": "latency", "output.bulk.max_events": 50},
        {"output.elasticsearch.bulk_max_size": 1234},
    ),
    "output.elasticsearch.queue.mem.flush.timeout": Example("5s", _LINGER),
    "output.elasticsearch.queue.disk.max_size": Example("1GiB", _KEPT),
    "queue.mem.flush.timeout": Example("5s", _LINGER),
    "queue.disk.max_size": Example("1GiB", _KEPT),
    "name": Example("node-1", {"name": "node-1"}),
    "tags": Example("a", {"inputs.0.tags": ("a",)}),
    "fields": Example(_FIELDS, {"inputs.0.fields": _FIELDS}),
    "fields_under_root": Example(
        True,
        {"inputs.0.fields": {"team": "a"}, "inputs.0.fields_under_root": True},
        {"fields": _FIELDS},
    ),
    "processors": Example(_TIMESTAMP),
    "path.home": Example("/fb", {"data_dir": "/fb/data"}),
    "path.data": Example("/data", {"data_dir": "/data"}),
    "path.config": Example("/etc/fb", {"name": "/etc/fb/x"}, {"name": "${path.config}/x"}),
    "filebeat.inputs": Example(
        [{"type": "log", "paths": ["/b.log"]}],
        {"inputs.0.id": "log:/b.log", "inputs.0.max_line_bytes": 10 * 1024**2},
    ),
    "filebeat.shutdown_timeout": Example("5s", {"shutdown_timeout": 5}),
    **{
        f"filebeat.config.{kind}.{name}": Example(value)
        for kind in ("inputs", "modules")
        for name, value in (
            ("enabled", False),
            ("path", "/no/such/*.yml"),
            ("reload.enabled", False),
            ("reload.period", "10s"),
        )
    },
    "filebeat.registry.flush": Example("2s", {"registry.commit_interval": 2}),
    "filebeat.registry.path": Example(
        "offsets",
        {"registry.import_from": "/data/offsets/filebeat", "data_dir": "/data"},
        {"path.data": "/data"},
    ),
    "cloud.auth": Example("u:a:b", {"output.username": "u", "output.password": "a:b"}),
    "logging.level": Example("debug", {"logging.level.value": "debug"}),
    "logging.metrics.enabled": Example(
        False, {"logging.metrics_interval": 0}, {"logging.metrics.period": "10s"}
    ),
    "logging.metrics.period": Example("1m", {"logging.metrics_interval": 60}),
    "logging.json": Example(False, {"logging.format.value": "text"}),
    "http.enabled": Example(True, {"admin.listen": "127.0.0.1:5066"}),
    "http.host": Example("::1", {"admin.listen": "[::1]:5066"}, {"http.enabled": True}),
    "http.port": Example(99, {"admin.listen": "127.0.0.1:99"}, {"http.enabled": True}),
    "output.elasticsearch.ssl.certificate": Example(
        "/c.pem",
        {"output.tls.certificate": "/c.pem"},
        {"output.elasticsearch.ssl.key": "/k.pem"},
    ),
    "output.elasticsearch.ssl.key": Example(
        "/k.pem", {"output.tls.key": "/k.pem"}, {"output.elasticsearch.ssl.certificate": "/c"}
    ),
    "output.elasticsearch.ssl.key_passphrase": Example(
        "p,$",
        {"output.tls.key_passphrase": "p,$"},
        {
            "output.elasticsearch.ssl.certificate": "/c",
            "output.elasticsearch.ssl.key": "/k",
        },
    ),
    "output.elasticsearch.ssl.key_passphrase_path": Example(
        "/p",
        {"output.tls.key_passphrase_file": "/p"},
        {
            "output.elasticsearch.ssl.certificate": "/c",
            "output.elasticsearch.ssl.key": "/k",
        },
    ),
    "output.elasticsearch.ssl.ca_trusted_fingerprint": Example(
        "ab" * 32, {"output.tls.ca_trusted_fingerprint": "ab" * 32}
    ),
    "output.elasticsearch.proxy_url": Example(
        "http://u:p%40@proxy:3128",
        {
            "output.proxy.url": "http://proxy:3128",
            "output.proxy.username": "u",
            "output.proxy.password": "p@",
            "output.proxy.from_environment": False,
        },
    ),
    "output.elasticsearch.proxy_disable": Example(True, {"output.proxy.from_environment": False}),
    "cloud.id": Example(_CLOUD_ID, {"output.hosts": ("https://abc.example.com:443",)}),
    "output.file.path": Example(
        "/out", {"output.file.path": "/out/filebeat.ndjson", "output.file.keep": 7}
    ),
    "output.file.filename": Example(
        "a", {"output.file.path": "/out/a.ndjson"}, {"output.file.path": "/out"}
    ),
    "output.file.rotate_every_kb": Example(
        1024, {"output.file.max_bytes": 1024**2}, {"output.file.path": "/out"}
    ),
    "output.file.number_of_files": Example(
        3, {"output.file.keep": 3}, {"output.file.path": "/out"}
    ),
    "output.console.enabled": Example(False, refused="no output is enabled"),
    "output.file.enabled": Example(False, refused="no output is enabled"),
}
"""What has an effect, with an example."""

TABLE = [(section, option) for section in SECTIONS for option in section.options]


def label(section: Section, option: Option) -> str:
    mark = OF_LOG if section is LOG else ""
    return f"{mark}{section.full_name(option)}"


NEEDED = frozenset(
    {
        "filebeat.inputs",
        "filebeat.inputs[].type",
        "filebeat.inputs[].paths",
        "output.elasticsearch",
        "output.elasticsearch.hosts",
        "output.elasticsearch.index",
        "output.file.path",
        "cloud.id",
    }
)
"""What a configuration cannot do without, or, of the last, what takes the hosts away."""


def of_fate(*fates: Support) -> list[Any]:
    return [
        pytest.param(section, option, id=label(section, option))
        for section, option in TABLE
        if option.support in fates
    ] + (
        []
        if Support.HONOURED in fates
        else [
            pytest.param(section, option, id=f"beside the output: {label(section, option)}")
            for section, option in TABLE
            if option.support in fates and not section.prefix and option.name.startswith("queue.")
        ]
    )


def configuration(section: Section, values: Mapping[str, object]) -> dict[str, Any]:
    """The least configuration with these values, by whole keys."""
    content: dict[str, Any] = yaml.safe_load(LEAST)
    (source,) = content["filebeat.inputs"]
    output = content["output.elasticsearch"]
    if section is LOG:
        source["type"] = "log"
    for key, value in values.items():
        if key.startswith("filebeat.inputs[]."):
            source[key.removeprefix("filebeat.inputs[].")] = value
        elif key.startswith("output.elasticsearch."):
            output[key.removeprefix("output.elasticsearch.")] = value
        elif key.startswith(("output.file", "output.console")):
            content.pop("output.elasticsearch", None)
            content[key] = value
        else:
            content[key] = value
    if "cloud.id" in values:
        output.pop("hosts", None)
    return content


def load(content: Mapping[str, Any]) -> Config:
    return parse_config(written(content).encode(), NAME, {})


def at(config: Config, path: str) -> object:
    """What is at a dotted path of a Config."""
    here: Any = config
    parts = path.split(".")
    while parts:
        if isinstance(here, dict):
            here, parts = here.get(".".join(parts)), []
            continue
        part = parts.pop(0)
        here = here[int(part)] if part.isdecimal() else getattr(here, part, None)
    return here.reveal() if isinstance(here, Secret) else here


def read_or_refusal(text: str) -> Draft | ConfigError:
    """What is made of a configuration, or what it is refused with."""
    try:
        parse_config(text.encode(), NAME, {})
    except ConfigError as error:
        return error
    return draft(text)


def name_of(section: Section, option: Option) -> str:
    """The whole key of an option, or of one of those that a `*` stands for."""
    return section.full_name(option).replace("*", "anything")


def beside(option: Option) -> dict[str, object]:
    """What an option needs, by whole keys: those of an output have that output."""
    if option.name.startswith("output.file."):
        return {"output.file.path": "/out"}
    return {"output.console.enabled": True} if option.name.startswith("output.console.") else {}


def line_of(content: Mapping[str, Any], key: str) -> int:
    last = key.split("[].")[-1].removeprefix("output.elasticsearch.")
    lines = written(content).splitlines()
    (found,) = (number for number, line in enumerate(lines, 1) if line.strip(" -").startswith(last))
    return found


def test_every_option_that_is_honoured_has_an_example_and_no_other() -> None:
    honoured = [
        label(section, option) for section, option in TABLE if option.support is Support.HONOURED
    ]
    assert sorted(EFFECTS) == sorted({*honoured} - {"output.elasticsearch"})


def test_no_option_is_there_twice() -> None:
    names = [label(section, option) for section, option in TABLE]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("section", "option"), of_fate(Support.HONOURED))
def test_an_option_that_is_honoured_has_its_effect(section: Section, option: Option) -> None:
    name = label(section, option)
    example = EFFECTS[name]
    key = section.full_name(option)
    content = configuration(section, {**example.beside, key: example.value})
    if example.refused:
        assert example.refused in refusal(written(content)).what
        return
    config = load(content)
    for path, expected in example.effect.items():
        assert at(config, path) == expected, path
    try:
        without = load(configuration(section, example.beside))
    except ConfigError:
        return  # What is beside it cannot stand alone.
    is_same = [at(without, path) == expected for path, expected in example.effect.items()]
    assert not is_same or not all(is_same), "it is so without the option as well"


@pytest.mark.parametrize(("section", "option"), of_fate(Support.REFUSED))
def test_an_option_that_is_refused_is_told_with_its_line_and_what_to_do(
    section: Section, option: Option
) -> None:
    key = name_of(section, option)
    content = configuration(section, {**beside(option), key: "anything"})
    error = refusal(written(content))
    assert error.what == f"{key.replace('[]', '[0]')}: unsupported option"
    assert error.where == f"filebeat.yml, line {line_of(content, key)}"
    assert error.what_to_do == option.description


@pytest.mark.parametrize(("section", "option"), of_fate(Support.IGNORED))
def test_an_option_that_is_ignored_is_remarked_by_name_and_changes_nothing(
    section: Section, option: Option
) -> None:
    key = name_of(section, option)
    content = configuration(section, {**beside(option), key: 1})
    made = draft(written(content))
    (notice,) = made.notices
    assert notice.key == key.replace("[]", "[0]")
    assert notice.what == f"ignored: {option.description}"
    assert notice.location.line == line_of(content, key)
    assert made.content == draft(written(configuration(section, beside(option)))).content


@pytest.mark.parametrize(("section", "option"), of_fate(Support.FIXED))
def test_an_option_that_is_fixed_may_say_what_is_so_anyway_and_nothing_else(
    section: Section, option: Option
) -> None:
    key = name_of(section, option)
    plain = draft(written(configuration(section, beside(option))))
    for value in option.only:
        made = draft(written(configuration(section, {**beside(option), key: value})))
        assert (made.content, made.notices) == (plain.content, [])
    others = [True, False] if isinstance(option.only[0], bool) else ["something else"]
    for value in others:
        if value in option.only:
            continue
        content = configuration(section, {**beside(option), key: value})
        error = refusal(written(content))
        assert error.what.startswith(f"{key.replace('[]', '[0]')}: unsupported value; only ")
        assert error.where == f"filebeat.yml, line {line_of(content, key)}"
        assert error.what_to_do == option.description


@pytest.mark.parametrize(("section", "option"), of_fate(*Support))
def test_an_option_without_a_value_is_as_if_it_were_not_there(
    section: Section, option: Option
) -> None:
    key = section.full_name(option)
    # `file_identity.path:` says something although it has no value.
    if key in NEEDED or key.endswith(".*"):
        return
    made = draft(written(configuration(section, {**beside(option), key: None})))
    assert made.notices == []


def test_the_reading_has_the_remarks(tmp_path: Any) -> None:
    path = tmp_path / "filebeat.yml"
    path.write_text(LEAST + "setup.template.name: a\nsetup.template.pattern: b\n")
    (notice,) = read_config([path], {}).notices
    assert notice.key == "setup.template.name, setup.template.pattern"
    assert str(notice.location) == f"{path}, line 8"


ODD: list[object] = [
    *("", "x", "${NO:}", "a,b", "%{[a", "http://["),
    *(-1, 10**30, True, [], {}, [[]], [None], ["a", {"b": 1}], {"x": {"y": []}}),
]


@pytest.mark.parametrize(("section", "option"), of_fate(*Support))
def test_an_odd_value_is_taken_or_refused_in_words(section: Section, option: Option) -> None:
    for value in ODD:
        content = configuration(section, {**beside(option), name_of(section, option): value})
        outcome = read_or_refusal(written(content))
        if isinstance(outcome, ConfigError):
            assert outcome.what
            assert outcome.where.startswith(NAME)
        else:
            assert as_yaml(outcome, NAME)

"""Configurations of Filebeat of the kinds that are found in the wild, made small: each is accepted,
accepted with warnings, or refused with a reason. A new kind is a file in `found/` and a row."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from shipper.cli import filebeat, shipper
from shipper.cli.check import check_index
from shipper.config.load import LoadedConfig, read_config, read_filebeat
from shipper.errors import ConfigError

FOUND = Path(__file__).parent / "found"

_CONTAINER = "logs of a container runtime"
_NO_TYPE = "filebeat.inputs[0].type: unsupported input"
_UNSET = "is not set, or empty; it is as if the option were not there"
_OWN = "an option of shipper's own format"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a file: refused, if there are reasons, or else accepted."""

    #: The line of each problem, with the beginning of what is said, or a part of it.
    refused: tuple[tuple[int, str], ...] = ()
    #: The line of each warning, with the option, and a part of what is said.
    warned: tuple[tuple[int, str, str], ...] = ()
    #: The same of what is only remarked.
    remarked: tuple[tuple[int, str, str], ...] = ()


def refused(*reasons: tuple[int, str]) -> Outcome:
    return Outcome(refused=reasons)


ACCEPTED = Outcome()

OUTCOMES: dict[str, Outcome] = {
    "tetragon-sidecar": Outcome(remarked=((12, "setup.template.name", "installs no template"),)),
    "tetragon-with-variables": ACCEPTED,
    "stock-untouched": refused((2, "filebeat.inputs: no input is enabled")),
    "stock-enabled": Outcome(
        warned=(
            (15, "processors[1].add_cloud_metadata", "no `cloud.*`"),
            (16, "processors[2].add_docker_metadata", "asks no Docker"),
        ),
        remarked=((10, "setup.template.settings", "installs no template"),),
    ),
    "kubernetes-containers": refused((7, "filebeat.inputs[0].parsers[0].container: unsupported")),
    "kubernetes-one-file": Outcome(
        warned=((7, "processors[0].add_cloud_metadata", "no `cloud.*`"),),
        remarked=((9, "cloud.id", _UNSET), (10, "cloud.auth", _UNSET)),
    ),
    "kubernetes-autodiscover": refused(
        (0, "filebeat.inputs: required option is missing"),
        (3, "filebeat.autodiscover.providers[0].type: unsupported"),
    ),
    "container-input": refused((2, _CONTAINER)),
    "docker-input": refused((2, _CONTAINER)),
    "parser-ndjson": refused((6, "filebeat.inputs[0].parsers[0].ndjson: unsupported")),
    "parser-multiline": refused((6, "filebeat.inputs[0].parsers[0].multiline: unsupported")),
    "log-json": refused((4, "filebeat.inputs[0].json.keys_under_root: unsupported")),
    "log-multiline": refused((4, "filebeat.inputs[0].multiline.pattern: unsupported")),
    "line-filters": refused((5, "filebeat.inputs[0].include_lines[0]: unsupported")),
    "logstash": refused((5, "output.logstash.hosts[0]: unsupported")),
    "kafka": refused((6, "output.kafka.hosts[0]: unsupported")),
    "redis": refused((5, "output.redis.hosts[0]: unsupported")),
    "file-output": ACCEPTED,
    "console-output": ACCEPTED,
    "modules-listed": refused((6, "filebeat.modules[0].module: unsupported")),
    "modules-enabled": Outcome(
        warned=((8, "filebeat.config.modules.reload.enabled", "no modules from other files"),)
    ),
    "inputs-elsewhere": ACCEPTED,
    "empty-blocks": ACCEPTED,
    "variables-without-effect": Outcome(
        remarked=((8, "setup.kibana.host", "does not talk to Kibana"),)
    ),
    "variable-with-effect": refused(
        (9, "output.elasticsearch.password: the variable ES_PASSWORD_OF_NOBODY is not set")
    ),
    "indices-by-condition": refused((8, "rules with conditions are not supported")),
    "pipelines-by-condition": refused((8, "rules with conditions are not supported")),
    "operator-for-kubernetes": ACCEPTED,
    "certificate-reload": ACCEPTED,
    "elastic-cloud": ACCEPTED,
    "credentials-in-url": ACCEPTED,
    "names-of-log-in-filestream": Outcome(
        warned=(
            (5, "close_inactive", "`close_inactive` is `close.on_state_change.inactive` there"),
            (6, "scan_frequency", "is `prospector.scanner.check_interval` there"),
            (7, "tail_files", "is `seek_to_tail` there"),
            (8, "json", "Filebeat ignores it in an input of type `filestream`"),
        )
    ),
    "names-of-filestream-in-log": Outcome(
        warned=(
            (4, "prospector", "`prospector.scanner.check_interval` is `scan_frequency` there"),
            (5, "message_max_bytes", "is `max_bytes` there"),
            (6, "parsers", "Filebeat ignores it in an input of type `log`"),
        )
    ),
    "names-of-earlier-versions": Outcome(
        warned=(
            (4, "document_type", "Filebeat does not know it"),
            (8, "template", "`template` is `setup.template` now"),
            (9, "certificate_key", "`ssl.certificate_key` is `ssl.key` now"),
            (10, "flush_interval", "is `queue.mem.flush.timeout` now"),
            (11, "spool_size", "Filebeat does not know it"),
        )
    ),
    "prospectors": refused((2, "filebeat.prospectors[0].input_type: unsupported")),
    "network-input": refused((2, _NO_TYPE)),
    "journald": refused((2, _NO_TYPE)),
    "no-index": refused((5, "output.elasticsearch.index: required option is missing")),
    "cipher-suites": refused((8, "output.elasticsearch.ssl.cipher_suites[0]: unsupported")),
    "monitoring-enabled": refused((6, "monitoring.enabled: unsupported value; only false")),
    "empty-lists": Outcome(
        remarked=((13, "setup.template.append_fields", "installs no template"),)
    ),
    "several-ca-files": ACCEPTED,
    "encodings-of-utf-8": ACCEPTED,
    "encoding-other": refused((5, "filebeat.inputs[0].encoding: unsupported value")),
    "certificate-restart": ACCEPTED,
    "metadata-with-options": refused(
        (6, "processors[0].add_docker_metadata: unsupported processor"),
        (7, "processors[1].add_cloud_metadata: unsupported processor"),
    ),
    "variables-in-ignored-options": Outcome(
        remarked=(
            (5, "logging.files.path", "the log goes to standard error"),
            (7, "setup.kibana.host", "does not talk to Kibana"),
            (9, "monitoring.cluster_uuid", "for Prometheus"),
        )
    ),
    "variable-set-and-empty": refused(
        (9, "output.elasticsearch.api_key: the variable ELASTIC_CLOUD_AUTH is not set, or empty")
    ),
    "credentials-twice": refused((6, "not the same user and password for all hosts")),
    "credentials-beside-url": Outcome(
        warned=(
            (7, "output.elasticsearch.username", "in the URL of the host win"),
            (8, "output.elasticsearch.password", "in the URL of the host win"),
        )
    ),
    "own-section-over-filebeat": refused(
        (9, "shipper.registry.import_from: filebeat.registry.path sets the same")
    ),
    "no-balance": refused((7, "output.elasticsearch.loadbalance: unsupported value")),
    "index-by-field": refused(
        (8, "output.elasticsearch.index: no index name for the input `log:/var/log/app/*.log`")
    ),
    "mixed-input": refused((1, "input: unknown option")),
    "mixed-inputs": refused((3, "`output.elasticsearch` is an option of Filebeat's")),
    "own-section": ACCEPTED,
    "own-section-wrong": refused(
        (5, "filebeat.inputs[0].shipper.paths: Filebeat has an option for that"),
        (10, "shipper.watchdogg: unknown option"),
        (11, "shipper.admin.listen: Filebeat has an option for that"),
        (12, "shipper.memory.max_bytes: 1B is out of range"),
    ),
    "own-names": refused((5, _OWN), (9, _OWN), (10, _OWN)),
}


def read(path: Path) -> LoadedConfig:
    loaded = read_config([path], {"ELASTIC_CLOUD_ID": "", "ELASTIC_CLOUD_AUTH": ""})
    check_index(loaded.config)
    return loaded


def test_every_file_has_a_row_and_every_row_a_file() -> None:
    assert {path.stem for path in FOUND.glob("*.yml")} == set(OUTCOMES)


@pytest.mark.parametrize("name", OUTCOMES)
def test_what_becomes_of_a_configuration_that_is_found(name: str) -> None:
    outcome = OUTCOMES[name]
    path = FOUND / f"{name}.yml"
    if outcome.refused:
        with pytest.raises(ConfigError) as raised:
            read(path)
        problems = raised.value.problems
        assert [problem.location.line for problem in problems] == [
            line for line, _ in outcome.refused
        ]
        for problem, (_, what) in zip(problems, outcome.refused, strict=True):
            assert str(path) in problem.location.name
            assert what in problem.what
            assert problem.what_to_do
        return
    loaded = read(path)
    for notices, expected in (
        ([notice for notice in loaded.notices if notice.is_warning], outcome.warned),
        ([notice for notice in loaded.notices if not notice.is_warning], outcome.remarked),
    ):
        notices.sort(key=lambda notice: notice.location.line)
        assert [notice.location.line for notice in notices] == [line for line, _, _ in expected]
        for notice, (_, key, what) in zip(notices, expected, strict=True):
            assert key in notice.key
            assert what in notice.what


@pytest.mark.parametrize(
    "name", [name for name, outcome in OUTCOMES.items() if not name.startswith("mixed-inputs")]
)
def test_convert_and_run_agree(name: str) -> None:
    path, environ = FOUND / f"{name}.yml", {"ELASTIC_CLOUD_ID": "", "ELASTIC_CLOUD_AUTH": ""}
    if OUTCOMES[name].refused:
        with pytest.raises(ConfigError):
            check_index(read_filebeat([path], environ)[1])
    else:
        check_index(read_filebeat([path], environ)[1])


@pytest.mark.parametrize("name", OUTCOMES)
@pytest.mark.parametrize("command", ["test config", "convert"])
def test_the_commands_say_so(
    command: str, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELASTIC_CLOUD_ID", "")
    monkeypatch.setenv("ELASTIC_CLOUD_AUTH", "")
    path = str(FOUND / f"{name}.yml")
    if command == "convert":
        code = shipper.main(["convert", path])
    else:
        code = filebeat.main(["test", "config", "-c", path])
    shown = capsys.readouterr()
    reasons = OUTCOMES[name].refused
    assert code == (2 if reasons else 0)
    assert all(what in shown.err for _, what in reasons)
    # With what to do about each.
    assert shown.err.count("\n  -> ") == len(reasons)


@pytest.mark.parametrize("kind", ["inputs", "modules"])
@pytest.mark.parametrize("names_directory", [True, False])
def test_files_beside_that_filebeat_would_read_are_warned_of(
    tmp_path: Path, kind: str, names_directory: bool
) -> None:
    name = {"inputs": "inputs-elsewhere", "modules": "modules-enabled"}[kind]
    text = (FOUND / f"{name}.yml").read_text().replace("reload.enabled: true", "")
    path = tmp_path / "filebeat.yml"
    # Filebeat's packages name the directory on the command line.
    path.write_text(text if not names_directory else f"{text}path.config: {tmp_path}\n")
    directory = tmp_path / f"{kind}.d"
    directory.mkdir()
    (directory / "nginx.yml.disabled").touch()
    assert read(path).notices == ()
    (directory / "system.yml").touch()
    (notice,) = read(path).notices
    assert notice.key == f"filebeat.config.{kind}.path"
    assert f"does not read the {kind} in {directory}/system.yml:" in notice.what
    assert notice.is_warning
    (directory / "zeek.yml").touch()
    assert "system.yml and 1 more" in read(path).notices[0].what.replace("zeek", "system")


def test_the_index_is_checked_by_convert_too(capsys: pytest.CaptureFixture[str]) -> None:
    path = FOUND / "index-by-field.yml"
    assert shipper.main(["convert", str(path)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert f"{path}, line 8: output.elasticsearch.index: no index name" in shown.err


def test_a_mixed_file_is_told_which_option_was_meant() -> None:
    with pytest.raises(ConfigError) as raised:
        read(FOUND / "mixed-input.yml")
    assert "did you mean `inputs`" in raised.value.what_to_do
    with pytest.raises(ConfigError) as raised:
        read(FOUND / "mixed-inputs.yml")
    assert "filebeat.inputs" in raised.value.what_to_do
    assert raised.value.where.endswith("line 3")


def test_the_options_of_shipper_are_named_as_in_filebeat() -> None:
    with pytest.raises(ConfigError) as raised:
        read(FOUND / "own-names.yml")
    ecs, ca, kept = (problem.what_to_do for problem in raised.value.problems)
    assert ecs == "write filebeat.inputs[].shipper.format"
    assert ca == "write output.elasticsearch.ssl.certificate_authorities"
    assert kept == "write queue.disk.max_size"


def test_input_type_is_the_type_that_the_file_names() -> None:
    (source,) = read(FOUND / "names-of-filestream-in-log.yml").config.inputs
    assert source.type.value == "log"
    (source,) = read(FOUND / "tetragon-sidecar.yml").config.inputs
    assert source.type.value == "filestream"


def test_credentials_of_a_url_are_in_no_text() -> None:
    config = read(FOUND / "credentials-in-url.yml").config
    assert list(config.output.hosts) == ["https://es-1:9200", "https://es-2:9200"]
    assert config.output.password.reveal() == "se:cret"
    assert not any(each in repr(config) for each in ("se:cret", "se%3A"))


def test_several_ca_files_are_all_trusted() -> None:
    tls = read(FOUND / "several-ca-files.yml").config.output.tls
    assert tls.authorities == ("/etc/pki/a.pem", "/etc/pki/b.pem", "/etc/pki/c.pem")


def table() -> str:
    """What becomes of each file, with the first thing that is said, as Markdown."""
    rows = ["| Configuration | Outcome | First message |", "|---|---|---|"]
    for name in sorted(OUTCOMES):
        word, said = "accepted", ""
        try:
            notices = read(FOUND / f"{name}.yml").notices
        except ConfigError as error:
            problem = error.problems[0]
            word = "refused"
            said = f"line {problem.location.line}: {problem.what} (-> {problem.what_to_do})"
        else:
            warned = [notice for notice in notices if notice.is_warning]
            if warned:
                word = "accepted, with warnings"
            for notice in warned or notices[:1]:
                said = f"line {notice.location.line}: {notice.key}: {notice.what}"
                break
        rows.append(f"| {name} | {word} | {said.replace('|', chr(92) + '|')} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())

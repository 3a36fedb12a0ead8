"""Where to, and how: hosts, the index, presets, and what may not be in an error."""

from __future__ import annotations

import base64

import pytest

from shipper.config.file_output import ConsoleConfig, FileConfig
from shipper.config.filebeat.convert import as_yaml
from shipper.config.presets import Preset
from shipper.config.tls import TlsVerify
from tests.config.filebeat.samples import LEAST, draft, in_output, load, refusal

SECRET = "MARKER7secret"


def hosts(written: str, more: str = "") -> tuple[str, ...]:
    text = LEAST.replace("[http://es-1:9200]", written) + more
    return tuple(load(text).output.hosts)


@pytest.mark.parametrize(
    ("written", "more", "expected"),
    [
        ("es-1", "", "http://es-1:9200"),
        ("es-1:80", "", "http://es-1:80"),
        ("es-1", "  protocol: https\n", "https://es-1:9200"),
        ("http://es-1", "  protocol: https\n", "http://es-1:9200"),
        ("https://es-1", "  path: es/\n", "https://es-1:9200/es"),
        ("https://es-1/own/", "  path: /es\n", "https://es-1:9200/own"),
        ("'[::1]'", "", "http://[::1]:9200"),
        ("'[::1]:80'", "", "http://[::1]:80"),
        ("https://es-1:443", "", "https://es-1:443"),
    ],
)
def test_a_host_becomes_a_url_as_in_filebeat(written: str, more: str, expected: str) -> None:
    assert hosts(written, more) == (expected,)


@pytest.mark.parametrize(
    "host",
    [
        f"http://u:{SECRET}@es:99999",
        f"http://u:{SECRET}@",
        f"u:{SECRET}@es:9200:9200",
        f"http://es:{SECRET}",
        f"http://es/?{SECRET}",
    ],
)
def test_what_is_wrong_with_a_host_does_not_repeat_a_secret(host: str) -> None:
    error = refusal(LEAST.replace("http://es-1:9200", f"'{host}'"))
    assert error.what.startswith("output.elasticsearch.hosts: ")
    assert SECRET not in f"{error}{error.what_to_do}"


@pytest.mark.parametrize(
    ("hosts", "more", "urls", "user", "password"),
    [
        (f"['https://u:{SECRET}@es-1']", "", ["https://es-1:9200"], "u", SECRET),
        (f"'u:{SECRET}@es-1:80'", "path: /es", ["http://es-1:80/es"], "u", SECRET),
        ("['http://u%40a:p%2F%3A@es-1']", "", ["http://es-1:9200"], "u@a", "p/:"),
        ("['http://u:p@q@[::1]:80/x']", "", ["http://[::1]:80/x"], "u", "p@q"),
        (
            "['http://u:p@a', 'http://u:p@b']",
            "username: v\npassword: q",
            ["http://a:9200", "http://b:9200"],
            "u",
            "p",
        ),
        (
            "['http://u:p@a', 'http://b']",
            "username: u\npassword: p",
            ["http://a:9200", "http://b:9200"],
            "u",
            "p",
        ),
    ],
)
def test_credentials_of_a_url_are_taken_out_of_it(
    hosts: str, more: str, urls: list[str], user: str, password: str
) -> None:
    config = load(in_output(more).replace("[http://es-1:9200]", hosts))
    assert list(config.output.hosts) == urls
    assert (config.output.username, config.output.password.reveal()) == (user, password)
    assert SECRET not in repr(config)


@pytest.mark.parametrize(
    ("hosts", "more"),
    [
        (f"['http://u:{SECRET}@a', 'http://u:other@b']", ""),
        (f"['http://u:{SECRET}@a', 'http://b']", ""),
        (f"['http://u:{SECRET}@a', 'http://b']", "username: u\npassword: other"),
        (f"['http://u:{SECRET}@a', 'http://b']", "api_key: x"),
    ],
)
def test_credentials_go_to_no_host_that_they_are_not_for(hosts: str, more: str) -> None:
    error = refusal(in_output(more).replace("[http://es-1:9200]", hosts))
    assert error.what.endswith("hosts: not the same user and password for all hosts")
    assert error.where == "filebeat.yml, line 6"
    assert SECRET not in f"{error}"


def test_credentials_of_a_url_from_the_environment_are_not_printed() -> None:
    text = LEAST.replace("[http://es-1:9200]", "['${URL}']")
    printed = as_yaml(draft(text, URL=f"http://u:{SECRET}@es-1"), "filebeat.yml")
    assert SECRET not in printed
    assert 'password: "${ELASTICSEARCH_PASSWORD}"' in printed


@pytest.mark.parametrize(
    "line",
    [
        "ssl.supported_protocols: []",
        "ssl.certificate_authorities: []",
        "ssl.cipher_suites: []",
        "ssl.curve_types: []",
        "ssl.ca_sha256: []",
        "ssl.verification_mode: ''",
        "ssl: {}",
        "parameters: {}",
        "proxy_headers: {}",
        "headers: {}",
        "indices: []",
        "pipelines: []",
        "pipeline: ''",
        "kerberos: {}",
        "non_indexable_policy: {}",
        "preset: ''",
        "username: ''",
        "protocol: ''",
        "path: ''",
    ],
)
def test_what_is_empty_is_as_if_it_were_not_there(line: str) -> None:
    assert load(in_output(line)).output == load(LEAST).output
    assert draft(in_output(line)).notices == []


@pytest.mark.parametrize(
    ("hosts", "is_good"),
    [("[es-1]", True), ("[es-1, es-1]", True), ("es-1", True), ("[es-1, es-2]", False)],
)
def test_one_host_needs_no_balance(hosts: str, is_good: bool) -> None:
    text = in_output("loadbalance: false").replace("[http://es-1:9200]", hosts)
    if is_good:
        assert load(text).output.hosts
        assert draft(text).notices == []
    else:
        assert refusal(text).where == "filebeat.yml, line 8"


@pytest.mark.parametrize(
    ("index", "data_stream", "plain"),
    [
        ("logs-cilium_tetragon.log-prod", "logs-cilium_tetragon.log-prod", ""),
        ("metrics-a-b", "metrics-a-b", ""),
        ("tetragon", None, "tetragon"),
        ("a-b-c-d", None, "a-b-c-d"),
        ("tetragon-%{+yyyy.MM.dd}", None, "tetragon-%{+yyyy.MM.dd}"),
        ("logs-a-%{[fields.x]:y}", None, "logs-a-%{[fields.x]:y}"),
    ],
)
def test_the_index_is_a_data_stream_or_another_name(
    index: str, data_stream: str | None, plain: str
) -> None:
    output = load(LEAST.replace("logs-cilium_tetragon.log-default", f"'{index}'")).output
    assert output.index == plain
    assert data_stream is None or output.data_stream == data_stream


def test_an_index_with_the_version_in_its_name_is_remarked() -> None:
    text = LEAST.replace("logs-cilium_tetragon.log-default", '"fb-%{[agent.version]}"')
    (notice,) = draft(text).notices
    assert notice.key == "output.elasticsearch.index"


def test_without_an_index_it_says_which_to_give() -> None:
    error = refusal(LEAST.replace("  index: logs-cilium_tetragon.log-default\n", ""))
    assert error.what.startswith("output.elasticsearch.index: required option is missing")
    assert "logs-cilium_tetragon.log-default" in error.what_to_do


@pytest.mark.parametrize(
    "rules",
    [
        "indices: [{index: a, when.equals.x: y}]",
        "indices: [{index: a}, {index: b}]",
        "pipelines: [{pipeline: a, when.equals.x: y}]",
        "pipeline: '%{[fields.p]}'",
    ],
)
def test_rules_by_event_are_refused(rules: str) -> None:
    error = refusal(in_output(rules))
    assert error.where == "filebeat.yml, line 8"
    assert "ingest pipeline" in error.what_to_do or "one pipeline" in error.what_to_do


def test_a_preset_wins_over_what_it_decides_and_says_so() -> None:
    text = in_output("preset: latency\nbulk_max_size: 9\ntimeout: 5s\ncompression_level: 0")
    made = draft(text)
    assert [notice.key for notice in made.notices] == [
        "output.elasticsearch.bulk_max_size",
        "output.elasticsearch.compression_level",
    ]
    output = load(text).output
    assert (output.preset, output.bulk.max_events) == (Preset.LATENCY, 50)
    assert output.timeout == 5.0


def test_the_custom_preset_is_none() -> None:
    output = load(in_output("preset: custom\nbulk_max_size: 9")).output
    assert (output.preset, output.bulk.max_events) == (Preset.BALANCED, 9)
    error = refusal(in_output("preset: fast"))
    assert error.what == "output.elasticsearch.preset: not a valid value"


@pytest.mark.parametrize("name", ["kafka", "logstash", "redis"])
def test_another_output_is_refused_unless_it_is_off(name: str) -> None:
    error = refusal(f"{LEAST}output.{name}.hosts: [a]\n")
    assert error.what == f"output.{name}.hosts[0]: unsupported option"
    assert load(f"{LEAST}output.{name}: {{hosts: [a], enabled: false}}\n")


def test_there_may_be_several_ca_files_and_texts() -> None:
    tls = load(in_output("ssl.certificate_authorities: [/a.pem, /b.pem]")).output.tls
    assert tls.authorities == ("/a.pem", "/b.pem")
    pem = "-----BEGIN CERTIFICATE-----"
    tls = load(in_output(f"ssl.certificate_authorities: [/a.pem, '{pem} b']")).output.tls
    assert tls.authorities == ("/a.pem", f"{pem} b")


def test_several_texts_of_cas_are_one() -> None:
    pem = "-----BEGIN CERTIFICATE-----"
    text = in_output(f"ssl.certificate_authorities: ['{pem} a', '{pem} b']")
    assert load(text).output.tls.ca == f"{pem} a\n{pem} b"


@pytest.mark.parametrize(
    ("mode", "verify"),
    [("full", "full"), ("strict", "full"), ("certificate", "certificate"), ("none", "none")],
)
def test_what_of_a_certificate_has_to_be_right(mode: str, verify: str) -> None:
    tls = load(in_output(f"ssl.verification_mode: {mode}")).output.tls
    assert tls.verify is TlsVerify(verify)


def test_a_mode_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    error = refusal(in_output("ssl.verification_mode: loose"))
    assert error.where == "filebeat.yml, line 8"
    assert error.what_to_do == "use one of: full, strict, certificate, none"


def test_certificates_and_a_key_may_stand_in_the_file() -> None:
    pem = "-----BEGIN {0}-----\n  abc\n  -----END {0}-----"
    certificate, key = pem.format("CERTIFICATE"), pem.format("PRIVATE KEY")
    text = in_output(
        f"ssl:\n  certificate_authorities: ['{certificate}']\n"
        f"  certificate: '{certificate}'\n  key: '{key}'\n  key_passphrase: '{SECRET}'"
    )
    tls = load(text).output.tls
    (ca,) = tls.authorities
    assert ca.startswith("-----BEGIN CERTIFICATE-----")
    assert tls.certificate == ca
    assert tls.key.reveal().startswith("-----BEGIN PRIVATE KEY-----")
    assert tls.key_passphrase.reveal() == SECRET
    assert SECRET not in repr(tls)


@pytest.mark.parametrize(
    ("protocols", "notices"),
    [
        ("[TLSv1.2, TLSv1.3]", 0),
        # Filebeat's own default.
        ("[TLSv1.1, TLSv1.2, TLSv1.3]", 1),
        ("[TLSv1.2]", 1),
    ],
)
def test_protocols_that_allow_tls_1_2_are_taken(protocols: str, notices: int) -> None:
    text = in_output(f"ssl.supported_protocols: {protocols}")
    assert load(text).output.tls == load(LEAST).output.tls
    assert len(draft(text).notices) == notices


@pytest.mark.parametrize("protocols", ["[TLSv1.0, TLSv1.1]", "[TLSv1.3]", "[TLSv2]"])
def test_protocols_that_are_not_what_shipper_speaks_are_refused(protocols: str) -> None:
    error = refusal(in_output(f"ssl.supported_protocols: {protocols}"))
    assert error.what.startswith("output.elasticsearch.ssl.supported_protocols: ")
    assert "TLSv1.2" in error.what_to_do


@pytest.mark.parametrize(
    ("lines", "url", "user", "password", "from_environment"),
    [
        ("", "", "", "", True),
        ("proxy_url: ''", "", "", "", True),
        ("proxy_disable: true", "", "", "", False),
        ("proxy_disable: true\nproxy_url: http://proxy:3128", "", "", "", False),
        ("proxy_url: http://proxy:3128", "http://proxy:3128", "", "", False),
        ("proxy_url: proxy:3128", "http://proxy:3128", "", "", False),
        ("proxy_url: https://u%40a:p%3A%2F@proxy:1/", "https://proxy:1", "u@a", "p:/", False),
        ("proxy_url: http://u:p@q@proxy:1", "http://proxy:1", "u", "p@q", False),
    ],
)
def test_a_proxy_is_that_of_the_file_or_else_of_the_environment(
    lines: str, url: str, user: str, password: str, from_environment: bool
) -> None:
    proxy = load(in_output(lines)).output.proxy
    assert (proxy.url, proxy.username, proxy.password.reveal()) == (url, user, password)
    assert proxy.from_environment is from_environment


@pytest.mark.parametrize("url", ["socks5://u:{}@proxy", "http://u:{}@proxy/x", "http://:{}@proxy"])
def test_what_is_wrong_with_a_proxy_does_not_repeat_its_password(url: str) -> None:
    error = refusal(in_output(f"proxy_url: '{url.format(SECRET)}'"))
    assert error.what.startswith("output.elasticsearch.proxy_url: ")
    assert SECRET not in f"{error}{error.what_to_do}"


def test_the_cloud_wins_over_hosts_and_credentials() -> None:
    encoded = base64.b64encode(b"example.com:9243$abc$def").decode()
    text = in_output("username: other\npassword: other")
    output = load(f"{text}cloud.id: 'my:{encoded}'\ncloud.auth: 'elastic:{SECRET}:x'\n").output
    assert output.hosts == ("https://abc.example.com:9243",)
    assert (output.username, output.password.reveal()) == ("elastic", f"{SECRET}:x")
    assert SECRET not in repr(output)


def test_a_cloud_id_that_is_none_is_refused_with_its_line() -> None:
    error = refusal(f"{LEAST}cloud.id: 'my:nonsense!'\n")
    assert error.what.startswith("cloud.id: ")
    assert error.where == "filebeat.yml, line 8"


def other(output: str) -> str:
    """The least configuration with another output."""
    return f"{LEAST.partition('output.')[0]}{output}\n"


def test_documents_go_to_a_file_or_to_standard_output() -> None:
    config = load(other("output.file: {path: /out, filename: tetragon, rotate_every_kb: 2048}"))
    assert isinstance(config.output.file, FileConfig)
    assert config.output.file.path == "/out/tetragon.ndjson"
    assert (config.output.file.max_bytes, config.output.file.keep) == (2 * 1024**2, 7)
    assert config.output.hosts == ()
    console = load(other("output.console.pretty: false")).output
    assert isinstance(console.console, ConsoleConfig)
    assert console.hosts == ()
    what = refusal(other("output.file.filename: a")).what
    assert what == "output.file.path: required option is missing"


def test_our_own_rules_are_told_in_filebeats_words() -> None:
    for lines, key in {
        "username: u": "username",
        "username: u\npassword: p\napi_key: k": "username",
        "timeout: 2h": "timeout",
        "headers: {authorization: x}": "headers.authorization",
        "backoff.init: 2h": "backoff.init",
    }.items():
        assert refusal(in_output(lines)).what.startswith(f"output.elasticsearch.{key}: "), lines


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("backoff.init: 5m", (300, 300)),
        ("backoff.max: 500ms", (0.5, 0.5)),
        ("backoff: {init: 2s, max: 3s}", (2, 3)),
    ],
)
def test_of_two_bounds_the_one_that_is_not_set_fits_the_other(
    lines: str, expected: tuple[float, float]
) -> None:
    backoff = load(in_output(lines)).output.backoff
    assert (backoff.initial, backoff.max) == expected


def test_there_is_one_output() -> None:
    error = refusal(f"{LEAST}output: {{console: {{}}}}\n")
    assert error.what == "output: several outputs: elasticsearch, console"


def test_metrics_are_in_the_log_every_second_at_the_most() -> None:
    for written, expected in (("100ms", 1.0), ("1s", 1.0), ("90s", 90.0)):
        config = load(f"{LEAST}logging.metrics.period: {written}\n")
        assert float(config.logging.metrics_interval) == expected

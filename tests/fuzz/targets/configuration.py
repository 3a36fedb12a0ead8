"""Configurations in both dialects, what is put into them, and the files that they name."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from yarl import URL

from shipper.check.logrotate import rotated_without_hard_links
from shipper.config.cloud_id import host_of_cloud_id
from shipper.config.filebeat.tree import Node, Scalar
from shipper.config.filebeat.variables import expand
from shipper.config.index_name import IndexPattern
from shipper.config.load import parse_config
from shipper.config.problems import Problems
from shipper.config.proxy import ProxyConfig
from shipper.config.units import ByteSize, HostList, Seconds, Secret
from shipper.documents.processors.machine import host_fields
from shipper.errors import ConfigError, Location, OutputError
from shipper.output.elasticsearch.proxy import Proxies, is_excluded
from shipper.output.elasticsearch.redaction import Redactor
from shipper.output.elasticsearch.secrets import StoredSecret
from tests.fuzz.target import Choices, Target, refusal_of
from tests.fuzz.targets.dead_letters import directory

_ENVIRON = {"A": "a", "EMPTY": "", "HOST": "http://es:9200", "ODD": "x, ${A} $ } : '\"", "N": "7"}


def check_own(data: bytes) -> None:
    _check_configuration(b"inputs: [{id: a, paths: [/a.log]}]\n" + data)
    _check_configuration(data)


def check_filebeat(data: bytes) -> None:
    _check_configuration(data)


def _check_configuration(text: bytes) -> None:
    refused = refusal_of(lambda: parse_config(text, "a.yml", _ENVIRON), ConfigError)
    if refused is not None:
        assert refused.problems
        for problem in refused.problems:
            str(problem).encode("utf-8", "backslashreplace")
            assert problem.what


def check_variables(data: bytes) -> None:
    """Values of a file of Filebeat, each of which may name the others."""
    where = Location("a.yml", 1)
    texts = data.decode("utf-8", "replace").split("\x01")[:6]
    children = {
        name: Node(where, Scalar(text, text, is_open=True))
        for name, text in zip("abcdef", texts, strict=False)
    }
    children["list"] = Node(where, [Node(where, Scalar("${a}", "${a}", is_open=True))])
    root = Node(where, children)
    problems = Problems()
    named = expand(root, _ENVIRON, problems)
    for node in children.values():
        assert not isinstance(node.content, Scalar) or isinstance(node.content.text, str)
    assert all(isinstance(name, str) for name in named)
    for problem in root.unresolved:
        assert problem.what


def check_values(data: bytes) -> None:
    """What is written in one option."""
    text = data.decode("utf-8", "replace")
    for read in (host_of_cloud_id, ByteSize.parse, Seconds.parse, HostList.parse, _index):
        refused = refusal_of(partial(read, text), ValueError)
        assert refused is None or str(refused)


def _index(text: str) -> None:
    IndexPattern.parse(text).fill({"fields": {"a": "b"}})


def check_proxies(data: bytes) -> None:
    """The variables of proxies; what is wrong is said without their text."""
    url, _, excluded = data.decode("utf-8", "surrogateescape").partition("\x01")
    entries = excluded.replace(",", " ").split()
    for host in ("http://es.example.com:9200", "http://192.0.2.1", "http://[::1]:9200"):
        assert isinstance(is_excluded(URL(host), entries), bool)
    refused = refusal_of(lambda: _proxy(url, excluded), ConfigError)
    # The advice has an example.
    said = str(refused).replace("http://proxy:3128", "")
    assert refused is None or len(url) < 12 or url not in said


def _proxy(url: str, excluded: str) -> None:
    variables = {"http_proxy": url, "no_proxy": excluded}
    Proxies(ProxyConfig(from_environment=True), variables).to(URL("http://es:9200"))


def check_secret_files(data: bytes) -> None:
    path = directory() / "secret"
    path.write_bytes(data)
    stored = StoredSecret(Secret(), str(path), "output.password")
    refused = refusal_of(lambda: stored.token("API key"), OutputError)
    if refused is not None:
        assert len(data) < 12 or data.decode("utf-8", "replace") not in str(refused)
        return
    assert stored.reveal() == data.decode().rstrip("\r\n")
    token = stored.token("API key")
    assert token.isprintable()
    redact = Redactor()
    redact.add_header(f"ApiKey {token}")
    assert len(token) < 4 or token not in redact(f"who is {token}?")


def check_machine(data: bytes) -> None:
    """Files of the distribution, of which metadata of the host is made."""
    choices = Choices(data)
    root = directory() / "root"
    name = choices.one_of(("etc/os-release", "etc/machine-id", "proc/1/cgroup"))
    for other in ("etc/os-release", "etc/machine-id", "proc/1/cgroup"):
        (root / other).parent.mkdir(parents=True, exist_ok=True)
        (root / other).write_bytes(choices.rest if other == name else b"")
    host = host_fields(root, netinfo=False)
    str(host).encode()


def check_logrotate(data: bytes) -> None:
    place = directory() / "logrotate"
    place.mkdir(exist_ok=True)
    path = place / "a"
    path.write_bytes(data.replace(b"include", b"exclude"))
    for found in rotated_without_hard_links([path]):
        assert 1 <= found.line <= data.count(b"\n") + data.count(b"\r") + len(data) + 1
        assert Path(found.file) == path


_OWN = (
    b"inputs:\n- id: a\n  paths: [/logs/*.log]\n  fields: {a: b}\noutput:\n  hosts: ${HOST}\n"
    b"  password: ${P:x}\n",
    b"output: {file: {path: /a, max_bytes: 4MiB}}\nregistry: {commit_interval: 1s}\n",
    b"output:\n  hosts: [http://a]\n  index: t-%{+yyyy.MM.dd}\n  backoff: {initial: 1s, max: 1m}\n",
    b"&a [*a, <<: {x: 1}, ? [1] : 2, !!binary aGk=, 2026-11-24, 0x1F, 1e3, .inf]\n",
)
_FILEBEAT = (
    b"filebeat.inputs:\n- type: filestream\n  id: a\n  paths: [/logs/*.log]\n  processors:\n"
    b"  - drop_fields.when.regexp.message: 'a+'\n    drop_fields.fields: [x]\n"
    b"output.elasticsearch:\n  hosts: ['${HOST:http://a}']\n  api_key: '${K:+a}b'\n",
    b"filebeat.inputs: [{type: log, id: b, paths: [/a]}]\noutput.console.enabled: true\n",
    b"cloud.id: 'a:ZXMuaW8kYWJjJGRlZg=='\n"
    b"filebeat.inputs.0: {type: filestream, id: c, paths: /a}\n",
)

TARGETS = (
    Target(
        "configuration",
        "a configuration is read, or all that is wrong in it is said with lines",
        check_own,
        _OWN,
        (b"${A:", b"}", b"&x ", b"*x", b"!!int ", b"<<: ", b"- ", b": ", b"\n  ", b"? ", b"| \n"),
        seconds=5.0,
    ),
    Target(
        "filebeat_yml",
        "the same of a configuration of Filebeat",
        check_filebeat,
        _FILEBEAT,
        (b"${A:", b"}", b"$$", b".0", b"processors:\n- ", b"enabled: false", b"\n  ", b"output."),
        seconds=5.0,
    ),
    Target(
        "variables",
        "variables of Filebeat's have a value or a problem, however they nest and name each other",
        check_variables,
        (
            b"${b}\x01${A:x}${N:+${c}}\x01$$ $} ${HOST}",
            b"${a}\x01${a}",
            b"${b}\x01${c}\x01${d}\x01${e}\x01${f}\x01${a}",
            b"${${A}}:${EMPTY:?no}${list.0}",
        ),
        (b"${", b"}", b":", b":+", b":?", b"$$", b"\x01", b"${a}", b"${ODD}", b"${x:" * 40),
    ),
    Target(
        "option_values",
        "a value of an option is used, or refused in words",
        check_values,
        (
            b"a:ZXMuaW8kYWJjJGRlZg==",
            b"1.5GiB",
            b"500ms",
            b"http://a:1,http://b",
            b"t-%{[fields.a]:x}-%{+yyyy.MM.dd'h'HH}",
            b"9" * 400 + b"h",
        ),
        (b"%{", b"}", b"%{+", b"[", b"'", b"$", b":", "\u0661".encode(), b"e999"),
    ),
    Target(
        "proxies",
        "the variables of proxies are read, or refused without their text",
        check_proxies,
        (
            b"http://user:p%40ss@proxy:3128\x01*.example.com,192.0.2.0/24,::1,a:80",
            b"proxy:3128",
            b"socks5://x\x01*",
            b"http://[::1]:99999",
        ),
        (b"http://", b"@", b":", b"[", b"]", b"%", b"/", b"\x01", b"xn--", "\u2100".encode()),
    ),
    Target(
        "secret_files",
        "the file of a secret holds one that can be sent, or is refused without its text",
        check_secret_files,
        (b"VuaCfGcBCdbkQm:ui2lp2axTNmsyakw9tvNnw\n", b"", b"\xff\xfe", b"a\0b", b"p\r\n"),
    ),
    Target(
        "host_files",
        "files of the distribution give metadata, or none",
        check_machine,
        (
            b'\0NAME="Debian"\nVERSION="12 (bookworm)"\nID=debian\nID_LIKE="a b"\n',
            b"\1abc\n",
            b"\x020::/kubepods/x",
        ),
    ),
    Target(
        "logrotate",
        "a configuration of logrotate is read as far as it can be",
        check_logrotate,
        (
            b'/var/log/*.log "/a b" {\n  daily\n  allowhardlink\n  postrotate\n'
            b" x }\n endscript\n}\n",
            b"noallowhardlink\n/a {\n}\n/b\n{ allowhardlink }\n",
        ),
        (b"{", b"}", b"'", b"/", b"allowhardlink", b"prerotate", b"endscript", b"\x0c", b"\x85"),
    ),
)

"""Variables: what go-ucfg makes of them, and that a scalar is the text that it is."""

from __future__ import annotations

import pytest

from tests.config.filebeat.samples import LEAST, draft, in_input, in_output, load, refusal

SECRET = "MARKER7secret"
SET = {"A": "one", "B": "two", "EMPTY": "", "COMMA": "a,b", "DOLLARS": "$$ ${A} $}"}


def name_of(text: str) -> str:
    """What `name` is, if it is written like this."""
    return load(f"{LEAST}name: '{text}'\nfields: {{key: k, ref: '${{A}}'}}\n", **SET).name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${A}", "one"),
        ("x-${A}-${B}", "x-one-two"),
        ("${A:def}", "one"),
        ("${NO:def}", "def"),
        ("${EMPTY:def}", "def"),
        ("${NO:a:b:c}", "a:b:c"),
        ("${NO:https://es:9200}", "https://es:9200"),
        ("${NO:${B}}", "two"),
        ("${NO:${NOR:${A}}}", "one"),
        ("${NO:x${B}y}", "xtwoy"),
        ("${A:+alt}", "alt"),
        ("x${NO:+alt}", "x"),
        ("x${EMPTY:+alt}", "x"),
        ("${A:+${B}}", "two"),
        ("${A:?message}", "one"),
        ("x${A}", "xone"),
        ("$${A}", "${A}"),
        ("a$$b", "a$b"),
        ("pa$word", "pa$word"),
        ("end$", "end$"),
        ("$}", "}"),
        ("${NO:a$}b}", "a}b"),
        ("${NO:a$:b}", "a:b"),
        ("${DOLLARS}", "$$ ${A} $}"),
        ("${COMMA}", "a,b"),
        ("${fields.key}", "k"),
        ("${fields.ref}", "one"),
        ("${${NO:fields}.key}", "k"),
        ("${output.elasticsearch.hosts.0}", "http://es-1:9200"),
    ],
)
def test_a_variable_is_what_go_ucfg_says(text: str, expected: str) -> None:
    assert name_of(text) == expected


@pytest.mark.parametrize(
    ("text", "what", "advice"),
    [
        ("${NO}", "name: the variable NO is not set, or empty", "set it, or write ${NO:default}"),
        ("${EMPTY}", "name: the variable EMPTY is not set, or empty", "set it, or write"),
        ("${NO:?set it please}", "name: set it please", "set NO"),
        ("${NO:?}", "name: the variable NO is not set, or empty", "set NO"),
        ("${NO", "name: a ${ has no } to end it", "write ${NAME}"),
        ("${}", "name: ${ has no name behind it", "write ${NAME}"),
        ("${name}", "name: variables that name one another", "write ${NAME}"),
    ],
)
def test_what_has_no_value_is_told_with_its_line(text: str, what: str, advice: str) -> None:
    error = refusal(f'{LEAST}name: "{text}"\n', **SET)
    assert error.what == what
    assert error.where == "filebeat.yml, line 8"
    assert error.what_to_do.startswith(advice)


def test_a_fault_in_a_secret_does_not_repeat_it() -> None:
    error = refusal(in_output(f"username: u\npassword: '{SECRET}${{'"))
    assert SECRET not in f"{error} {error.what_to_do}"


@pytest.mark.parametrize(
    "password", ["a,b", "a: b", "{a}", "[x]", "#no", "'\"", "$HOME $$ ${X}", "a\nb", "*a", "0123"]
)
def test_a_password_from_a_variable_is_that_password(password: str) -> None:
    config = load(in_output("username: u\npassword: ${PASSWORD}"), PASSWORD=password)
    assert config.output.password.reveal() == password


@pytest.mark.parametrize("password", ["a,b", "a$b", "0123", "1e3", "yes", "1.0"])
def test_a_password_in_the_file_is_the_text_that_is_written(password: str) -> None:
    config = load(in_output(f"username: u\npassword: {password}"))
    assert config.output.password.reveal() == password


@pytest.mark.parametrize("password", ["a,b", "[x]", "{a: b}", "a=b=c", "p w"])
def test_a_password_on_the_command_line_is_that_password(password: str) -> None:
    setting = f"output.elasticsearch.password={password}"
    made = draft(in_output("username: u"), settings=(setting,))
    output = made.content["output"]
    assert isinstance(output, dict)
    assert output["password"] == password


@pytest.mark.parametrize(
    "hosts", ["http://a:1,http://b:2", "[http://a:1, http://b:2]", "['http://a:1', \"http://b:2\"]"]
)
def test_several_hosts_fit_into_one_variable(hosts: str) -> None:
    text = LEAST.replace("[http://es-1:9200]", "${HOSTS}")
    assert tuple(load(text, HOSTS=hosts).output.hosts) == ("http://a:1", "http://b:2")


def test_a_variable_stands_for_a_list_of_the_file() -> None:
    text = LEAST.replace("[http://es-1:9200]", "${mine.hosts}") + "mine.hosts: [a, b]\n"
    assert tuple(load(text).output.hosts) == ("http://a:9200", "http://b:9200")


def test_numbers_durations_and_switches_may_be_in_variables() -> None:
    text = (
        in_output("timeout: ${T}\nbulk_max_size: ${N}\nssl.enabled: ${S}\n") + "http.enabled: ${S}"
    )
    config = load(text, T="90s", N="7", S="false")
    assert (float(config.output.timeout), config.output.bulk.max_events) == (90, 7)
    assert config.admin.enabled is False


def test_what_a_variable_names_may_be_called_anything() -> None:
    assert load(f"{LEAST}x-hosts: a\nname: ${{x-hosts}}\n").name == "a"
    assert draft(f"{LEAST}x-hosts: a\nname: ${{x-hosts}}\n").notices == []
    (notice,) = draft(f"{LEAST}x-hosts: a\n").notices
    assert notice.key == "x-hosts"


@pytest.mark.parametrize(
    "lines",
    [
        "http: {enabled: false, host: '${NO}'}",
        "http.port: ${NO}",
        "monitoring: {enabled: false, elasticsearch.hosts: ['${NO}']}",
        "monitoring.elasticsearch.username: ${NO}",
        "setup.kibana.host: ${NO:?tell me}",
        "filebeat.config.modules: {enabled: false, path: '${NO}'}",
        "output.logstash: {enabled: false, hosts: ['${NO}']}",
        "output.logstash: {enabled: '${FLAG:false}', hosts: ['${NO}']}",
        "cloud.id: ${NO}",
        "cloud: {id: '${EMPTY}', auth: '${NO}'}",
        "cloud.id: ''",
        "x-unknown: ${NO}",
        "queue.disk.path: ${NO}",
    ],
)
def test_a_variable_of_an_option_without_effect_need_not_be_there(lines: str) -> None:
    assert load(f"{LEAST}{lines}\n", EMPTY="").output == load(LEAST).output


@pytest.mark.parametrize(
    "lines",
    ["ssl: {enabled: false, certificate: '${NO}'}", "kerberos: {enabled: false, realm: '${NO}'}"],
)
def test_so_it_is_in_the_output(lines: str) -> None:
    assert load(in_output(lines)).output == load(LEAST).output


def test_what_the_cloud_replaces_is_not_looked_at() -> None:
    cloud = "cloud: {id: 'x:ZXhhbXBsZS5jb20kYWJjJGRlZg==', auth: 'u:p'}\n"
    text = in_output("username: ${NO}\npassword: ${NO}").replace("http://es-1:9200", "'${NO}'")
    output = load(text + cloud).output
    assert output.hosts == ("https://abc.example.com:443",)
    assert (output.username, output.password.reveal()) == ("u", "p")


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        ("http: {enabled: true, host: '${NO}'}", "http.host"),
        ("http: {enabled: '${NO}'}", "http.enabled"),
        ("queue.mem: ${NO}", "queue.mem"),
        ("monitoring.enabled: ${NO}", "monitoring.enabled"),
        ("fields: {a: {b: '${NO}'}}", "fields.a.b"),
        ("x-name: ${NO}\nname: ${x-name}", "x-name"),
        ("processors: [{add_fields: {fields: {a: ['${NO}']}}}]", "processors[0].add_fields"),
        ("filebeat.config.inputs.path: ${NO}", "filebeat.config.inputs.path"),
    ],
)
def test_a_variable_of_an_option_that_is_used_has_to_be_there(lines: str, key: str) -> None:
    error = refusal(f"{LEAST}{lines}\n")
    assert error.what.startswith(key)
    assert error.what.endswith(": the variable NO is not set, or empty")
    assert error.where == "filebeat.yml, line 8"


@pytest.mark.parametrize("value", ["${NO}", "[a, '${NO}']", "{a: '${NO}'}"])
def test_of_an_input_everything_is_used(value: str) -> None:
    for text in (
        LEAST.replace("[/logs/*.log]", value),
        LEAST.replace("filestream", f"'{value}'")
        if value == "${NO}"
        else in_input(f"tags: {value}"),
    ):
        assert "the variable NO is not set" in refusal(text).what


def test_only_values_are_expanded() -> None:
    text = f"{LEAST}fields: {{'${{A}}': '${{A}}'}}\n"
    assert load(text, A="one").inputs[0].fields == {"${A}": "one"}

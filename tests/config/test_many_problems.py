"""Everything that is wrong with a file is told in one run, by line, each thing once, and nothing
that is only a consequence."""

from __future__ import annotations

from pathlib import Path

import pytest

from shipper.config.load import parse_config, read_config
from shipper.errors import ConfigError

#: By its dialect and what it is about: lines, each with the problems that it has behind `#!`, as
#: the beginnings of what is said; several have `;` between them.
FILES = {
    "shipper.yml: values": """\
inputs:
  - id: tetragon
    paths: [logs/*.log, /b, c]         #! inputs[0].paths[0]: `logs ; inputs[0].paths[2]: `c`
    format: json                       #! inputs[0].format: not a valid value
    start_at: 5                        #! inputs[0].start_at: not a valid value
    max_line_bytes: 1                  #! inputs[0].max_line_bytes: 1B is out of range
    tags: production                   #! inputs[0].tags: expected a list
    events:
      exclude:
        - {}                           #! inputs[0].events.exclude[0]: the rule has no globs
        - type: process_exec           #! inputs[0].events.exclude[1].type: expected a list
    fields: {a: !!binary aGk=}         #! inputs[0].fields: contains a value
  - id: tetragon                       #! inputs[1].id: another input has the id
    paths: []                          #! inputs[1].paths: the list is empty
    ignore_older: 5                    #! inputs[1].ignore_older: `5` has no unit
name: 7                                #! name: expected text
output:
  hosts: [es-1:9200, http://es-2]      #! output.hosts: `es-1:9200` is not a valid URL
  bulk: {max_bytes: 1, linger: 2h}     #! output.bulk.max_bytes: ; output.bulk.linger: 2h
  backoff: {initial: 5s, max: 1s}      #! output.backoff.max: 1s is less than
  headers: {a b: c, X-Ok: 5}           #! output.headers.X-Ok: expected text
  compression: lz4                     #! output.compression: not a valid value
admin: {listen: here}                  #! admin.listen: `here`
logging:                               #! logging: the option has no value
retention: {max_bytes: 5 parsecs}      #! retention.max_bytes: `parsecs`
""",
    "shipper.yml: keys": """\
inptus: []                             #! inptus: unknown option
name: a
name: b                                #! name: the key is set twice
output:
  host: [http://es-1:9200]             #! output.host: unknown option
  username: u                          #! output.username: cannot be combined
  api_key_file: /key
  bearer_token: t                      #! output.bearer_token: cannot ; output.bearer_token: cannot
  tls:
    certificate: /c                    #! output.tls.certificate: set without its key
    key_passphrase: a                  #! output.tls.key_passphrase: cannot ; output.tls.key_pass
    key_passphrase_file: /a
    verfy: none                        #! output.tls.verfy: unknown option
  proxy:
    url: http://u:p@proxy              #! output.proxy.url: the URL ; output.proxy.url: cannot be
    from_environment: true
memory: &a {max_bytes: 4MiB}
dead_letter: {<<: *a}                  #! dead_letter.<<: merge keys are not supported
admin: on                              #! admin: expected keys with values
""",
    "shipper.yml: variables and processors": """\
inputs:
  - id: ${NO_ID}                       #! inputs[0].id: the variable NO_ID is not set
    paths: ["${NO_DIR:?mount it}/*"]   #! inputs[0].paths[0]: mount it
    processors:
      - add_tags: {tag: a}             #! inputs[0].processors[0].add_tags.tag: unknown option
      - drop_event:                    #! inputs[0].processors[1].drop_event: drops every event
      - renam: {}                      #! inputs[0].processors[2].renam: unknown processor
      - timestamp:
          field: a
          layouts: ["${NO_LAYOUT}"]    #! inputs[0].processors[3].timestamp.layouts[0]: the variable
          timezone: Mars               #! inputs[0].processors[3].timestamp.timezone: there is no
      - drop_fields:
          fields: [a]
          when:
            and:
              - range: {a.b: 1}        #! inputs[0].processors[4].drop_fields.when.and[0].range.a.b
              - equal: {a: 1}          #! inputs[0].processors[4].drop_fields.when.and[1].equal
      - truncate_fields: {fields: [a], max_bytes: x}  #! inputs[0].processors[5].truncate_fields.max
output:
  hosts: ${A}${B}                      #! output.hosts: the variable A ; output.hosts: the
  index: "%{[message]}"                #! output.index: `message` ; output.index: cannot be combined
  data_stream: logs                    #! output.data_stream: `logs`
data_dir: relative                     #! data_dir: `relative` is not an absolute path
""",
    "shipper.yml: outputs": """\
inputs: [{id: a, paths: [/a]}]
output:
  hosts: [http://es-1:9200]            #! output.hosts: cannot be combined with output.file
  file: {path: a}                      #! output.file.path: `a` is not an absolute path
  console: {colour: true}              #! output.console: cannot be ; output.console.colour: unknown
""",
    "filebeat.yml: inputs": """\
filebeat.inputs:
- type: filestream
  pahts: [/var/log/*.log]              #! filebeat.inputs[0].pahts: unknown option
- type: container                      #! filebeat.inputs[1].type: unsupported input
  paths: [x]
- type: filestream
  paths: [relative]                    #! filebeat.inputs[2].paths[0]: `relative`
  parsers: [{ndjson: {}}]              #! filebeat.inputs[2].parsers[0].ndjson: unsupported option
  compression: gzip                    #! filebeat.inputs[2].compression: not a supported value
  ignore_older: soon                   #! filebeat.inputs[2].ignore_older: expected a duration
  message_max_bytes: 1                 #! filebeat.inputs[2].message_max_bytes: 1B is out of range
  encoding: latin1                     #! filebeat.inputs[2].encoding: unsupported value
  prospector.scanner.exclude_files: ['a|b', 'c|d']  #! filebeat.inputs[2].prosp ; filebeat.inputs[2]
  pipeline: p                          #! filebeat.inputs[2].pipeline: not the same for all inputs
  processors:
    - script: {}                       #! filebeat.inputs[2].processors[0].script: unsupported
    - drop_event.when.range.a.b: 1     #! filebeat.inputs[2].processors[1].drop_event.when.range.a.b
- type: filestream                     #! filebeat.inputs[3].paths: required option is missing
  id: b
- type: filestream
  id: b                                #! filebeat.inputs[4].id: another input has the id `b`
  paths: ${NOPE}                       #! filebeat.inputs[4].paths: the variable NOPE is not set
- {paths: [/a]}                        #! filebeat.inputs[5].type: required option is missing
- 5                                    #! filebeat.inputs[6]: expected keys with values
output.console.pretty: false
""",
    "filebeat.yml: elasticsearch": """\
filebeat.inputs: [{type: filestream, id: a, paths: [/a]}]
output.elasticsearch:                  #! output.elasticsearch.index: required option is missing
  hosts: ["http://es-1:99999"]         #! output.elasticsearch.hosts: not a valid URL
  username: u                          #! output.elasticsearch.username: set without a password
  ssl.verification_mode: most          #! output.elasticsearch.ssl.verification_mode: not a valid
  ssl.certificate: /c                  #! output.elasticsearch.ssl.certificate: set without its key
  ssl.certificate_authorities: [{a: b}]  #! output.elasticsearch.ssl.certificate_authorities: exp
  ssl.supported_protocols: [TLSv1.9]   #! output.elasticsearch.ssl.supported_protocols: unknown
  ssl.ca_sha256: x                     #! output.elasticsearch.ssl.ca_sha256: unsupported option
  compression_level: 10                #! output.elasticsearch.compression_level: out of range
  timeout: 99h                         #! output.elasticsearch.timeout: 99h is out of range
  bulk_max_size: many                  #! output.elasticsearch.bulk_max_size: expected a whole
  backoff: {init: 2m, max: 1m}         #! output.elasticsearch.backoff.max: 1m is less than
  pipeline: "%{[a]}"                   #! output.elasticsearch.pipeline: a name that depends
  loadbalance: maybe                   #! output.elasticsearch.loadbalance: expected true or
  headers: {authorization: x}          #! output.elasticsearch.headers.authorization: this header
cloud.auth: nobody                     #! cloud.auth: no colon
""",
    "filebeat.yml: the rest": """\
filebeat:
  inputs: [{type: filestream, id: a, paths: [/a]}]
  modules: [{module: system}]          #! filebeat.modules[0].module: unsupported option
  registry.flush: 5h                   #! filebeat.registry.flush: 5h is out of range
  registri.path: x
setup.dashboards.enabled: ${FOO:?say whether}
logging.metrics.period: ${FOO:?say how often}  #! logging.metrics.period: say how often
logging.level: loud                    #! logging.level: not a valid value
logging.json: perhaps                  #! logging.json: expected true or false
http.enabled: true
http.host: unix:///run/x.sock          #! http.host: not an address
processors: {add_tags: {}}             #! processors: expected a list
fields: {a: 1}
fields: {b: 1}                         #! fields: the key is set twice
path.data: ${path.nowhere}             #! path.data: the variable path.nowhere is not set
output.kafka.hosts: [a]                #! output.kafka.hosts[0]: unsupported option
name: ${tags.x}                        #! name: the variable tags.x is not set
tags: ["${name}"]
""",
}


@pytest.mark.parametrize("case", FILES)
def test_all_problems_are_told_at_once_by_line_and_nothing_twice(case: str) -> None:
    name = case.partition(":")[0]
    expected: list[tuple[int, str]] = []
    for number, line in enumerate(FILES[case].splitlines(), 1):
        _, mark, said = line.partition("#!")
        expected += [(number, begin.strip()) for begin in said.split(" ; ") if mark]
    with pytest.raises(ConfigError) as raised:
        parse_config(FILES[case].encode(), name, {})
    problems = raised.value.problems
    found = [(problem.location.line, problem.what) for problem in problems]
    told = "\n".join(map(str, problems))
    assert [line for line, _ in found] == [line for line, _ in expected], told
    for number in {number for number, _ in expected}:
        here = [what for line, what in found if line == number]
        for begin in (begin for line, begin in expected if line == number):
            matching = [what for what in here if what.startswith(begin)]
            assert matching, (number, begin, here)
            here.remove(matching[0])
    assert len(set(problems)) == len(problems)
    assert {problem.location.name for problem in problems} == {name}
    # Whole words about what to do, in all but a few plain cases; no half punctuation.
    for problem in problems:
        assert "::" not in problem.what
        assert not problem.what.endswith((":", ".", ","))


def test_of_several_files_and_settings_the_problems_come_file_by_file(tmp_path: Path) -> None:
    first, second = tmp_path / "b.yml", tmp_path / "a.yml"
    first.write_text("filebeat.inputs: [{type: stdin}]\nhostname: x\n")
    second.write_text("output.console.pretty: true\n")
    with pytest.raises(ConfigError) as raised:
        read_config([first, second], {}, ["logging.level=loud"])
    assert [str(problem.location) for problem in raised.value.problems] == [
        f"{first}, line 1",
        f"{first}, line 2",
        f"{second}, line 1",
        "-E logging.level",
    ]


def test_of_several_files_that_cannot_be_read_each_is_told(tmp_path: Path) -> None:
    (tmp_path / "broken.yml").write_text("a: b: c\n")
    with pytest.raises(ConfigError) as raised:
        read_config([tmp_path / "no.yml", tmp_path / "broken.yml"], {})
    assert [str(problem.location) for problem in raised.value.problems] == [
        str(tmp_path / "no.yml"),
        f"{tmp_path / 'broken.yml'}, line 1",
    ]

"""`shipper setup`: installs what the cluster lacks, and changes nothing that others have made.

What is there is read first; what is missing is made, and what an older shipper made is brought up
to date. A template that somebody made for these very events, the integration's say, is left alone,
and then there is none of ours.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Protocol, TextIO

import msgspec

from shipper import __version__
from shipper.check.answers import Resolved, parse, reason
from shipper.clock import Clock
from shipper.config.inputs import Format
from shipper.config.model import Config
from shipper.config.outputs import OutputKind
from shipper.errors import ConfigError
from shipper.output.elasticsearch.exchange import Answer, TransportError
from shipper.output.elasticsearch.transport import HttpTransport
from shipper.setup.fields import CONSTANT, NEXT_BEST
from shipper.setup.ingest import PIPELINE_NAME, pipeline
from shipper.setup.results import Done, Outcome
from shipper.setup.templates import (
    PRIORITY,
    digest,
    is_ours,
    is_same,
    template,
    template_name,
    updated,
)

#: A whole list of templates is read, in bytes.
_MOST_BYTES = 16 * 1024**2

#: How both servers name a type that they do not have; the second is OpenSearch's own
#: `constant_keyword`, which needs a value.
_UNKNOWN_TYPE = re.compile(r"type \[(\w+)\] declared on field")
_OTHER_CONSTANT = "is missing required parameter [value]"

_RIGHTS = {
    "template": "manage_index_templates (OpenSearch: indices:admin/index_template/get and put)",
    "pipeline": "manage_ingest_pipelines (OpenSearch: cluster:admin/ingest/pipeline/get and put)",
}


class Requests(Protocol):
    """What carries a request to a host."""

    async def request(
        self,
        method: str,
        url: str,
        limit: int,
        headers: dict[str, str] | None = None,
        data: bytes | None = None,
    ) -> Answer:
        """Raises TransportError if there is no whole answer."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the cluster is to have for a configuration."""

    data_stream: str
    #: Whether raw documents are to be taken apart by our pipeline.
    pipeline: bool
    #: Whether it was asked for, and is installed even where the template is not ours.
    pipeline_in_any_case: bool = False

    @property
    def default_pipeline(self) -> str:
        return PIPELINE_NAME if self.pipeline else ""


class _FailedError(Exception):
    """Something was refused, which ends it."""

    def __init__(self, done: Done) -> None:
        super().__init__(done.detail)
        self.done = done


def wanted(config: Config, *, with_pipeline: bool) -> Wanted:
    """What is wanted; `with_pipeline`: the pipeline even if no input has `format: raw`.

    Raises ConfigError if the output is no cluster, or no data stream.
    """
    output = config.output
    if output.kind is not OutputKind.ELASTICSEARCH:
        raise ConfigError(
            f"setup is for a cluster, and this is output.{output.kind.value}",
            where="output",
            what_to_do="give a configuration with `hosts`",
        )
    if not output.is_data_stream:
        raise ConfigError(
            "setup is for data streams, and this is a plain index",
            where="output.index",
            what_to_do="leave it out and name output.data_stream, or make a template of your own",
        )
    raw = any(source.format is Format.RAW for source in config.inputs)
    needed = raw and output.pipeline in ("", PIPELINE_NAME)
    return Wanted(output.data_stream, with_pipeline or needed, with_pipeline)


def describe(plan: Wanted, stream: TextIO) -> None:
    """Prints the requests that would be made where the cluster has nothing of it."""
    if plan.pipeline:
        _print_request(f"/_ingest/pipeline/{PIPELINE_NAME}", _marked_pipeline(), stream)
    body = template(plan.data_stream, pipeline=plan.default_pipeline)
    _print_request(f"/_index_template/{template_name(plan.data_stream)}", body, stream)
    instead = ", ".join(f"{best} by {next_best}" for best, next_best in NEXT_BEST.items())
    stream.write(f"# Nothing was sent. A type that a server lacks is replaced: {instead}.\n")
    stream.write("# What is there already is left, or updated if shipper made it.\n")


async def setup(config: Config, plan: Wanted, clock: Clock) -> list[Done]:
    """Makes what is missing, by the first host that can be reached.

    Raises ConfigError if the TLS settings cannot be used.
    """
    async with HttpTransport(config.output, clock) as transport:
        return await install(transport, config.output.hosts, plan)


async def install(transport: Requests, hosts: Sequence[str], plan: Wanted) -> list[Done]:
    """The same, by way of a transport."""
    unreached = []
    for host in hosts:
        installer = _Installer(transport, host, plan)
        try:
            await installer.run()
        except TransportError as error:
            advice = "run `shipper check`, which looks at each host"
            unreached.append(Done("host", host, Outcome.FAILED, str(error), advice))
            if installer.done:
                return [*installer.done, *unreached]
            continue
        except _FailedError as error:
            installer.done.append(error.done)
        return installer.done
    return unreached


class _Installer:
    """What is asked of and told to one host."""

    def __init__(self, transport: Requests, host: str, plan: Wanted) -> None:
        self._transport = transport
        self._host = host
        self._plan = plan
        self.done: list[Done] = []

    async def run(self) -> None:
        """Raises TransportError and _FailedError."""
        name = template_name(self._plan.data_stream)
        templates = await self._templates()
        others = {
            other: body
            for other, body in templates.items()
            if other != name and _matches(body, self._plan.data_stream)
        }
        for other, body in others.items():
            if any(_is_for(glob, self._plan.data_stream) for glob in body["index_patterns"]):
                detail = f"it is for {self._plan.data_stream}, and shipper did not make it"
                self.done.append(Done("template", other, Outcome.LEFT, detail))
                if self._plan.pipeline_in_any_case:
                    await self._install_pipeline()
                return
        if self._plan.pipeline:
            await self._install_pipeline()
        highest = max((body.get("priority") or 0 for body in others.values()), default=0)
        body = template(
            self._plan.data_stream,
            pipeline=self._plan.default_pipeline,
            priority=max(PRIORITY, highest + 1),
        )
        await self._install_template(name, templates.get(name), body)
        await self._look_at_data_stream()

    async def _templates(self) -> dict[str, dict[str, Any]]:
        answer = await self._ask("GET", "/_index_template")
        if answer.status != 200:
            raise _FailedError(_refused("template", "all", "be read", answer))
        found = parse(answer, _Templates).index_templates
        return {one.name: one.index_template for one in found}

    async def _install_template(
        self, name: str, found: dict[str, Any] | None, body: dict[str, Any]
    ) -> None:
        outcome = Outcome.MADE
        if found is not None:
            if not is_ours(found):
                detail = "shipper did not make it"
                self.done.append(Done("template", name, Outcome.LEFT, detail))
                return
            if is_same(found, body):
                self.done.append(Done("template", name, Outcome.THERE))
                return
            outcome = Outcome.UPDATED
        lacking: set[str] = set()
        while True:
            wanted = template(
                self._plan.data_stream,
                pipeline=self._plan.default_pipeline,
                priority=body["priority"],
                lacking=lacking,
            )
            sent = updated(found, wanted) if found is not None else wanted
            answer = await self._ask("PUT", f"/_index_template/{name}", sent)
            if answer.status == 200:
                break
            unknown = _unknown_type(answer) - lacking
            if answer.status != 400 or not unknown & NEXT_BEST.keys():
                raise _FailedError(_refused("template", name, "be installed", answer))
            lacking |= unknown
        detail = f"without {', '.join(sorted(lacking))}, which the server lacks" if lacking else ""
        self.done.append(Done("template", name, outcome, detail))

    async def _install_pipeline(self) -> None:
        path = f"/_ingest/pipeline/{PIPELINE_NAME}"
        answer = await self._ask("GET", path)
        if answer.status not in (200, 404):
            raise _FailedError(_refused("pipeline", PIPELINE_NAME, "be read", answer))
        found = _pipeline_in(answer) if answer.status == 200 else None
        body = _marked_pipeline()
        outcome = Outcome.MADE
        if found is not None:
            said = str(found.get("description", ""))
            if _MARK not in said:
                detail = "shipper did not make it"
                self.done.append(Done("pipeline", PIPELINE_NAME, Outcome.LEFT, detail))
                return
            if said == body["description"]:
                self.done.append(Done("pipeline", PIPELINE_NAME, Outcome.THERE))
                return
            outcome = Outcome.UPDATED
        answer = await self._ask("PUT", path, body)
        if answer.status != 200:
            raise _FailedError(_refused("pipeline", PIPELINE_NAME, "be installed", answer))
        self.done.append(Done("pipeline", PIPELINE_NAME, outcome))

    async def _look_at_data_stream(self) -> None:
        """What is new holds for an index that is made from now on."""
        name = self._plan.data_stream
        answer = await self._ask("GET", f"/_resolve/index/{name}*")
        found = parse(answer, Resolved) if answer.status == 200 else Resolved()
        changed = any(one.outcome in (Outcome.MADE, Outcome.UPDATED) for one in self.done)
        if found.has_data_stream(name):
            advice = f"POST /{name}/_rollover, for the template to hold at once" if changed else ""
            detail = "with the template that it had until its next rollover" if changed else ""
            self.done.append(Done("data stream", name, Outcome.THERE, detail, advice))
        elif found.has_index(name):
            detail = "it is a plain index, made while no template was there"
            advice = "move its documents away and delete it"
            self.done.append(Done("data stream", name, Outcome.FAILED, detail, advice))

    async def _ask(self, method: str, path: str, body: object = None) -> Answer:
        return await self._transport.request(
            method,
            self._host + path,
            _MOST_BYTES,
            headers={"Content-Type": "application/json"},
            data=None if body is None else msgspec.json.encode(body),
        )


class _NamedTemplate(msgspec.Struct):
    name: str = ""
    index_template: dict[str, Any] = {}


class _Templates(msgspec.Struct):
    """Of `GET /_index_template`."""

    index_templates: list[_NamedTemplate] = []


#: In the description, as OpenSearch's pipelines take no `_meta`.
_MARK = "managed_by: shipper"


def _marked_pipeline() -> dict[str, Any]:
    body = pipeline()
    mark = f"{_MARK}, version: {__version__}, digest: {digest(body)}"
    return {"description": f"Takes Tetragon's events apart, by `shipper setup` ({mark})", **body}


def _matches(body: Mapping[str, Any], name: str) -> bool:
    return any(fnmatchcase(name, glob) for glob in body.get("index_patterns", ()))


def _is_for(glob: str, data_stream: str) -> bool:
    """Whether a pattern that matches says more than a type: `logs-*-*` does not."""
    kind, _, _ = data_stream.partition("-")
    return fnmatchcase(data_stream, glob) and len(glob.partition("*")[0]) > len(f"{kind}-")


def _unknown_type(answer: Answer) -> set[str]:
    text = answer.body.decode("utf-8", "replace")
    return set(_UNKNOWN_TYPE.findall(text)) | ({CONSTANT} if _OTHER_CONSTANT in text else set())


def _pipeline_in(answer: Answer) -> dict[str, Any]:
    try:
        return msgspec.json.decode(answer.body, type=dict[str, dict[str, Any]])[PIPELINE_NAME]
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError):
        # Something stands in between, or it is of nobody's making: it is not touched.
        return {}


def _refused(what: str, name: str, action: str, answer: Answer) -> Done:
    detail = f"it cannot {action}: HTTP {answer.status}{reason(answer)}"
    if answer.status == 401:
        advice = "these credentials are not accepted: run `shipper check`"
    elif answer.status == 403:
        advice = f"grant this user or API key {_RIGHTS[what]}, or have an administrator run setup"
    else:
        advice = "look at the cluster's log; `shipper setup --dry-run` shows what is sent"
    return Done(what, name, Outcome.FAILED, detail, advice)


def _print_request(path: str, body: object, stream: TextIO) -> None:
    text = msgspec.json.format(msgspec.json.encode(body), indent=2).decode()
    stream.write(f"PUT {path}\n{text}\n\n")

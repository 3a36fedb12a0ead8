"""`shipper setup`: installs the template and the pipeline, and does not change those of others.

Reads the existing ones first. Missing ones are created, those of an older shipper are updated. If
there is another template for these events, such as the integration's, it is kept and shipper's is
not installed.
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
from shipper.foreign import decoded
from shipper.output.elasticsearch.exchange import Answer, TransportError
from shipper.output.elasticsearch.transport import HttpTransport
from shipper.setup.fields import CONSTANT, NEXT_BEST
from shipper.setup.ingest import PIPELINE_NAME, pipeline
from shipper.setup.results import Action, SetupResult
from shipper.setup.templates import (
    PRIORITY,
    digest,
    is_ours,
    is_same,
    template,
    template_name,
    updated,
)

#: The largest answer in bytes: a list of all templates.
_MAX_BYTES = 16 * 1024**2

#: Error messages of both servers for an unsupported type; the second is for OpenSearch's own
#: `constant_keyword`, which needs a value.
_UNKNOWN_TYPE = re.compile(r"type \[(\w+)\] declared on field")
_OTHER_CONSTANT = "is missing required parameter [value]"

_RIGHTS = {
    "template": "manage_index_templates (OpenSearch: indices:admin/index_template/get and put)",
    "pipeline": "manage_ingest_pipelines (OpenSearch: cluster:admin/ingest/pipeline/get and put)",
}


class Requests(Protocol):
    """Sends requests to hosts."""

    async def request(
        self,
        method: str,
        url: str,
        limit: int,
        headers: dict[str, str] | None = None,
        data: bytes | None = None,
    ) -> Answer:
        """Sends a request. Raises TransportError if there is no complete answer."""


@dataclass(frozen=True, slots=True)
class SetupPlan:
    """The resources to install for a configuration."""

    data_stream: str
    #: Whether shipper's pipeline is to process raw documents.
    pipeline: bool
    #: Whether the pipeline was requested: then it is installed even if the template is not
    #: shipper's.
    force_pipeline: bool = False

    @property
    def default_pipeline(self) -> str:
        return PIPELINE_NAME if self.pipeline else ""


class _FailedError(Exception):
    """The cluster rejected a request; setup stops."""

    def __init__(self, result: SetupResult) -> None:
        super().__init__(result.detail)
        self.result = result


def plan_setup(config: Config, *, with_pipeline: bool) -> SetupPlan:
    """The plan; `with_pipeline`: install the pipeline even if no input has `format: raw`.

    Raises ConfigError if the output is not a cluster, or not a data stream.
    """
    output, names = config.output, config.option_names
    if output.kind is not OutputKind.ELASTICSEARCH:
        raise ConfigError(
            "setup needs Elasticsearch or OpenSearch as the output, and this is "
            f"{names(f'output.{output.kind.value}')}",
            what_to_do=f"use a configuration with {names('output.hosts')}",
        )
    if not output.is_data_stream:
        raise ConfigError(
            "setup is for data streams, and this names a plain index",
            where=names("output.index"),
            what_to_do=f"set {names('output.data_stream')} to a data stream, or create a template "
            "of your own",
        )
    raw = any(source.format is Format.RAW for source in config.inputs)
    needed = raw and output.pipeline in ("", PIPELINE_NAME)
    return SetupPlan(output.data_stream, with_pipeline or needed, with_pipeline)


def print_requests(plan: SetupPlan, stream: TextIO) -> None:
    """Prints the requests that would be sent to a cluster without these resources."""
    for path, body in _requests(plan).items():
        _print_request(path, body, stream)
    instead = ", ".join(f"{best} by {next_best}" for best, next_best in NEXT_BEST.items())
    stream.write(
        f"# Dry run: nothing was sent. Types that a server does not have are replaced: {instead}.\n"
    )
    stream.write("# What exists is left as it is, or updated if shipper created it.\n")


async def setup(config: Config, plan: SetupPlan, clock: Clock) -> list[SetupResult]:
    """Installs missing and outdated resources, using the first host that can be reached.

    Raises ConfigError if the TLS settings cannot be used.
    """
    async with HttpTransport(config.output, clock, names=config.option_names) as transport:
        return await install(transport, config.output.hosts, plan)


async def install(transport: Requests, hosts: Sequence[str], plan: SetupPlan) -> list[SetupResult]:
    """The same with a given transport."""
    unreached = []
    for host in hosts:
        installer = _Installer(transport, host, plan)
        try:
            await installer.run()
        except TransportError as error:
            advice = "run `shipper check`, which looks at each host"
            unreached.append(SetupResult("host", host, Action.NONE, str(error), advice))
            if installer.results:
                return [*installer.results, *unreached]
            continue
        except _FailedError as error:
            installer.results.append(error.result)
        return installer.results
    return unreached


class _Installer:
    """The requests to one host."""

    def __init__(self, transport: Requests, host: str, plan: SetupPlan) -> None:
        self._transport = transport
        self._host = host
        self._plan = plan
        self.results: list[SetupResult] = []

    async def run(self) -> None:
        """Installs everything. Raises TransportError and _FailedError."""
        name = template_name(self._plan.data_stream)
        templates = await self._templates()
        others = {
            other: body
            for other, body in templates.items()
            if other != name and _matches(body, self._plan.data_stream)
        }
        for other, body in others.items():
            if any(_is_for(glob, self._plan.data_stream) for glob in _patterns(body)):
                detail = f"it is for {self._plan.data_stream}, and was not created by shipper"
                self.results.append(SetupResult("template", other, Action.SKIPPED, detail))
                if self._plan.force_pipeline:
                    await self._install_pipeline()
                return
        if self._plan.pipeline:
            await self._install_pipeline()
        highest = max(map(_priority, others.values()), default=0)
        body = template(
            self._plan.data_stream,
            pipeline=self._plan.default_pipeline,
            priority=max(PRIORITY, highest + 1),
        )
        await self._install_template(name, templates.get(name), body)
        await self._report_data_stream()

    async def _templates(self) -> dict[str, dict[str, Any]]:
        answer = await self._request("GET", "/_index_template")
        found = decoded(_decode_templates, answer.body) if answer.status == 200 else None
        if found is None:
            raise _FailedError(_refused("template", "all", "be read", answer))
        return {one.name: one.index_template for one in found.index_templates}

    async def _install_template(
        self, name: str, found: dict[str, Any] | None, body: dict[str, Any]
    ) -> None:
        action = Action.CREATED
        if found is not None:
            if not is_ours(found):
                detail = "it was not created by shipper"
                self.results.append(SetupResult("template", name, Action.SKIPPED, detail))
                return
            if is_same(found, body):
                self.results.append(SetupResult("template", name, Action.UNCHANGED))
                return
            action = Action.UPDATED
        unsupported: set[str] = set()
        while True:
            wanted = template(
                self._plan.data_stream,
                pipeline=self._plan.default_pipeline,
                priority=body["priority"],
                unsupported=unsupported,
            )
            sent = updated(found, wanted) if found is not None else wanted
            answer = await self._request("PUT", f"/_index_template/{name}", sent)
            if _is_acknowledged(answer):
                break
            unknown = _unknown_type(answer) - unsupported
            if answer.status != 400 or not unknown & NEXT_BEST.keys():
                raise _FailedError(_refused("template", name, "be installed", answer))
            unsupported |= unknown
        detail = (
            f"without {', '.join(sorted(unsupported))}, which the server lacks"
            if unsupported
            else ""
        )
        self.results.append(SetupResult("template", name, action, detail))

    async def _install_pipeline(self) -> None:
        path = f"/_ingest/pipeline/{PIPELINE_NAME}"
        answer = await self._request("GET", path)
        if answer.status not in (200, 404):
            raise _FailedError(_refused("pipeline", PIPELINE_NAME, "be read", answer))
        found = _pipeline_in(answer) if answer.status == 200 else None
        body = _marked_pipeline()
        action = Action.CREATED
        if found is not None:
            description = str(found.get("description", ""))
            if _MARK not in description:
                detail = "it was not created by shipper"
                self.results.append(SetupResult("pipeline", PIPELINE_NAME, Action.SKIPPED, detail))
                return
            if description == body["description"]:
                self.results.append(SetupResult("pipeline", PIPELINE_NAME, Action.UNCHANGED))
                return
            action = Action.UPDATED
        answer = await self._request("PUT", path, body)
        if not _is_acknowledged(answer):
            raise _FailedError(_refused("pipeline", PIPELINE_NAME, "be installed", answer))
        self.results.append(SetupResult("pipeline", PIPELINE_NAME, action))

    async def _report_data_stream(self) -> None:
        """Reports the data stream: changes apply from its next backing index on."""
        name = self._plan.data_stream
        answer = await self._request("GET", f"/_resolve/index/{name}*")
        found = parse(answer, Resolved) if answer.status == 200 else Resolved()
        changed = any(one.action in (Action.CREATED, Action.UPDATED) for one in self.results)
        if found.has_data_stream(name):
            advice = f"POST /{name}/_rollover to use the template at once" if changed else ""
            detail = "the new template is used from its next rollover on" if changed else ""
            self.results.append(SetupResult("data stream", name, Action.UNCHANGED, detail, advice))
        elif found.has_index(name):
            detail = "it is a plain index, created while there was no template"
            advice = "move its documents to another index, and delete it"
            self.results.append(SetupResult("data stream", name, Action.NONE, detail, advice))

    async def _request(self, method: str, path: str, body: object = None) -> Answer:
        return await self._transport.request(
            method,
            self._host + path,
            _MAX_BYTES,
            headers={"Content-Type": "application/json"},
            data=None if body is None else msgspec.json.encode(body),
        )


class _NamedTemplate(msgspec.Struct):
    name: str = ""
    index_template: dict[str, Any] = {}


class _Templates(msgspec.Struct):
    """The answer of `GET /_index_template`."""

    index_templates: list[_NamedTemplate]


class _Acknowledged(msgspec.Struct):
    """The answer to a change."""

    acknowledged: bool


_decode_templates = msgspec.json.Decoder(_Templates).decode
_decode_acknowledged = msgspec.json.Decoder(_Acknowledged).decode


#: In the description, as OpenSearch's pipelines have no `_meta`.
_MARK = "managed_by: shipper"


def _marked_pipeline() -> dict[str, Any]:
    body = pipeline()
    mark = f"{_MARK}, version: {__version__}, digest: {digest(body)}"
    return {"description": f"Takes Tetragon's events apart, by `shipper setup` ({mark})", **body}


def _is_acknowledged(answer: Answer) -> bool:
    """Whether the cluster says that it made a change. A page, say of a login, has the status 200,
    too."""
    if answer.status != 200:
        return False
    found = decoded(_decode_acknowledged, answer.body)
    return found is not None and found.acknowledged


def _patterns(body: Mapping[str, Any]) -> list[str]:
    """The index patterns of a template, whatever is in it."""
    found = body.get("index_patterns")
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def _priority(body: Mapping[str, Any]) -> int:
    found = body.get("priority")
    return found if isinstance(found, int) else 0


def _matches(body: Mapping[str, Any], name: str) -> bool:
    return any(fnmatchcase(name, glob) for glob in _patterns(body))


def _is_for(glob: str, data_stream: str) -> bool:
    """Whether a pattern is more specific than a type; `logs-*-*` is not."""
    kind, _, _ = data_stream.partition("-")
    return fnmatchcase(data_stream, glob) and len(glob.partition("*")[0]) > len(f"{kind}-")


def _unknown_type(answer: Answer) -> set[str]:
    text = answer.body.decode("utf-8", "replace")
    return set(_UNKNOWN_TYPE.findall(text)) | ({CONSTANT} if _OTHER_CONSTANT in text else set())


def _pipeline_in(answer: Answer) -> dict[str, Any]:
    try:
        return msgspec.json.decode(answer.body, type=dict[str, dict[str, Any]])[PIPELINE_NAME]
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, RecursionError):
        # Not an answer of the cluster, or not a valid pipeline: it is not changed.
        return {}


def _refused(what: str, name: str, action: str, answer: Answer) -> SetupResult:
    detail = f"it cannot {action}: HTTP {answer.status}{reason(answer)}"
    if answer.status == 401:
        advice = "authentication failed: run `shipper check`"
    elif answer.status == 200:
        advice = (
            "run `shipper check`: another server or a proxy answers, or the cluster did not "
            "acknowledge it in time"
        )
    elif answer.status == 403:
        advice = f"grant this user or API key {_RIGHTS[what]}, or have an administrator run setup"
    else:
        advice = "check the log of the cluster; `shipper setup --dry-run` shows what is sent"
    return SetupResult(what, name, Action.NONE, detail, advice)


def print_json_requests(plan: SetupPlan, stream: TextIO) -> None:
    """Prints them as JSON: `{"requests": [{"method": …, "path": …, "body": …}]}`."""
    requests = [
        {"method": "PUT", "path": path, "body": body} for path, body in _requests(plan).items()
    ]
    stream.write(msgspec.json.encode({"requests": requests}).decode() + "\n")


def _requests(plan: SetupPlan) -> dict[str, object]:
    """The bodies that would be sent, by path."""
    requests: dict[str, object] = {}
    if plan.pipeline:
        requests[f"/_ingest/pipeline/{PIPELINE_NAME}"] = _marked_pipeline()
    body = template(plan.data_stream, pipeline=plan.default_pipeline)
    requests[f"/_index_template/{template_name(plan.data_stream)}"] = body
    return requests


def _print_request(path: str, body: object, stream: TextIO) -> None:
    text = msgspec.json.format(msgspec.json.encode(body), indent=2).decode()
    stream.write(f"PUT {path}\n{text}\n\n")

"""The questions of `shipper check` to one host, and what follows from its answers. None of them
stores a document or changes anything.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from urllib.parse import quote

import msgspec
from msgspec import UNSET

from shipper.check.answers import (
    Privileges,
    Resolved,
    Root,
    Simulated,
    Template,
    Templates,
    has_write_index,
    parse,
    reason,
)
from shipper.check.bulk import Tried, is_there, try_body, try_document
from shipper.check.findings import Finding, Status
from shipper.config.model import Config
from shipper.config.outputs import OutputConfig
from shipper.foreign import words
from shipper.option_names import OptionNames, option
from shipper.output.elasticsearch.exchange import Answer, TransportError
from shipper.output.elasticsearch.product import is_known
from shipper.output.elasticsearch.said import is_html, page_text
from shipper.output.elasticsearch.transport import HttpTransport

_AUTO_CONFIGURE = "auto_configure"

#: What `_bulk` needs with `create`: to write, and to make the data stream and add fields to its
#: mapping (elastic.co/docs/reference/elasticsearch/security-privileges).
_PRIVILEGES = ("create_doc", _AUTO_CONFIGURE)

#: Where the error itself does not say what to do.
_ADVICE = {
    "tls": "check the log of the server; it may require a client certificate "
    f"({option('output.tls.certificate')})",
    "dns": "check the name; a pod with hostNetwork resolves names of cluster services only with "
    "dnsPolicy: ClusterFirstWithHostNet",
    "connect": "check the address and port, and firewalls in between",
    "timeout": "check the address and port, and firewalls in between",
    "disconnected": "check the log of the server, and of proxies in between; a server with TLS may "
    f"require a client certificate ({option('output.tls.certificate')})",
    "invalid_answer": "check that the URL has the right scheme (http or https) and port",
    "credentials": "let this user read the file, and check that it holds the secret",
}


class HostCheck:
    """The requests to one host, in an order in which each makes sense after the one before."""

    def __init__(
        self, config: Config, transport: HttpTransport, host: str, indices: Sequence[str]
    ) -> None:
        """`indices`: where the lines of today go, unless that is a data stream."""
        self._output = config.output
        self._names = config.option_names
        self._indices = indices
        self._transport = transport
        self._host = host
        #: Whether its `_bulk` is that of Elasticsearch or OpenSearch.
        self._speaks_bulk = False
        #: That we may send it nothing, if that showed.
        self._refused: Tried | None = None
        self.findings: list[Finding] = []

    def failed(self, what: str, detail: str, what_to_do: str) -> None:
        """Notes a failure."""
        self.findings.append(Finding(self._host, what, Status.FAILED, detail, what_to_do))

    async def run(self) -> None:
        """Asks until an answer makes the next question pointless."""
        try:
            if not (await self._is_reached() and await self._try_body()):
                return
            if self._output.is_data_stream:
                name = self._output.data_stream
                is_there = await self._is_data_stream()
                if is_there is not False:
                    # No data stream takes a document without a @timestamp.
                    await self._may_write(name, is_there is True, b"{}")
            else:
                for name in self._indices:
                    is_there = await self._is_index(name)
                    if is_there is not False:
                        # No index takes what is no JSON.
                        await self._may_write(name, is_there is True, b"{")
            if self._output.pipeline:
                await self._has_pipeline()
        except TransportError as error:
            advice = error.what_to_do or _ADVICE.get(error.reason, _ADVICE["connect"])
            advice = self._names.fill(advice)
            self.failed("reachable", error.what, advice)

    async def _is_reached(self) -> bool:
        answer = await self._ask("GET", "/")
        if answer.status == 401:
            self._ok("reachable")
            advice = _authentication_advice(self._output, self._names)
            self.failed("authentication", f"HTTP 401{reason(answer)}", advice)
            return False
        if answer.status >= 500 or answer.status == 429:
            self.failed("reachable", f"HTTP {answer.status}{reason(answer)}", "check the cluster")
            return False
        if 300 <= answer.status < 400:
            self.failed(
                "reachable",
                f"HTTP {answer.status}{reason(answer)}",
                "use the URL that it redirects to",
            )
            return False
        if is_html(answer.body):
            self.failed(
                "reachable",
                f"HTTP {answer.status}: a page, not Elasticsearch: "
                f"{page_text(answer.body, answer.redact)}",
                "check the URL: a login page, a proxy or another server answers",
            )
            return False
        self._ok("reachable", answer.redact(words(parse(answer, Root).product)))
        if not is_known(answer.product, answer.body):
            self._unknown(
                "product", "the host does not identify itself as Elasticsearch or OpenSearch"
            )
        return True

    async def _is_data_stream(self) -> bool | None:
        """Whether it is there (True), will be made or nobody knows (None), or cannot be (False)."""
        name = self._output.data_stream
        answer = await self._ask("GET", f"/_resolve/index/{name}*")
        found = parse(answer, Resolved) if answer.status == 200 else Resolved()
        if found.has_data_stream(name) or await self._is_there(answer, name):
            self._ok("data stream", name)
            return True
        if found.has_index(name):
            self.failed(
                "data stream",
                f"{name} is a plain index, created while there was no template",
                "install the template, move the documents away, and delete the index",
            )
            return False
        return None if await self._has_template() else False

    async def _is_there(self, answer: Answer, name: str) -> bool | None:
        """Whether an index or data stream is there, where `answer` did not let us see it."""
        if answer.status not in (401, 403) or not self._speaks_bulk:
            return None
        found = await is_there(self._transport, self._host, self._output, name)
        self._refused = found.refused
        return found.is_there

    async def _has_template(self) -> bool:
        name = self._output.data_stream
        answer = await self._ask("POST", f"/_index_template/_simulate_index/{name}")
        is_there: bool | None
        if answer.status in (401, 403):
            # Templates can be read with less than that takes (`monitor`).
            is_there = await self._is_matched(name)
            if is_there is None:
                self._unknown("template", "no permission to read templates")
                return True
        elif answer.status != 200:
            self._unknown("template", f"HTTP {answer.status}{reason(answer)}")
            return True
        else:
            is_there = parse(answer, Simulated).template is not UNSET
        if is_there:
            if not await self._makes_data_stream():
                self.failed(
                    "template",
                    f"the template for {name} has no `data_stream`: it would create a plain index",
                    'add `"data_stream": {}` to it, or install one of higher priority that has it',
                )
                return False
            self._ok("template", f"found one for {name}; the first event creates the data stream")
            return True
        self.failed(
            "template",
            f"none found for {name}: the first event would create a plain index",
            "install the Tetragon integration in Kibana (Integrations, Settings, Install assets), "
            "run `shipper setup`, or install an index template with `data_stream` of your own",
        )
        return False

    async def _makes_data_stream(self) -> bool:
        """Whether the template that wins makes a data stream; True where nobody lets us know.

        What is simulated does not say so.
        """
        winner = await self._template_of(self._output.data_stream)
        return winner is None or winner.data_stream is not UNSET

    async def _is_matched(self, name: str) -> bool | None:
        """Whether a template matches a name; None if templates are not shown."""
        answer = await self._ask("GET", "/_index_template")
        return self._winner(answer, name) is not None if answer.status == 200 else None

    async def _template_of(self, name: str) -> Template | None:
        """The template that wins for a name; None if there is none or it is not shown."""
        return self._winner(await self._ask("GET", "/_index_template"), name)

    @staticmethod
    def _winner(answer: Answer, name: str) -> Template | None:
        templates = [
            found.index_template
            for found in parse(answer, Templates).index_templates
            if any(fnmatchcase(name, glob) for glob in found.index_template.index_patterns)
        ]
        return max(templates, key=lambda found: found.priority or 0, default=None)

    async def _is_index(self, name: str) -> bool | None:
        """As `_is_data_stream`, of a plain index or an alias."""
        path = f"/_resolve/index/{quote(name, safe='')}*?expand_wildcards=all"
        answer = await self._ask("GET", path)
        if answer.status != 200:
            if await self._is_there(answer, name):
                self._ok("index", name)
                return True
            self._unknown("index", f"HTTP {answer.status}{reason(answer)}")
            return None
        found = parse(answer, Resolved)
        if found.has_data_stream(name):
            self.failed(
                "index",
                f"{name} is a data stream",
                self._index_advice("another name"),
            )
            return False
        if found.is_closed(name):
            self.failed("index", f"{name} is closed: events for it wait", "open it")
            return False
        if found.has_index(name):
            self._ok("index", name)
            return True
        if found.has_alias(name):
            answer = await self._ask("GET", f"/_alias/{quote(name, safe='')}")
            if has_write_index(answer, name) is False:
                self.failed(
                    "index",
                    f"{name} is an alias of several indices without a write index",
                    "set `is_write_index: true` for one of them",
                )
                return False
            self._ok("index", f"{name}, an alias")
            return True
        template = await self._template_of(name)
        if template is not None and template.data_stream is not UNSET:
            self.failed(
                "index",
                f"a template makes {name} a data stream",
                self._index_advice("a name that no template with `data_stream` matches"),
            )
            return False
        by = "with its template" if template else "no template for it was found"
        self._ok("index", f"the first event creates {name}; {by}")
        return None

    def _index_advice(self, other: str) -> str:
        """What to do about the name of a data stream in `output.index`."""
        data_stream, index = map(self._names, ("output.data_stream", "output.index"))
        if data_stream == index:
            return f"set {index} to {other}"
        return f"set {data_stream} to it, or {index} to {other}"

    async def _may_write(self, name: str, is_there: bool, untaken: bytes) -> None:
        """`untaken`: a document that is refused with 400, by whom it reaches."""
        question = {"index": [{"names": [name], "privileges": list(_PRIVILEGES)}]}
        answer = await self._ask("POST", "/_security/user/_has_privileges", question)
        lacking = parse(answer, Privileges).lacking if answer.status == 200 else []
        if lacking:
            self._lacks(name, is_there, lacking)
        elif is_there and self._speaks_bulk:
            tried = await try_document(self._transport, self._host, self._output, name, untaken)
            self._tried("write permission", tried)
        elif answer.status == 200:
            self._ok("write permission")
        elif self._refused is not None:
            self._tried("write permission", self._refused)
        elif is_there:
            self._unknown("write permission", "it is not tried where `_bulk` is not known")
        else:
            created = "data stream" if self._output.is_data_stream else "index"
            self._unknown(
                "write permission", f"unknown until the first event creates the {created}"
            )

    def _lacks(self, name: str, is_there: bool, lacking: Sequence[str]) -> None:
        detail = f"missing privileges on {name}: {', '.join(lacking)}"
        advice = (
            f"grant {' and '.join(_PRIVILEGES)} on it to the role of the user, or to the API key; "
            "no other is needed"
        )
        if is_there and list(lacking) == [_AUTO_CONFIGURE]:
            # Since Elasticsearch 8, create_doc alone adds no field to a mapping.
            detail = f"{detail}: events with a field that is not mapped yet are refused with 403"
            finding = Finding(self._host, "write permission", Status.WARNING, detail, advice)
            self.findings.append(finding)
            return
        self.failed("write permission", detail, advice)

    async def _try_body(self) -> bool:
        """Sends a body as `run` does, without a document; returns whether to go on."""
        tried = await try_body(self._transport, self._host, self._output, self._names)
        self._speaks_bulk = tried.is_known
        self._tried("bulk request", tried)
        return tried.goes_on

    def _tried(self, what: str, tried: Tried) -> None:
        advice = self._names.fill(tried.what_to_do)
        self.findings.append(Finding(self._host, what, tried.status, tried.detail, advice))

    async def _has_pipeline(self) -> None:
        name = self._output.pipeline
        answer = await self._ask("GET", f"/_ingest/pipeline/{quote(name, safe='')}")
        if answer.status == 200:
            self._ok("pipeline", name)
        elif answer.status == 404:
            advice = f"create it, or remove {self._names('output.pipeline')}"
            self.failed("pipeline", f"{name} does not exist", advice)
        else:
            self._unknown("pipeline", f"HTTP {answer.status}{reason(answer)}")

    async def _ask(self, method: str, path: str, body: object = None) -> Answer:
        data = body if body is None or isinstance(body, bytes) else msgspec.json.encode(body)
        kind = "application/x-ndjson" if isinstance(body, bytes) else "application/json"
        return await self._transport.request(
            method, self._host + path, headers={"Content-Type": kind}, data=data
        )

    def _ok(self, what: str, detail: str = "") -> None:
        self.findings.append(Finding(self._host, what, Status.OK, detail))

    def _unknown(self, what: str, detail: str) -> None:
        self.findings.append(Finding(self._host, what, Status.UNKNOWN, detail))


def _authentication_advice(output: OutputConfig, names: OptionNames) -> str:
    """What to do about a 401."""
    if output.bearer_token or output.bearer_token_file:
        return f"the token is not accepted: check {names('output.bearer_token')}"
    if output.username:
        options = names.together("output.username", "output.password")
        return f"user and password are not accepted: check {options}"
    if output.api_key or output.api_key_file:
        return f"the API key is not accepted: check {names('output.api_key')}"
    return (
        f"credentials are required: set {names('output.api_key')}, or "
        f"{names.together('output.username', 'output.password')}"
    )

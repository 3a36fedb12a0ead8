"""The questions of `shipper check` to one host, and what follows from its answers. None of them
writes a document or changes anything.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from urllib.parse import quote

import msgspec
from msgspec import UNSET

from shipper.check.answers import (
    Items,
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
from shipper.check.findings import Finding, Result
from shipper.config.model import Config
from shipper.config.outputs import OutputConfig
from shipper.output.elasticsearch.exchange import Answer, TransportError
from shipper.output.elasticsearch.product import is_known
from shipper.output.elasticsearch.transport import HttpTransport

#: Where the error itself does not say what to do.
_ADVICE = {
    "tls": "look at the log of the server; it may ask for a certificate of ours "
    "(output.tls.certificate)",
    "dns": "look at the name; a pod on the host's network knows no cluster service names unless "
    "its dnsPolicy is ClusterFirstWithHostNet",
    "connect": "look at the address and port, and whether a firewall is in between",
    "timeout": "look at the address and port, and whether a firewall is in between",
    "disconnected": "look at the log of the server, or of what is between; a server that speaks "
    "TLS may ask for a certificate of ours (output.tls.certificate)",
    "invalid_answer": "is it http, and the URL says https, or another service?",
    "credentials": "let this user read the file, and see that it holds the secret",
}


class Inquiry:
    """The questions to one host, in an order in which each makes sense after the one before."""

    def __init__(
        self, config: Config, transport: HttpTransport, host: str, indices: Sequence[str]
    ) -> None:
        """`indices`: where the lines of today go, unless that is a data stream."""
        self._output = config.output
        self._indices = indices
        self._transport = transport
        self._host = host
        self.findings: list[Finding] = []

    def wrong(self, what: str, detail: str, what_to_do: str) -> None:
        """Notes what has to be put right."""
        self.findings.append(Finding(self._host, what, Result.WRONG, detail, what_to_do))

    async def run(self) -> None:
        """Asks until an answer makes the next question pointless."""
        try:
            if not await self._is_reached():
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
            self.wrong("reachable", error.what, advice)

    async def _is_reached(self) -> bool:
        answer = await self._ask("GET", "/")
        if answer.status == 401:
            self._ok("reachable")
            self.wrong("known", f"HTTP 401{reason(answer)}", _about_credentials(self._output))
            return False
        if answer.status >= 500 or answer.status == 429:
            self.wrong("reachable", f"HTTP {answer.status}{reason(answer)}", "look at the cluster")
            return False
        if 300 <= answer.status < 400:
            self.wrong("reachable", f"HTTP {answer.status}", "give the URL that it redirects to")
            return False
        self._ok("reachable", parse(answer, Root).product)
        if not is_known(answer.product, answer.body):
            self._unknown("product", "it does not say that it is Elasticsearch or OpenSearch")
        return True

    async def _is_data_stream(self) -> bool | None:
        """Whether it is there (True), will be made or nobody knows (None), or cannot be (False)."""
        name = self._output.data_stream
        answer = await self._ask("GET", f"/_resolve/index/{name}*")
        found = parse(answer, Resolved) if answer.status == 200 else Resolved()
        if found.has_data_stream(name):
            self._ok("data stream", name)
            return True
        if found.has_index(name):
            self.wrong(
                "data stream",
                f"{name} is a plain index, made while no template was there",
                "install the template, move the documents away, and delete the index",
            )
            return False
        return None if await self._has_template() else False

    async def _has_template(self) -> bool:
        name = self._output.data_stream
        answer = await self._ask("POST", f"/_index_template/_simulate_index/{name}")
        if answer.status in (401, 403):
            self._unknown("template", "these credentials may not look at templates")
            return True
        if answer.status != 200:
            self._unknown("template", f"HTTP {answer.status}{reason(answer)}")
            return True
        if parse(answer, Simulated).template is not UNSET:
            if not await self._makes_data_stream():
                self.wrong(
                    "template",
                    f"the one for {name} has no `data_stream`: a plain index would be made",
                    'add `"data_stream": {}` to it, or install one of higher priority that has it',
                )
                return False
            self._ok("template", f"there is one for {name}; the first line makes the data stream")
            return True
        self.wrong(
            "template",
            f"there is none for {name}: a plain index would be made",
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

    async def _template_of(self, name: str) -> Template | None:
        """The template that wins for a name; None if there is none or it is not shown."""
        answer = await self._ask("GET", "/_index_template")
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
            self._unknown("index", f"HTTP {answer.status}{reason(answer)}")
            return None
        found = parse(answer, Resolved)
        if found.has_data_stream(name):
            self.wrong(
                "index",
                f"{name} is a data stream",
                "name it in output.data_stream instead, or give output.index another name",
            )
            return False
        if found.is_closed(name):
            self.wrong("index", f"{name} is closed: lines for it wait", "open it")
            return False
        if found.has_index(name):
            self._ok("index", name)
            return True
        if found.has_alias(name):
            answer = await self._ask("GET", f"/_alias/{quote(name, safe='')}")
            if has_write_index(answer, name) is False:
                self.wrong(
                    "index",
                    f"{name} is an alias of several indices, and none is the one to write to",
                    "set `is_write_index: true` for one of them",
                )
                return False
            self._ok("index", f"{name}, an alias")
            return True
        template = await self._template_of(name)
        if template is not None and template.data_stream is not UNSET:
            self.wrong(
                "index",
                f"a template makes {name} a data stream",
                "name it in output.data_stream instead, or give output.index a name that no "
                "template with `data_stream` matches",
            )
            return False
        by = "as its template says" if template else "by no template that we see"
        self._ok("index", f"the first line makes {name}, {by}")
        return None

    async def _may_write(self, name: str, is_there: bool, untaken: bytes) -> None:
        """`untaken`: a document that is refused with 400, by whom it reaches."""
        privileges = ["create_doc"] if is_there else ["create_doc", "auto_configure"]
        question = {"index": [{"names": [name], "privileges": privileges}]}
        answer = await self._ask("POST", "/_security/user/_has_privileges", question)
        if answer.status == 200:
            lacking = parse(answer, Privileges).lacking
            if not lacking:
                self._ok("may write")
                return
            self.wrong(
                "may write",
                f"these credentials lack {', '.join(lacking)} on {name}",
                "grant the privileges to the user's role or the API key",
            )
        elif is_there:
            await self._try_to_write(name, untaken)
        else:
            made = "data stream" if self._output.is_data_stream else "index"
            self._unknown("may write", f"this is known once the first line makes the {made}")

    async def _try_to_write(self, name: str, untaken: bytes) -> None:
        """Sends a document that nobody takes: 400 is a yes."""
        path = f"/{quote(name, safe='')}/_bulk"
        answer = await self._ask("POST", path, b'{"create":{}}\n%b\n' % untaken)
        status, words = parse(answer, Items).only
        if status in (401, 403) or answer.status in (401, 403):
            self.wrong(
                "may write",
                f"status {status}: {words}" if words else f"HTTP {answer.status}{reason(answer)}",
                "grant this user the right to create documents there; a write block shows here too",
            )
        elif status == 400:
            self._ok("may write")
        else:
            self._unknown("may write", f"HTTP {answer.status}{reason(answer)}")

    async def _has_pipeline(self) -> None:
        name = self._output.pipeline
        answer = await self._ask("GET", f"/_ingest/pipeline/{quote(name, safe='')}")
        if answer.status == 200:
            self._ok("pipeline", name)
        elif answer.status == 404:
            self.wrong("pipeline", f"there is no {name}", "make it, or leave output.pipeline out")
        else:
            self._unknown("pipeline", f"HTTP {answer.status}{reason(answer)}")

    async def _ask(self, method: str, path: str, body: object = None) -> Answer:
        data = body if body is None or isinstance(body, bytes) else msgspec.json.encode(body)
        kind = "application/x-ndjson" if isinstance(body, bytes) else "application/json"
        return await self._transport.request(
            method, self._host + path, headers={"Content-Type": kind}, data=data
        )

    def _ok(self, what: str, detail: str = "") -> None:
        self.findings.append(Finding(self._host, what, Result.OK, detail))

    def _unknown(self, what: str, detail: str) -> None:
        self.findings.append(Finding(self._host, what, Result.UNKNOWN, detail))


def _about_credentials(output: OutputConfig) -> str:
    """What to do about a 401."""
    if output.bearer_token or output.bearer_token_file:
        return "this token is not accepted: look at bearer_token"
    if output.username or output.api_key or output.api_key_file:
        return "these credentials are not accepted: look at username, password and api_key"
    return "credentials are asked for: set username and password, or api_key"

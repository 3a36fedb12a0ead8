"""The options of the output: where to, as whom, and how."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import UNSET, Meta, UnsetType, field
from msgspec.structs import force_setattr

from shipper.config.cloud_id import host_of_cloud_id
from shipper.config.file_output import ConsoleConfig, FileConfig
from shipper.config.index_name import IndexPattern
from shipper.config.presets import Preset
from shipper.config.proxy import ProxyConfig
from shipper.config.section import Section, require, within
from shipper.config.tls import TlsConfig
from shipper.config.units import ByteSize, HostList, Seconds, Secret

_KIB, _MIB = 1024, 1024**2

#: https://www.elastic.co/docs/reference/ecs/ecs-data_stream: no part may hold a hyphen, capitals or
#: what a file name may not.
_DATA_STREAM = re.compile(r"[^-A-Z\\/*?\"<>|,#:\s]+(-[^-A-Z\\/*?\"<>|,#:\s]+){2}")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OUR_HEADERS = frozenset({"authorization", "content-encoding", "content-length", "content-type"})


class Ids(Enum):
    """Where the documents' ids come from."""

    CONTENT = "content"
    AUTO = "auto"


class Compression(Enum):
    """How request bodies are sent."""

    GZIP = "gzip"
    NONE = "none"


class Concurrency(Enum):
    """How many requests are under way at the same time."""

    ADAPTIVE = "adaptive"
    FIXED = "fixed"


class OutputKind(Enum):
    """Which destination it is."""

    ELASTICSEARCH = "elasticsearch"
    FILE = "file"
    CONSOLE = "console"


#: The keys that say which destination it is; those that are missing here belong to Elasticsearch.
_OTHER_DESTINATIONS = (OutputKind.FILE.value, OutputKind.CONSOLE.value)

#: What applies whichever destination it is. Everything else is Elasticsearch's alone.
_FOR_ALL = frozenset({"data_stream", "ids", "bulk", "backoff"})


class BulkConfig(Section, frozen=True):
    """When a request is full. What comes first decides."""

    max_bytes: Annotated[ByteSize, Meta(description="Bytes of documents, before compression.")] = (
        ByteSize(4 * _MIB)
    )
    max_events: Annotated[int, Meta(description="Documents.")] = 2000
    linger: Annotated[
        Seconds,
        Meta(
            description="How long the first line of a request waits for others. Hundreds of nodes "
            "should not send tiny requests."
        ),
    ] = Seconds(1)

    def __post_init__(self) -> None:
        within("max_bytes", self.max_bytes, ByteSize(_KIB), ByteSize(64 * _MIB))
        within("max_events", self.max_events, 1, 100_000)
        within("linger", self.linger, Seconds(0), Seconds(60))


class BackoffConfig(Section, frozen=True):
    """How long to wait before something is sent again: twice as long each time, and somewhere
    between nothing and that by chance, so that many shippers do not come back at once."""

    initial: Annotated[Seconds, Meta(description="At the most, the first time.")] = Seconds(0.5)
    max: Annotated[Seconds, Meta(description="At the most, ever.")] = Seconds(30)

    def __post_init__(self) -> None:
        within("initial", self.initial, Seconds(0.001), Seconds(3600))
        within("max", self.max, self.initial, Seconds(3600))


class OutputConfig(Section, frozen=True):
    """Elasticsearch or OpenSearch; or `file` or `console` in place of `hosts`, for which only
    `data_stream`, `ids`, `bulk` and `backoff` may be set besides."""

    hosts: Annotated[
        HostList,
        Meta(
            description="URLs, with a path prefix if a proxy needs one. Requests go to them in "
            "turn; one that fails rests, and the others serve. A text with commas is a list too. "
            "Required, unless there is `cloud_id`, `file` or `console`."
        ),
    ] = HostList()
    cloud_id: Annotated[
        str,
        Meta(description="The Cloud ID of a deployment in Elastic Cloud, in place of `hosts`."),
    ] = ""
    data_stream: Annotated[
        str,
        Meta(
            description="TYPE-DATASET-NAMESPACE. An index template for it has to be there: the "
            "Elastic integration installs one, and so does [`shipper setup`](ecs.md#shipper-setup)."
        ),
    ] = "logs-cilium_tetragon.log-default"
    index: Annotated[
        str,
        Meta(
            description="Instead of the data stream: a plain index, or an alias that has one to "
            "write to, such as `tetragon-%{+yyyy.MM.dd}`. See [there](#outputindex)."
        ),
    ] = ""
    ids: Annotated[
        Ids,
        Meta(
            description="`content`: an id that the line's file, offset and checksum give, so that "
            "a line that is sent twice is stored once. `auto`: Elasticsearch makes ids, which it "
            "does somewhat faster; what is sent twice is then stored twice."
        ),
    ] = Ids.CONTENT
    pipeline: Annotated[
        str, Meta(description="An ingest pipeline, in place of the index's default one.")
    ] = ""
    username: Annotated[str, Meta(description="For basic authentication.")] = ""
    password: Annotated[Secret, Meta(description="The password of `username`.")] = Secret()
    password_file: Annotated[
        str,
        Meta(description="A file that holds the password; read again when it changes, and on 401."),
    ] = ""
    api_key: Annotated[
        Secret, Meta(description="An API key, as `id:key` or encoded as Elasticsearch shows it.")
    ] = Secret()
    api_key_file: Annotated[
        str,
        Meta(description="A file that holds the API key; read again when it changes, and on 401."),
    ] = ""
    bearer_token: Annotated[
        Secret, Meta(description="A token that is sent as `Authorization: Bearer`.")
    ] = Secret()
    bearer_token_file: Annotated[
        str,
        Meta(description="A file that holds the token; read again when it changes, and on 401."),
    ] = ""
    headers: Annotated[
        dict[str, Secret], Meta(description="Further headers of each request, for a proxy's sake.")
    ] = field(default_factory=dict)
    tls: TlsConfig = field(default_factory=TlsConfig)
    proxy: ProxyConfig = field(default_factory=ProxyConfig)
    compression: Annotated[
        Compression,
        Meta(description="`gzip` costs less CPU here than sending ten times as many bytes."),
    ] = Compression.GZIP
    preset: Annotated[
        Preset,
        Meta(
            description="Numbers that go together, for the options in [this table](#outputpreset); "
            "one of these that is set wins over the preset."
        ),
    ] = Preset.BALANCED
    bulk: BulkConfig = field(default_factory=BulkConfig)
    concurrency: Annotated[
        Concurrency,
        Meta(
            description="`adaptive`: so many requests are under way as the cluster can take, which "
            "its answers and their times tell, at most `max_in_flight`; `fixed`: that many, always."
        ),
    ] = Concurrency.ADAPTIVE
    max_in_flight: Annotated[
        int, Meta(description="Requests under way at the same time, at the most.")
    ] = 16
    timeout: Annotated[
        Seconds,
        Meta(description="For a whole request; then it is made again."),
    ] = Seconds(60)
    backoff: BackoffConfig = field(default_factory=BackoffConfig)
    file: FileConfig | UnsetType = UNSET
    console: ConsoleConfig | UnsetType = UNSET

    @property
    def kind(self) -> OutputKind:
        """Which destination it is for."""
        if self.file is not UNSET:
            return OutputKind.FILE
        return OutputKind.ELASTICSEARCH if self.console is UNSET else OutputKind.CONSOLE

    def __post_init__(self) -> None:
        if self.cloud_id:
            self._resolve_cloud_id()
        if self.kind is OutputKind.ELASTICSEARCH:
            _check_hosts(self.hosts)
        require(
            _DATA_STREAM.fullmatch(self.data_stream) is not None,
            "data_stream",
            f"`{self.data_stream}` is not TYPE-DATASET-NAMESPACE in small letters, with no other "
            "hyphens",
        )
        try:
            _ = self.target
        except ValueError as error:
            raise ValueError(f"index: {error}") from None
        require(
            re.search(r"[\s&?#%/]", self.pipeline) is None,
            "pipeline",
            "is the name of a pipeline: no white space, and none of & ? # % /",
        )
        self._check_credentials()
        for name in self.headers:
            require(_HEADER_NAME.fullmatch(name) is not None, "headers", f"`{name}` is not a name")
            require(
                name.lower() not in _OUR_HEADERS, "headers", f"`{name}` is set by shipper itself"
            )
            value = self.headers[name].reveal()
            require(
                value.isprintable(), "headers", f"the value of `{name}` has a control character"
            )
        within("max_in_flight", self.max_in_flight, 1, 256)
        within("timeout", self.timeout, Seconds(0.1), Seconds(3600))

    @property
    def is_data_stream(self) -> bool:
        """Whether documents go to `data_stream`; else they go to `index`."""
        return not self.index

    @property
    def target(self) -> str:
        """What stands in the path of a request: the data stream, or the index if it has but one
        name. Empty if it has several: then each action names its own."""
        return IndexPattern.parse(self.index).constant if self.index else self.data_stream

    def _resolve_cloud_id(self) -> None:
        """Has `hosts` say what the Cloud ID means: nobody else has to care which was given."""
        try:
            named = HostList([host_of_cloud_id(self.cloud_id)])
        except ValueError as error:
            raise ValueError(f"cloud_id: {error}") from None
        # A copy of a section is checked once more, and has both.
        require(self.hosts in ((), named), "cloud_id", "and hosts: give one of the two")
        force_setattr(self, "hosts", named)

    def _check_credentials(self) -> None:
        password = bool(self.password) or bool(self.password_file)
        api_key = bool(self.api_key) or bool(self.api_key_file)
        token = bool(self.bearer_token) or bool(self.bearer_token_file)
        require(not (self.username and api_key), "username", "and an API key: give one of the two")
        require(not (token and self.username), "bearer_token", "and username: give one of the two")
        require(not (token and api_key), "bearer_token", "and an API key: give one of the two")
        require(
            not (self.bearer_token and self.bearer_token_file),
            "bearer_token",
            "and bearer_token_file: give one",
        )
        require(
            not (self.password and self.password_file), "password", "and password_file: give one"
        )
        require(not (self.api_key and self.api_key_file), "api_key", "and api_key_file: give one")
        require(password or not self.username, "username", "without password or password_file")
        require(not password or bool(self.username), "password", "without username")


@dataclass(frozen=True, slots=True)
class Misplaced:
    """A key that is wrong beside others, or missing among them."""

    key: str
    problem: str
    what_to_do: str


def misplaced(given: Collection[str]) -> Misplaced | None:
    """What is wrong with this choice of keys of the output: no option is accepted and ignored."""
    chosen = [key for key in _OTHER_DESTINATIONS if key in given]
    clusters = [key for key in ("hosts", "cloud_id") if key in given]
    if not chosen:
        if clusters:
            return None
        advice = f"give it, or one of cloud_id, {', '.join(_OTHER_DESTINATIONS)}"
        return Misplaced("", "the key `hosts` is missing", advice)
    kind, *more = chosen
    more = clusters + more
    if more:
        problem = f"and {kind}: there is one output"
        return Misplaced(more[0], problem, f"give one of hosts, {', '.join(_OTHER_DESTINATIONS)}")
    idle = [key for key in given if key not in _FOR_ALL and key != kind]
    if not idle:
        return None
    others = f", and so {', '.join(idle[1:])}" if idle[1:] else ""
    return Misplaced(idle[0], f"it has no effect beside `{kind}`", f"leave it out{others}")


def uses_tls(output: OutputConfig) -> bool:
    """Whether any host, or the proxy, is spoken to over TLS."""
    return any(url.startswith("https:") for url in (*output.hosts, output.proxy.url))


def header_values(headers: Mapping[str, Secret]) -> dict[str, str]:
    """The headers as they are sent."""
    return {name: value.reveal() for name, value in headers.items()}


def _check_hosts(hosts: HostList) -> None:
    require(bool(hosts), "hosts", "is empty: give at least one URL, or cloud_id in its place")
    # Looked at first, and in the text of all of them: no other fault may repeat a password, of
    # which a comma may have made two entries.
    require(
        not any("@" in host for host in hosts),
        "hosts",
        "a URL has credentials in it: use username and password, which are kept out of logs",
    )
    for host in hosts:
        _check_host(host)


def _check_host(host: str) -> None:
    try:
        url = urlsplit(host)
        port = url.port
    except ValueError as error:
        raise ValueError(f"hosts: `{host}` is not a valid URL: {error}") from None
    # A query may hold a token: it is not repeated.
    require("?" not in host and "#" not in host, "hosts", "a URL has a query or a fragment")
    require(
        url.scheme in ("http", "https") and bool(url.hostname) and port != 0,
        "hosts",
        f"`{host}` is not a URL such as https://es-1:9200",
    )
    require(re.search(r"[\s\x7f]", host) is None, "hosts", f"`{host}` has white space in it")

"""Every option, with its default and the sentence that the reference page has for it.

What can be said of one value by itself, or of values of one section, is checked here
(`__post_init__` raises ValueError with `key: what is wrong`); what needs files or the environment,
in `load`.
"""

import os
import re
from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any
from urllib.parse import urlsplit

import orjson
from msgspec import Meta, Struct, field

from shipper.config.units import ByteSize, HostList, Seconds, Secret
from shipper.logs import Level, LogFormat

_KIB, _MIB = 1024, 1024**2

#: https://www.elastic.co/docs/reference/ecs/ecs-data_stream: no part may hold a hyphen, capitals or
#: what a file name may not.
_DATA_STREAM = re.compile(r"[^-A-Z\\/*?\"<>|,#:\s]+(-[^-A-Z\\/*?\"<>|,#:\s]+){2}")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OUR_HEADERS = frozenset({"authorization", "content-encoding", "content-length", "content-type"})


class Section(Struct, frozen=True, forbid_unknown_fields=True):
    """A mapping of the file."""


class Format(Enum):
    """What a document is made of."""

    RAW = "raw"


class StartAt(Enum):
    """Where reading begins in files that are there when an input is used for the first time."""

    BEGINNING = "beginning"
    END = "end"


class Ids(Enum):
    """Where the documents' ids come from."""

    CONTENT = "content"
    AUTO = "auto"


class Compression(Enum):
    """How request bodies are sent."""

    GZIP = "gzip"
    NONE = "none"


class TlsVerify(Enum):
    """What of a server's certificate has to be right."""

    FULL = "full"
    CERTIFICATE = "certificate"
    NONE = "none"


class OnInvalid(Enum):
    """What happens to a line that is not a JSON object."""

    SHIP = "ship"
    DEAD_LETTER = "dead_letter"
    DROP = "drop"


class EventRule(Section, frozen=True):
    """A rule, which matches an event if each key that is given does, by any of its globs; one key
    at least is given. What an event does not have (a process of the host has no pod) is the empty
    text: `""` and `*` match it, `?*` does not."""

    type: Annotated[
        tuple[str, ...],
        Meta(
            description="Globs of its kind (`process_exec`, `process_exit`, `process_kprobe`, …). "
            "In all of these, letters have their case, and `*` matches slashes too."
        ),
    ] = ()
    namespace: Annotated[
        tuple[str, ...], Meta(description="Globs of the pod's namespace, `process.pod.namespace`.")
    ] = ()
    pod: Annotated[
        tuple[str, ...], Meta(description="Globs of the pod's name, `process.pod.name`.")
    ] = ()
    binary: Annotated[
        tuple[str, ...], Meta(description="Globs of the program's path, `process.binary`.")
    ] = ()

    def __post_init__(self) -> None:
        if not (self.type or self.namespace or self.pod or self.binary):
            raise ValueError("it has no globs: give at least one of type, namespace, pod, binary")


class ExcludeRule(EventRule, frozen=True):
    """A rule as those in `include`, with a name."""

    name: Annotated[
        str,
        Meta(
            description="The label `rule` of `shipper_events_filtered_total`. If it is not set: "
            "`exclude[0]` and so on."
        ),
    ] = ""


class EventsConfig(Section, frozen=True):
    """Which events are shipped: if there are rules in `include`, those that one of them matches,
    and never those that one in `exclude` matches. No rule applies to a line that is not a JSON
    object, is blank, is longer than `max_line_bytes`, is nested too deeply, or has something else
    than text where a rule may look."""

    include: tuple[EventRule, ...] = ()
    exclude: tuple[ExcludeRule, ...] = ()

    @property
    def exclude_names(self) -> tuple[str, ...]:
        """What the rules of `exclude` are called."""
        return tuple(rule.name or f"exclude[{index}]" for index, rule in enumerate(self.exclude))

    def __post_init__(self) -> None:
        names = self.exclude_names
        for name in names:
            _require(names.count(name) == 1, "exclude", f"two rules have the name `{name}`")
        _require(
            "include" not in names,
            "exclude",
            "the name `include` stands for events that no rule of `include` matches",
        )


class InputConfig(Section, frozen=True):
    """Files that are followed, and how their lines are read."""

    id: Annotated[
        str,
        Meta(
            description="A name of your choice, unique. What is remembered of the files belongs to "
            "it: with another id they are read from their beginning again."
        ),
    ]
    paths: Annotated[
        tuple[str, ...],
        Meta(
            description="Absolute globs (`*`, `?`, `[a-z]`, and `**` for any depth). A directory "
            "that does not exist yet is waited for."
        ),
    ]
    exclude: Annotated[
        tuple[str, ...],
        Meta(description="Globs of files that `paths` match and that are left out all the same."),
    ] = ()
    compressed: Annotated[
        bool,
        Meta(
            description="Whether `NAME.gz` is read where the file NAME, which `paths` match, went "
            "before it was done (Tetragon's `exportFileCompress`). It is unpacked into `data_dir`."
        ),
    ] = True
    start_at: Annotated[
        StartAt,
        Meta(
            description="`end`: of the files that are there when this input is used for the first "
            "time, only what is added is shipped. Files that come later are read as a whole."
        ),
    ] = StartAt.BEGINNING
    ignore_older: Annotated[
        Seconds,
        Meta(
            description="Of a file that is not known and was last written longer ago than this, "
            "only what is added is shipped. `0`: off."
        ),
    ] = Seconds(0)
    format: Annotated[
        Format,
        Meta(
            description="What a document is made of. `raw`: the line as `message`, for the ingest "
            "pipeline of the Elastic integration."
        ),
    ] = Format.RAW
    max_line_bytes: Annotated[
        ByteSize,
        Meta(
            description="Of a line that is longer, this much of its beginning is shipped, flagged "
            "with `log.flags: truncated` and an `error.message`; the rest is skipped and counted."
        ),
    ] = ByteSize(_MIB)
    on_invalid: Annotated[
        OnInvalid,
        Meta(
            description="What to do with a line that is not a JSON object: `ship` it with an "
            "`error.message`, write it to the dead letter file, or `drop` it. Each is counted."
        ),
    ] = OnInvalid.SHIP
    events: EventsConfig = field(default_factory=EventsConfig)
    scan_interval: Annotated[
        Seconds,
        Meta(
            description="How often the globs are evaluated in any case. Changes are noticed within "
            "milliseconds where the kernel tells of them; this is for where it does not."
        ),
    ] = Seconds(2)
    fields: Annotated[
        dict[str, Any], Meta(description="Anything of yours; each document has it at `fields`.")
    ] = field(default_factory=dict)
    tags: Annotated[tuple[str, ...], Meta(description="Each document has them at `tags`.")] = ()

    def __post_init__(self) -> None:
        _require(self.id.strip() != "", "id", "is empty")
        _require(bool(self.paths), "paths", "is empty: give at least one glob")
        for path in self.paths:
            _require(os.path.isabs(path), "paths", f"`{path}` is not absolute (begin it with /)")
            _require("\0" not in path, "paths", "a path cannot have a NUL character")
        _within("max_line_bytes", self.max_line_bytes, ByteSize(_KIB), ByteSize(64 * _MIB))
        for pattern in self.exclude:
            _require(os.path.isabs(pattern), "exclude", f"`{pattern}` is not absolute")
        _within("ignore_older", self.ignore_older, Seconds(0), Seconds(10 * 365 * 86400))
        _within("scan_interval", self.scan_interval, Seconds(0.05), Seconds(3600))
        try:
            orjson.dumps(self.fields)
        except TypeError as error:
            raise ValueError(f"fields: they cannot be written as JSON: {error}") from error


class TlsConfig(Section, frozen=True):
    """How `https` hosts are verified. TLS 1.2 is the least."""

    ca: Annotated[
        str,
        Meta(
            description="A file of PEM certificates, or the PEM text itself, that servers' "
            "certificates are checked with, in place of the system's."
        ),
    ] = ""
    verify: Annotated[
        TlsVerify,
        Meta(
            description="`full`: certificate and host name; `certificate`: any host name; `none`: "
            "nothing is checked, and anybody in between can read and change what is sent."
        ),
    ] = TlsVerify.FULL


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
        _within("max_bytes", self.max_bytes, ByteSize(_KIB), ByteSize(64 * _MIB))
        _within("max_events", self.max_events, 1, 100_000)
        _within("linger", self.linger, Seconds(0), Seconds(60))


class BackoffConfig(Section, frozen=True):
    """How long to wait before something is sent again: twice as long each time, and somewhere
    between nothing and that by chance, so that many shippers do not come back at once."""

    initial: Annotated[Seconds, Meta(description="At the most, the first time.")] = Seconds(0.5)
    max: Annotated[Seconds, Meta(description="At the most, ever.")] = Seconds(30)

    def __post_init__(self) -> None:
        _within("initial", self.initial, Seconds(0.001), Seconds(3600))
        _within("max", self.max, self.initial, Seconds(3600))


class OutputConfig(Section, frozen=True):
    """Elasticsearch or OpenSearch."""

    hosts: Annotated[
        HostList,
        Meta(
            description="URLs, with a path prefix if a proxy needs one. Requests go to them in "
            "turn; one that fails rests, and the others serve. A text with commas is a list too."
        ),
    ]
    data_stream: Annotated[
        str,
        Meta(
            description="TYPE-DATASET-NAMESPACE. An index template for it has to be there: the "
            "Elastic integration installs one."
        ),
    ] = "logs-cilium_tetragon.log-default"
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
    headers: Annotated[
        dict[str, Secret], Meta(description="Further headers of each request, for a proxy's sake.")
    ] = field(default_factory=dict)
    tls: TlsConfig = field(default_factory=TlsConfig)
    compression: Annotated[
        Compression,
        Meta(description="`gzip` costs less CPU here than sending ten times as many bytes."),
    ] = Compression.GZIP
    bulk: BulkConfig = field(default_factory=BulkConfig)
    max_in_flight: Annotated[int, Meta(description="Requests under way at the same time.")] = 4
    timeout: Annotated[
        Seconds,
        Meta(description="For a whole request; then it is made again."),
    ] = Seconds(60)
    backoff: BackoffConfig = field(default_factory=BackoffConfig)

    def __post_init__(self) -> None:
        _check_hosts(self.hosts)
        _require(
            _DATA_STREAM.fullmatch(self.data_stream) is not None,
            "data_stream",
            f"`{self.data_stream}` is not TYPE-DATASET-NAMESPACE in small letters, with no other "
            "hyphens",
        )
        _require(
            re.search(r"[\s&?#%/]", self.pipeline) is None,
            "pipeline",
            "is the name of a pipeline: no white space, and none of & ? # % /",
        )
        self._check_credentials()
        for name in self.headers:
            _require(_HEADER_NAME.fullmatch(name) is not None, "headers", f"`{name}` is not a name")
            _require(
                name.lower() not in _OUR_HEADERS, "headers", f"`{name}` is set by shipper itself"
            )
            value = self.headers[name].reveal()
            _require(
                value.isprintable(), "headers", f"the value of `{name}` has a control character"
            )
        _within("max_in_flight", self.max_in_flight, 1, 256)
        _within("timeout", self.timeout, Seconds(0.1), Seconds(3600))

    def _check_credentials(self) -> None:
        password = bool(self.password) or bool(self.password_file)
        api_key = bool(self.api_key) or bool(self.api_key_file)
        _require(not (self.username and api_key), "username", "and an API key: give one of the two")
        _require(
            not (self.password and self.password_file), "password", "and password_file: give one"
        )
        _require(not (self.api_key and self.api_key_file), "api_key", "and api_key_file: give one")
        _require(password or not self.username, "username", "without password or password_file")
        _require(not password or bool(self.username), "password", "without username")


class DeadLetterConfig(Section, frozen=True):
    """What Elasticsearch refuses for good: `dead-letter.ndjson` in `data_dir`, with the reasons."""

    max_bytes: Annotated[
        ByteSize,
        Meta(description="For the file and its predecessor together; then the oldest goes."),
    ] = ByteSize(64 * _MIB)

    def __post_init__(self) -> None:
        _within("max_bytes", self.max_bytes, ByteSize(_MIB), ByteSize(1024**4))


class MemoryConfig(Section, frozen=True):
    """What may be held for Elasticsearch."""

    max_bytes: Annotated[
        ByteSize,
        Meta(
            description="Of request bodies (compressed, if they are) and lines in flight. When it "
            "is taken, reading stops; the process needs some 40 MiB besides."
        ),
    ] = ByteSize(32 * _MIB)

    def __post_init__(self) -> None:
        _within("max_bytes", self.max_bytes, ByteSize(_MIB), ByteSize(64 * 1024**3))


class RetentionConfig(Section, frozen=True):
    """Files that are deleted before they are done: a hard link in `.shipper` beside the logs keeps
    each until all of it is acknowledged."""

    enabled: Annotated[
        bool,
        Meta(
            description="Whether links are made. Without them a deleted file is read on through "
            "its open descriptor, and what is left of it is lost if shipper is restarted meanwhile."
        ),
    ] = True
    max_bytes: Annotated[
        ByteSize,
        Meta(
            description="Of files that are deleted and not done. Past it the oldest are given up, "
            "and `shipper_lost_bytes_total` and `shipper_lost_lines_total` say how much that was. "
            "/var/run is memory on most nodes: so are the files that are kept there."
        ),
    ] = ByteSize(512 * _MIB)

    def __post_init__(self) -> None:
        _within("max_bytes", self.max_bytes, ByteSize(0), ByteSize(1024**4))


class RegistryConfig(Section, frozen=True):
    """What is remembered of the files: `registry.db` in `data_dir`."""

    commit_interval: Annotated[
        Seconds,
        Meta(
            description="How often acknowledged offsets are saved. What was acknowledged since is "
            "sent again after a crash, and not stored twice."
        ),
    ] = Seconds(1)
    forget_after: Annotated[
        Seconds,
        Meta(
            description="How long a file that is gone stays known. A copy or a backup of it that "
            "turns up meanwhile goes on where it ended."
        ),
    ] = Seconds(3600)

    def __post_init__(self) -> None:
        _within("commit_interval", self.commit_interval, Seconds(0.05), Seconds(60))
        _within("forget_after", self.forget_after, Seconds(1), Seconds(10 * 365 * 86400))


class AdminConfig(Section, frozen=True):
    """`/metrics`, `/healthz`, `/readyz` and `/status`, read-only."""

    enabled: Annotated[bool, Meta(description="Whether they are served.")] = True
    listen: Annotated[
        str,
        Meta(
            description="HOST:PORT. Use an address that Prometheus reaches to have it scraped; "
            "nothing secret is shown, and nothing can be changed."
        ),
    ] = "127.0.0.1:9479"

    def __post_init__(self) -> None:
        host, colon, port = self.listen.rpartition(":")
        number = int(port) if port.isascii() and port.isdigit() else -1
        bracketed = host.startswith("[") and host.endswith("]")
        good = bool(colon) and bool(host) and (bracketed or ":" not in host) and 0 < number < 65536
        _require(good, "listen", f"`{self.listen}` is not HOST:PORT, such as 127.0.0.1:9479")


class LoggingConfig(Section, frozen=True):
    """What the daemon says on standard error."""

    level: Annotated[Level, Meta(description="The least that is said.")] = Level.INFO
    format: Annotated[
        LogFormat,
        Meta(description="`json`: an object a line; `auto`: `text` on a terminal, else `json`."),
    ] = LogFormat.AUTO


class Config(Section, frozen=True, kw_only=True):
    """The whole file."""

    name: Annotated[
        str,
        Meta(
            description="`agent.name` and `host.name` of each document. If it is not set: the "
            "variable `NODE_NAME`, or else the machine's host name."
        ),
    ] = ""
    inputs: tuple[InputConfig, ...]
    data_dir: Annotated[
        str,
        Meta(
            description="What has to outlive a restart: the registry and the dead letter file. In "
            "a pod this is a volume of the node, not the container's own layer."
        ),
    ] = "/var/lib/shipper"
    output: OutputConfig
    dead_letter: DeadLetterConfig = field(default_factory=DeadLetterConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    retention: RetentionConfig = field(default_factory=RetentionConfig)
    registry: RegistryConfig = field(default_factory=RegistryConfig)
    admin: AdminConfig = field(default_factory=AdminConfig)
    logging: LoggingConfig = field(default_factory=LoggingConfig)
    shutdown_timeout: Annotated[
        Seconds,
        Meta(description="How long requests under way may take to finish after a SIGTERM."),
    ] = Seconds(10)

    def __post_init__(self) -> None:
        _require(bool(self.inputs), "inputs", "is empty: give at least one input")
        ids = [source.id for source in self.inputs]
        for name in ids:
            _require(ids.count(name) == 1, "inputs", f"two have the id `{name}`")
        _require(os.path.isabs(self.data_dir), "data_dir", f"`{self.data_dir}` is not absolute")
        _within("shutdown_timeout", self.shutdown_timeout, Seconds(0), Seconds(3600))


def uses_tls(output: OutputConfig) -> bool:
    """Whether any host is spoken to over TLS."""
    return any(host.startswith("https:") for host in output.hosts)


def header_values(headers: Mapping[str, Secret]) -> dict[str, str]:
    """The headers as they are sent."""
    return {name: value.reveal() for name, value in headers.items()}


def _check_hosts(hosts: HostList) -> None:
    _require(bool(hosts), "hosts", "is empty: give at least one URL")
    # Looked at first, and in the text of all of them: no other fault may repeat a password, of
    # which a comma may have made two entries.
    _require(
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
    _require("?" not in host and "#" not in host, "hosts", "a URL has a query or a fragment")
    _require(
        url.scheme in ("http", "https") and bool(url.hostname) and port != 0,
        "hosts",
        f"`{host}` is not a URL such as https://es-1:9200",
    )
    _require(re.search(r"[\s\x7f]", host) is None, "hosts", f"`{host}` has white space in it")


def _require(good: bool, key: str, problem: str) -> None:
    if not good:
        raise ValueError(f"{key}: {problem}")


def _within(key: str, value: float, least: float, most: float) -> None:
    _require(least <= value <= most, key, f"{value} is not between {least} and {most}")

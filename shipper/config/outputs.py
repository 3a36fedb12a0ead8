"""The options of the output: where to, as whom, and how."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Annotated

from msgspec import UNSET, Meta, UnsetType, field
from msgspec.structs import force_setattr

from shipper.config.cloud_id import host_of_cloud_id
from shipper.config.file_output import ConsoleConfig, FileConfig
from shipper.config.index_name import IndexPattern
from shipper.config.output_checks import header_problems, host_problems
from shipper.config.presets import Preset
from shipper.config.proxy import ProxyConfig
from shipper.config.section import Section, SectionProblem, exclusive, within
from shipper.config.tls import TlsConfig
from shipper.config.units import ByteSize, HostList, Seconds, Secret
from shipper.option_names import option

_KIB, _MIB = 1024, 1024**2

#: https://www.elastic.co/docs/reference/ecs/ecs-data_stream: no part may hold a hyphen, capitals or
#: what a file name may not.
_DATA_STREAM = re.compile(r"[^-A-Z\\/*?\"<>|,#:\s]+(-[^-A-Z\\/*?\"<>|,#:\s]+){2}")


class Ids(Enum):
    """Where the documents' ids come from."""

    CONTENT = "content"
    NODE = "node"
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

    def problems(self) -> Iterator[SectionProblem]:
        yield from within("max_bytes", self.max_bytes, ByteSize(_KIB), ByteSize(64 * _MIB))
        yield from within("max_events", self.max_events, 1, 100_000)
        yield from within("linger", self.linger, Seconds(0), Seconds(60))


class BackoffConfig(Section, frozen=True):
    """How long to wait before something is sent again: twice as long each time, and somewhere
    between nothing and that by chance, so that many shippers do not come back at once."""

    initial: Annotated[Seconds, Meta(description="At the most, the first time.")] = Seconds(0.5)
    max: Annotated[Seconds, Meta(description="At the most, ever.")] = Seconds(30)

    def problems(self) -> Iterator[SectionProblem]:
        bounds = (Seconds(0.001), Seconds(3600))
        of_ranges = [*within("initial", self.initial, *bounds), *within("max", self.max, *bounds)]
        yield from of_ranges
        if self.max < self.initial and not of_ranges:
            yield SectionProblem(
                "max",
                f"{self.max} is less than {option('output.backoff.initial')}, {self.initial}",
                "raise the one or lower the other",
                others=("initial",),
            )


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
            "a line that is sent twice is stored once. `node`: `name` is part of it, too, so that "
            "identical files of two nodes are stored as two. `auto`: Elasticsearch makes ids, "
            "which it does somewhat faster; what is sent twice is then stored twice. See "
            "[there](documents.md#document-ids)."
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
        if self.cloud_id and not self.hosts:
            # Nobody else has to care which of the two was given.
            with contextlib.suppress(ValueError):
                force_setattr(self, "hosts", HostList([host_of_cloud_id(self.cloud_id)]))
        Section.__post_init__(self)

    def problems(self) -> Iterator[SectionProblem]:
        yield from self._target_problems()
        yield from self._credential_problems()
        yield from header_problems(self.headers)
        yield from within("max_in_flight", self.max_in_flight, 1, 256)
        yield from within("timeout", self.timeout, Seconds(0.1), Seconds(3600))

    @property
    def is_data_stream(self) -> bool:
        """Whether documents go to `data_stream`; else they go to `index`."""
        return not self.index

    @property
    def target(self) -> str:
        """What stands in the path of a request: the data stream, or the index if it has but one
        name. Empty if it has several: then each action names its own."""
        return IndexPattern.parse(self.index).constant if self.index else self.data_stream

    def _target_problems(self) -> Iterator[SectionProblem]:
        """Of where documents go."""
        if self.cloud_id:
            yield from self._cloud_problems()
        elif self.kind is OutputKind.ELASTICSEARCH:
            yield from host_problems(self.hosts)
        if _DATA_STREAM.fullmatch(self.data_stream) is None:
            yield SectionProblem(
                "data_stream",
                f"`{self.data_stream}` is not the name of a data stream",
                "use TYPE-DATASET-NAMESPACE in lower case, with no other hyphens",
            )
        try:
            _ = self.target
        except ValueError as error:
            yield SectionProblem("index", str(error))
        if re.search(r"[\s&?#%/]", self.pipeline):
            yield SectionProblem(
                "pipeline",
                "not the name of an ingest pipeline",
                "use a name without white space and without & ? # % /",
            )

    def _cloud_problems(self) -> Iterator[SectionProblem]:
        try:
            named = HostList([host_of_cloud_id(self.cloud_id)])
        except ValueError as error:
            yield SectionProblem("cloud_id", str(error), "copy it again from Elastic Cloud")
            return
        # A copy of a section is checked once more, and has both.
        yield from exclusive("cloud_id", "hosts", prefix="output", given=self.hosts != named)

    def _credential_problems(self) -> Iterator[SectionProblem]:
        for key in ("password", "api_key", "bearer_token"):
            both = bool(getattr(self, key)) and bool(getattr(self, f"{key}_file"))
            yield from exclusive(key, f"{key}_file", prefix="output", given=both)
        user, password = self._given("username"), self._given("password")
        api_key, token = self._given("api_key"), self._given("bearer_token")
        for key, other in ((user, api_key), (token, user), (token, api_key)):
            yield from exclusive(key, other, prefix="output", given=bool(key) and bool(other))
        # Beside credentials of another kind, it is one too many, not one too few.
        if user and not (password or api_key or token):
            yield SectionProblem(
                "username",
                "set without a password",
                f"set {option('output.password', 'output.password_file')}",
                others=("password", "password_file"),
            )
        if password and not self.username:
            yield SectionProblem(
                password,
                "set without a user",
                f"set {option('output.username')}",
                others=("username",),
            )

    def _given(self, key: str) -> str:
        """Which option gives a credential: `key`, or the one of its file; empty: neither."""
        if getattr(self, key):
            return key
        return f"{key}_file" if getattr(self, f"{key}_file", "") else ""


def uses_tls(output: OutputConfig) -> bool:
    """Whether any host, or the proxy, is spoken to over TLS."""
    return any(url.startswith("https:") for url in (*output.hosts, output.proxy.url))


def header_values(headers: Mapping[str, Secret]) -> dict[str, str]:
    """The headers as they are sent."""
    return {name: value.reveal() for name, value in headers.items()}

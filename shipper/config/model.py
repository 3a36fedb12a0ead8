"""The whole configuration: every option, with its default and the sentence that the reference page
has for it. Inputs and the output, which have the most, have modules of their own.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from msgspec import Meta, field

from shipper.config.admin import AdminConfig
from shipper.config.inputs import InputConfig
from shipper.config.outputs import OutputConfig
from shipper.config.processors import Processors
from shipper.config.section import INTERNAL, Section, SectionProblem, within
from shipper.config.units import ByteSize, Seconds
from shipper.errors import Location
from shipper.logs import Level, LogFormat
from shipper.option_names import OWN_NAMES, OptionNames

_MIB = 1024**2


class DeadLetterConfig(Section, frozen=True):
    """What Elasticsearch refuses for good: `dead-letter.ndjson` in `data_dir`, with the reasons."""

    max_bytes: Annotated[
        ByteSize,
        Meta(description="For the file and its predecessor together; then the oldest goes."),
    ] = ByteSize(64 * _MIB)

    def problems(self) -> Iterator[SectionProblem]:
        yield from within("max_bytes", self.max_bytes, ByteSize(_MIB), ByteSize(1024**4))


class MemoryConfig(Section, frozen=True):
    """What may be held for Elasticsearch."""

    max_bytes: Annotated[
        ByteSize,
        Meta(
            description="Of request bodies (compressed, if they are) and lines in flight. When it "
            "is taken, reading stops; the process needs some 50 MiB besides."
        ),
    ] = ByteSize(32 * _MIB)

    def problems(self) -> Iterator[SectionProblem]:
        yield from within("max_bytes", self.max_bytes, ByteSize(_MIB), ByteSize(64 * 1024**3))


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

    def problems(self) -> Iterator[SectionProblem]:
        yield from within("max_bytes", self.max_bytes, ByteSize(0), ByteSize(1024**4))


class LossesConfig(Section, frozen=True):
    """Lines that will never be delivered are recorded in the registry, and listed by
    `shipper registry losses`."""

    ship: Annotated[
        bool,
        Meta(
            description="Whether each loss is sent as a document too, with "
            "`event.action: log-lines-lost`."
        ),
    ] = True


class RegistryConfig(Section, frozen=True):
    """What is remembered of the files: `registry.db` in `data_dir`."""

    commit_interval: Annotated[
        Seconds,
        Meta(
            description="How often acknowledged offsets are saved. What was acknowledged since is "
            "sent again after a crash, and not stored twice, unless the data stream rolled over "
            "in between."
        ),
    ] = Seconds(1)
    forget_after: Annotated[
        Seconds,
        Meta(
            description="How long a file that is gone stays known. A copy or a backup of it that "
            "turns up meanwhile goes on where it ended."
        ),
    ] = Seconds(3600)

    import_from: Annotated[
        str,
        Meta(
            description="Whose offsets the files go on at when nothing is remembered yet: a "
            "directory with Filebeat's registry (its `path.data`, or the `registry` in it). "
            "`auto`: `registry/filebeat` in `data_dir`, if it is there; `none`: nobody's. A "
            "directory that has none is no error. Filebeat's files are only read."
        ),
    ] = "auto"
    import_fingerprint_offset: Annotated[
        ByteSize,
        Meta(
            description="As Filebeat's `prospector.scanner.fingerprint.offset`, for files that its "
            "registry knows by their fingerprint."
        ),
    ] = ByteSize(0)
    import_fingerprint_length: Annotated[
        ByteSize, Meta(description="As its `prospector.scanner.fingerprint.length`.")
    ] = ByteSize(1024)

    def problems(self) -> Iterator[SectionProblem]:
        if self.import_from not in ("auto", "none") and not os.path.isabs(self.import_from):
            yield SectionProblem(
                "import_from",
                f"`{self.import_from}` is not a valid value",
                "use `auto`, `none` or an absolute path",
            )
        offset, length = self.import_fingerprint_offset, self.import_fingerprint_length
        yield from within("import_fingerprint_offset", offset, ByteSize(0), ByteSize(_MIB))
        # The minimum is Filebeat's.
        yield from within("import_fingerprint_length", length, ByteSize(64), ByteSize(_MIB))
        yield from within("commit_interval", self.commit_interval, Seconds(0.05), Seconds(60))
        yield from within("forget_after", self.forget_after, Seconds(1), Seconds(10 * 365 * 86400))


class FileConfig(Section, frozen=True):
    """The configuration's own files: [deploy.md](deploy.md#reload)."""

    reload: Annotated[
        bool,
        Meta(
            description="Whether they are read again when they change, as on SIGHUP. A ConfigMap "
            "or Secret that is mounted by `subPath` never changes in a running pod: mount the "
            "directory."
        ),
    ] = False


class LoggingConfig(Section, frozen=True):
    """The daemon's log on standard error: [logs.md](logs.md)."""

    level: Annotated[
        Level,
        Meta(
            description="The least serious messages that are logged. `debug` has each request, "
            "scan, batch and commit, too."
        ),
    ] = Level.INFO
    format: Annotated[
        LogFormat,
        Meta(
            description="`json`: one object per line, in the Elastic Common Schema; `text`: for "
            "people; `auto`: `text` on a terminal, else `json`."
        ),
    ] = LogFormat.AUTO
    metrics_interval: Annotated[
        Seconds,
        Meta(
            description="How often the metrics that changed are logged, with the backlog and its "
            "age. `0`: never."
        ),
    ] = Seconds(30)

    def problems(self) -> Iterator[SectionProblem]:
        if self.metrics_interval:
            yield from within("metrics_interval", self.metrics_interval, Seconds(1), Seconds(86400))


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
    processors: Annotated[
        Processors,
        Meta(
            description="What is done to the documents of all inputs, as in Filebeat: "
            "[processors.md](processors.md)."
        ),
    ] = Processors()
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
    losses: LossesConfig = field(default_factory=LossesConfig)
    registry: RegistryConfig = field(default_factory=RegistryConfig)
    admin: AdminConfig = field(default_factory=AdminConfig)
    logging: LoggingConfig = field(default_factory=LoggingConfig)
    config: FileConfig = field(default_factory=FileConfig)
    shutdown_timeout: Annotated[
        Seconds,
        Meta(description="How long requests under way may take to finish after a SIGTERM."),
    ] = Seconds(10)

    watchdog: Annotated[
        Seconds,
        Meta(
            description="If the event loop does not turn for so long, the stacks are logged and "
            "the process ends, for its supervisor to start it again. Time in which the process is "
            "stopped, frozen or has no processor does not count. `0`: never."
        ),
    ] = Seconds(60)

    #: What the options are called in the dialect that they were written in.
    option_names: Annotated[OptionNames, INTERNAL] = OWN_NAMES
    #: Where `output.index` is written; empty if the configuration is of no file.
    index_location: Annotated[Location, INTERNAL] = Location()

    def problems(self) -> Iterator[SectionProblem]:
        if not self.inputs:
            yield SectionProblem("inputs", "the list is empty", "give at least one input")
        ids = [source.id for source in self.inputs]
        for index, name in enumerate(ids):
            if name and name in ids[:index]:
                yield SectionProblem(
                    "inputs",
                    f"another input has the id `{name}`, too",
                    "give each input an id of its own",
                    steps=(index, "id"),
                )
        if not os.path.isabs(self.data_dir):
            yield SectionProblem(
                "data_dir", f"`{self.data_dir}` is not an absolute path", "begin it with /"
            )
        yield from within("shutdown_timeout", self.shutdown_timeout, Seconds(0), Seconds(3600))
        if self.watchdog:
            yield from within("watchdog", self.watchdog, Seconds(1), Seconds(3600))

    @property
    def import_directory(self) -> Path | None:
        """Where Filebeat's registry may be; None: nowhere."""
        match self.registry.import_from:
            case "none":
                return None
            case "auto":
                # Not `data_dir` itself: its own files are not looked at for Filebeat's.
                return Path(self.data_dir, "registry", "filebeat")
            case directory:
                return Path(directory)

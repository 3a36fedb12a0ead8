"""The options of inputs: which files are followed, and how their lines are read."""

import os
from enum import Enum
from typing import Annotated, Any

import orjson
from msgspec import Meta, field

from shipper.config.processors import Processors
from shipper.config.section import Section, require, within
from shipper.config.units import ByteSize, Seconds

_KIB, _MIB = 1024, 1024**2


#: Of a document, what differs from line to line, what `tags` are for, and what has to be the
#: data stream's name.
_NOT_YOURS = frozenset({"@timestamp", "message", "log", "error", "tags", "data_stream"})


class Format(Enum):
    """What a document is made of."""

    RAW = "raw"
    ECS = "ecs"


class StartAt(Enum):
    """Where reading begins in files that are there when an input is used for the first time."""

    BEGINNING = "beginning"
    END = "end"


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
            require(names.count(name) == 1, "exclude", f"two rules have the name `{name}`")
        require(
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
            "pipeline of the Elastic integration. `ecs`: what that pipeline makes of it, for "
            "clusters without it, at about twice the CPU. See [there](ecs.md)."
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
            description="How often the globs are evaluated if nothing happens. Changes are noticed "
            "within milliseconds where the kernel tells of them; this is for where it does not. "
            "Where it does, many thousands of files are looked for up to every 30 s only."
        ),
    ] = Seconds(2)
    symlinks: Annotated[
        bool,
        Meta(
            description="Whether files are read that `paths` match as symbolic links, as "
            "`/var/log/containers/*.log` of Kubernetes are. If not, the log and `shipper check` "
            "name each link that is left out. Links to directories on the way are always followed."
        ),
    ] = False
    fields: Annotated[
        dict[str, Any], Meta(description="Anything of yours; each document has it at `fields`.")
    ] = field(default_factory=dict)
    fields_under_root: Annotated[
        bool,
        Meta(
            description="Whether `fields` stand at the top of the document instead: over those of "
            "shipper (`host.name`), but not over those that differ from line to line."
        ),
    ] = False
    tags: Annotated[tuple[str, ...], Meta(description="Each document has them at `tags`.")] = ()
    processors: Annotated[
        Processors,
        Meta(
            description="What is done to the documents of this input, as in Filebeat: "
            "[processors.md](processors.md). Those at the top level come after them."
        ),
    ] = Processors()

    def __post_init__(self) -> None:
        require(self.id.strip() != "", "id", "is empty")
        require(bool(self.paths), "paths", "is empty: give at least one glob")
        for path in self.paths:
            require(os.path.isabs(path), "paths", f"`{path}` is not absolute (begin it with /)")
            require("\0" not in path, "paths", "a path cannot have a NUL character")
        within("max_line_bytes", self.max_line_bytes, ByteSize(_KIB), ByteSize(64 * _MIB))
        for pattern in self.exclude:
            require(os.path.isabs(pattern), "exclude", f"`{pattern}` is not absolute")
        within("ignore_older", self.ignore_older, Seconds(0), Seconds(10 * 365 * 86400))
        within("scan_interval", self.scan_interval, Seconds(0.05), Seconds(3600))
        try:
            orjson.dumps(self.fields)
        except TypeError as error:
            raise ValueError(f"fields: they cannot be written as JSON: {error}") from error
        if self.fields_under_root:
            for name in _NOT_YOURS & set(self.fields):
                raise ValueError(f"fields: `{name}` at the top of a document is set by shipper")

"""The options of inputs: which files are followed, and how their lines are read."""

import os
from collections.abc import Iterator
from enum import Enum
from typing import Annotated, Any

import orjson
from msgspec import Meta, field

from shipper.config.processor_list import Processors
from shipper.config.section import Section, SectionProblem, within
from shipper.config.units import ByteSize, Seconds
from shipper.option_names import option

_KIB, _MIB = 1024, 1024**2


#: Of a document, what differs from line to line, what `tags` are for, and what has to be the
#: data stream's name.
_NOT_YOURS = frozenset({"@timestamp", "message", "log", "error", "tags", "data_stream"})


class Format(Enum):
    """What a document is made of."""

    RAW = "raw"
    ECS = "ecs"


class InputType(Enum):
    """What `input.type` says in documents: the type of Filebeat's input that had the files."""

    FILESTREAM = "filestream"
    LOG = "log"


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

    def problems(self) -> Iterator[SectionProblem]:
        if not (self.type or self.namespace or self.pod or self.binary):
            yield SectionProblem(
                "",
                "the rule has no globs",
                "give at least one of type, namespace, pod, binary",
                others=("type", "namespace", "pod", "binary"),
            )


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

    def problems(self) -> Iterator[SectionProblem]:
        names = self.exclude_names
        for index, name in enumerate(names):
            if name in names[:index]:
                yield SectionProblem(
                    "exclude",
                    f"another rule has the name `{name}`, too",
                    "give each rule a name of its own",
                    steps=(index,),
                )
            if name == "include":
                yield SectionProblem(
                    "exclude",
                    "the name `include` is reserved for events that no rule of `include` matches",
                    "give the rule another name",
                    steps=(index, "name"),
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
            "before it was done (Tetragon's `exportFileCompress`). It is inflated as it is read, "
            "up to 16 GiB of content."
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
    type: Annotated[
        InputType,
        Meta(
            description="The field `input.type` of each document, and nothing else: what "
            "searches and pipelines that were made for Filebeat may look for."
        ),
    ] = InputType.FILESTREAM
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
    close_removed_after: Annotated[
        Seconds,
        Meta(
            description="A file that no path leads to any more is followed as long as a process "
            "has it open to write. Where the kernel does not tell (the file has another name, is "
            "on a network file system, or belongs to another user), it is complete after so long "
            "without a write."
        ),
    ] = Seconds(60)
    symlinks: Annotated[
        bool,
        Meta(
            description="Whether files are read that `paths` match as symbolic links, as "
            "`/var/log/containers/*.log` of Kubernetes are. If not, the log and `shipper check` "
            "name each link that is left out. Links to directories on the way are always followed."
        ),
    ] = False
    require_files: Annotated[
        bool,
        Meta(
            description="Whether `/readyz` and `shipper check` fail while no file matches any of "
            "`paths`. Gzips of rotated logs do not count. Without it `check` only warns: a node "
            "may be quiet. Both fail in any case while a file is there and cannot be read."
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

    def problems(self) -> Iterator[SectionProblem]:
        if not self.id.strip():
            yield SectionProblem("id", "the id is empty", "give each input a name of its own")
        if not self.paths:
            yield SectionProblem(
                "paths", "the list is empty", "give at least one glob such as /var/log/x/*.log"
            )
        for key, patterns in (("paths", self.paths), ("exclude", self.exclude)):
            for index, pattern in enumerate(patterns):
                if "\0" in pattern:
                    what, advice = "the path contains a NUL character", "remove the character"
                elif not os.path.isabs(pattern):
                    what, advice = f"`{pattern}` is not an absolute path", "begin it with /"
                else:
                    continue
                yield SectionProblem(key, what, advice, steps=(index,))
        yield from within(
            "max_line_bytes", self.max_line_bytes, ByteSize(_KIB), ByteSize(64 * _MIB)
        )
        yield from within("ignore_older", self.ignore_older, Seconds(0), Seconds(10 * 365 * 86400))
        yield from within(
            "close_removed_after", self.close_removed_after, Seconds(1), Seconds(24 * 3600)
        )
        yield from within("scan_interval", self.scan_interval, Seconds(0.05), Seconds(3600))
        try:
            orjson.dumps(self.fields)
        except TypeError:
            yield SectionProblem(
                "fields",
                "contains a value that cannot be written as JSON",
                "use text, numbers, true, false, lists and keys with values",
            )
        for name in sorted(_NOT_YOURS & set(self.fields)) if self.fields_under_root else ():
            yield SectionProblem(
                "fields",
                f"`{name}` at the top of a document is set by shipper",
                f"rename it, or remove {option('inputs[].fields_under_root')}",
                others=("fields_under_root",),
                steps=(name,),
            )

"""The options of inputs: `filestream`, and `log`, which has other names for the same."""

from shipper.config.filebeat.options import Option, Section, fixed, honoured, ignored, refused
from shipper.config.filebeat.values import (
    boolean,
    duration,
    items,
    mapping,
    number,
    size,
    small_text,
    text,
    texts,
)

FILTER = (
    "the processor `drop_event` leaves lines out: `when.regexp.message`, or `when.not` for those "
    "to keep; cheaper is `shipper.events` in the input"
)
_OWN_PACE = "changes are noticed as they happen, and a file is read when there is something to read"
_UNTIL_DONE = "a file is left when it is gone, read to its end and acknowledged, and never before"
_BY_CONTENT = "files are known by their content"
_KEPT = "what is forgotten, and when, is `shipper.registry.forget_after`"
_OPEN_FILES = "files that are quiet cost no descriptor"
DECODED = (
    "leave it out: the line is shipped as it is, for the ingest pipeline; the processor "
    "`decode_json_fields` decodes it before"
)
ONE_LINE = "leave it out: a line is an event in Tetragon's logs"

_COMMON: tuple[Option, ...] = (
    honoured(
        "type",
        text,
        "`filestream` or `log`, which is what `input.type` of the documents says. All others are "
        "refused.",
    ),
    honoured("enabled", boolean, "An input with `false` is left out."),
    honoured(
        "paths",
        texts,
        "Absolute globs. `**` stands for any depth, where Filebeat's ends at 8.",
        "paths",
    ),
    honoured(
        "ignore_older",
        duration,
        "Of a file that is not known and that old, only what is added is shipped.",
        "ignore_older",
    ),
    honoured("tags", texts, "Behind those at the top of the file."),
    honoured("fields", mapping, "Merged with those at the top of the file, and over them."),
    honoured("fields_under_root", boolean, "As in Filebeat: they win over the fields of shipper."),
    honoured(
        "processors", items, "See [processors](#processors). They come before those at the top."
    ),
    honoured(
        "pipeline", text, "As `output.elasticsearch.pipeline`, if all inputs name the same one."
    ),
    honoured("index", text, "As `output.elasticsearch.index`, if all inputs name the same one."),
    fixed(
        "encoding",
        small_text,
        ("plain", "nop", "utf-8", "utf8", "unicode-1-1-utf-8", ""),
        "Tetragon writes UTF-8.",
    ),
    fixed(
        "line_terminator", text, ("auto", "line_feed"), "Lines end with LF; a CR before it goes."
    ),
    fixed("keep_null", boolean, (False,), "Fields without a value are left out."),
    fixed(
        "publisher_pipeline.disable_host",
        boolean,
        (False,),
        "Each document has `host.name`; drop_fields can drop it.",
    ),
    refused("include_lines", FILTER),
    refused("exclude_lines", FILTER),
    ignored("harvester_limit", f"all files are read at once, {_OPEN_FILES}"),
    ignored("clean_inactive", _KEPT),
    ignored("clean_removed", _KEPT),
    ignored("file_identity.*", _BY_CONTENT),
)

_FILESTREAM: tuple[Option, ...] = (
    honoured(
        "id",
        text,
        "The name that what is remembered of the files belongs to. Without it: `filestream`.",
        "id",
    ),
    honoured(
        "message_max_bytes",
        size,
        "As `max_line_bytes`; 10 MiB, as in Filebeat, if it is not set.",
        "max_line_bytes",
    ),
    honoured(
        "seek_to_tail",
        boolean,
        "`true`: of the files that are there at the first start, only what is added is shipped. "
        "Files that come later are read as a whole, where Filebeat skips their beginning too.",
    ),
    honoured(
        "prospector.scanner.check_interval",
        duration,
        "As `scan_interval`. It is for where the kernel does not tell of changes.",
        "scan_interval",
    ),
    honoured(
        "prospector.scanner.exclude_files",
        texts,
        "Regular expressions of text, `.`, `.*`, `^` and `$`, which become globs; others are "
        "refused.",
    ),
    honoured(
        "prospector.scanner.symlinks",
        boolean,
        "As `symlinks`; `false`, as in Filebeat, if it is not set.",
        "symlinks",
    ),
    honoured(
        "compression",
        text,
        "`auto`: gzips of rotated logs are read where the log itself went too "
        "soon, which is so without it as well; `none`: never. `gzip` is refused.",
    ),
    fixed("prospector.scanner.recursive_glob", boolean, (True,), "`**` is always understood."),
    fixed(
        "prospector.scanner.resend_on_touch",
        boolean,
        (False,),
        "What was shipped is not shipped again.",
    ),
    fixed("delete.enabled", boolean, (False,), "shipper deletes no log; Tetragon does."),
    fixed(
        "allow_deprecated_id_duplication", boolean, (False,), "Give each input an id of its own."
    ),
    fixed("include_file_owner_name", boolean, (False,), "There is no such field."),
    fixed("include_file_owner_group_name", boolean, (False,), "There is no such field."),
    refused("prospector.scanner.include_files", "name them in `paths`"),
    refused(
        "ignore_inactive",
        "`ignore_older` leaves out what is old, `seek_to_tail` what is there at the first start",
    ),
    honoured(
        "parsers", items, "An empty list. Any parser is refused: the line is shipped as it is."
    ),
    ignored("buffer_size", "blocks are as large as reads are fast"),
    ignored("backoff.*", _OWN_PACE),
    ignored("close.*", _UNTIL_DONE),
    ignored("read_until_eof.*", _UNTIL_DONE),
    ignored("delete.grace_period", "shipper deletes no log"),
    ignored("legacy_clean_inactive", _KEPT),
    honoured(
        "prospector.scanner.fingerprint.enabled",
        boolean,
        f"{_BY_CONTENT.capitalize()} here, from their first line on. With `false` the `offset` and "
        "the `length` count for nothing.",
    ),
    honoured(
        "prospector.scanner.fingerprint.offset",
        number,
        "As `registry.import_fingerprint_offset`: which bytes Filebeat knew its files by. All "
        "inputs have to say the same.",
    ),
    honoured(
        "prospector.scanner.fingerprint.length",
        number,
        "As `registry.import_fingerprint_length`. All inputs have to say the same.",
    ),
    ignored("prospector.scanner.fingerprint.*", f"{_BY_CONTENT}, from their first line on"),
    ignored("rotation.*", "files that are copied and truncated are recognised"),
    ignored("take_over.*", _BY_CONTENT),
)

_LOG: tuple[Option, ...] = (
    honoured("id", text, "As of a `filestream`. Without it: `log:` and the paths.", "id"),
    honoured("max_bytes", size, "As `message_max_bytes` of a `filestream`.", "max_line_bytes"),
    honoured("tail_files", boolean, "As `seek_to_tail` of a `filestream`."),
    honoured("scan_frequency", duration, "As `scan_interval`.", "scan_interval"),
    honoured("exclude_files", texts, "As `prospector.scanner.exclude_files` of a `filestream`."),
    honoured(
        "symlinks", boolean, "As `symlinks`; `false`, as in Filebeat, if it is not set.", "symlinks"
    ),
    fixed("recursive_glob.enabled", boolean, (True,), "`**` is always understood."),
    fixed("allow_deprecated_use", boolean, (True, False), "The input `log` needs no leave here."),
    refused("json.*", DECODED),
    refused("multiline.*", ONE_LINE),
    refused("docker-json.*", "name a file that no container runtime wraps"),
    refused("input_type", "write `type`"),
    ignored("harvester_buffer_size", "blocks are as large as reads are fast"),
    ignored("backoff", _OWN_PACE),
    ignored("backoff_factor", _OWN_PACE),
    ignored("max_backoff", _OWN_PACE),
    ignored("close_inactive", _UNTIL_DONE),
    ignored("close_renamed", _UNTIL_DONE),
    ignored("close_removed", _UNTIL_DONE),
    ignored("close_eof", _UNTIL_DONE),
    ignored("close_timeout", _UNTIL_DONE),
    ignored("scan.order", "all files are read at once"),
    ignored("scan.sort", "all files are read at once"),
)

#: What an input of type `log` calls the options of a `filestream`.
_NAMES_OF_LOG = {
    "max_bytes": "message_max_bytes",
    "tail_files": "seek_to_tail",
    "scan_frequency": "prospector.scanner.check_interval",
    "exclude_files": "prospector.scanner.exclude_files",
    "symlinks": "prospector.scanner.symlinks",
    "recursive_glob.enabled": "prospector.scanner.recursive_glob",
    "harvester_buffer_size": "buffer_size",
    "max_backoff": "backoff.max",
    "close_inactive": "close.on_state_change.inactive",
    "close_removed": "close.on_state_change.removed",
    "close_renamed": "close.on_state_change.renamed",
    "close_eof": "close.reader.on_eof",
    "close_timeout": "close.reader.after_interval",
    "json": "parsers: [ndjson: …]",
    "multiline": "parsers: [multiline: …]",
    "docker-json": "parsers: [container: …]",
}

#: Options of each type that the other one has nothing for, or which are found by their beginnings.
_ONLY_IN_LOG = ("backoff_factor", "scan.order", "scan.sort", "allow_deprecated_use")
_ONLY_IN_FILESTREAM = (
    "prospector.scanner.include_files",
    "prospector.scanner.resend_on_touch",
    "prospector.scanner.fingerprint",
    "parsers",
    "compression",
    "delete",
    "ignore_inactive",
    "read_until_eof",
    "legacy_clean_inactive",
    "include_file_owner_name",
    "include_file_owner_group_name",
    "rotation",
    "take_over",
)

FILESTREAM = Section(
    "filebeat.inputs[]",
    "Inputs",
    (*_COMMON, *_FILESTREAM),
    "Of type `filestream`. An input of type `container` is refused, because it never means a plain "
    "file: it takes off what a container runtime puts around each line of standard output. "
    "Tetragon's own file has its events without that.",
    kind="filestream",
    elsewhere={**_NAMES_OF_LOG, **dict.fromkeys(_ONLY_IN_LOG, "")},
)
LOG = Section(
    "filebeat.inputs[]",
    "Inputs of type `log`",
    (*_COMMON, *_LOG),
    kind="log",
    elsewhere={
        **{
            ours: theirs
            for theirs, ours in _NAMES_OF_LOG.items()
            if not ours.startswith(("parsers", "backoff"))
        },
        **dict.fromkeys(_ONLY_IN_FILESTREAM, ""),
    },
)

CONTAINER = (
    "read Tetragon's own file instead: type filestream, paths: [/var/run/cilium/tetragon/*.log]"
)

"""Documents of losses: a gap in the logs, as an event that can be searched and alerted on.

    event.action: log-lines-lost   event.kind: event   event.type: [error]
    error.message: how much of which file was lost, and why
    message: JSON of the same, with `time`, `node_name` and the key `shipper_loss`

`message` looks like a line of Tetragon's with a type that Tetragon has not, so that the ingest
pipeline of Elastic's integration takes it as it takes lines: the numbers are then in
`cilium_tetragon.log.shipper_loss`. With `format: ecs` they are put there here. No processor and no
filter is applied.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import orjson
import xxhash

from shipper.config.index_name import IndexName
from shipper.config.inputs import Format, InputConfig
from shipper.config.merging import merged
from shipper.config.model import Config
from shipper.config.outputs import Ids
from shipper.documents.constants import document_constants, index_name, processing_of
from shipper.documents.processors.metadata import Machine
from shipper.files.losses import Loss, LossReason
from shipper.foreign import path_text

#: `event.action` of every loss.
ACTION = "log-lines-lost"

#: Why, in words, after "were lost: ".
_WHY: Mapping[LossReason, str] = {
    LossReason.RETENTION: "files that were removed before they were shipped took more than "
    "retention.max_bytes, and the oldest were given up",
    LossReason.REWRITTEN: "the file was truncated or overwritten before it was read to its end",
    LossReason.VANISHED: "the file was removed before it was read to its end, and nothing kept it",
    LossReason.DAMAGED: "the gzip is damaged, and what follows cannot be unpacked",
    LossReason.TOO_LARGE: "the gzip holds more than shipper unpacks of one file",
    LossReason.DEAD_LETTER_FULL: "they were rejected, and dead letters took more than "
    "dead_letter.max_bytes, so that the oldest were deleted",
}


class LossDocuments:
    """Makes the documents of one daemon's losses."""

    def __init__(
        self, config: Config, *, agent_id: str, ephemeral_id: str, machine: Machine, now: float
    ) -> None:
        """`now`: Unix seconds. Raises ConfigError if `output.index` gives no name."""
        self._node_name = config.name
        self._agent_id = agent_id
        self._with_ids = config.output.ids is not Ids.AUTO
        self._inputs = {
            settings.id: _Input.of(config, settings, agent_id, ephemeral_id, machine, now)
            for settings in config.inputs
        }

    def lines(self, losses: Sequence[Loss]) -> list[bytes]:
        """The lines of a bulk body: for each loss its action and its document."""
        lines: list[bytes] = []
        for loss in losses:
            # Of an input that is no longer configured, or of several: as the first one's.
            source = self._inputs.get(loss.input_id) or next(iter(self._inputs.values()))
            time = _rfc3339(loss.time)
            lines += (self._action(source, loss, time), self._document(source, loss, time))
        return lines

    def _action(self, source: "_Input", loss: Loss, time: str) -> bytes:
        action: dict[str, str] = {}
        if source.index is not None:
            action["_index"] = source.index.at(time[: source.index.span])
        if self._with_ids:
            action["_id"] = document_id(loss, self._agent_id)
        return orjson.dumps({"create": action}) + b"\n"

    def _document(self, source: "_Input", loss: Loss, time: str) -> bytes:
        path = path_text(loss.path)
        facts = {
            "input": loss.input_id,
            "path": path,
            "fingerprint": loss.identity,
            "from": loss.start,
            "to": loss.end,
            "bytes": loss.bytes,
            "lines": loss.lines,
            "reason": loss.reason.value,
            "losses": loss.merged,
        }
        line = {"shipper_loss": facts, "node_name": self._node_name, "time": time}
        message = orjson.dumps(line).decode()
        fields: dict[str, object] = {
            "@timestamp": time,
            "event": {"action": ACTION, "kind": "event", "type": ["error"]},
            "error": {"message": in_words(loss)},
            "log": {"offset": loss.start, "file": {"path": path, "fingerprint": loss.identity}},
        }
        if source.format is Format.ECS:
            fields = merged(fields, {"event": {"original": message}})
            fields["cilium_tetragon"] = {"log": line}
        else:
            fields["message"] = message
        return orjson.dumps(merged(source.constants, fields)) + b"\n"


class _Input:
    """What the documents of an input's losses have in common."""

    __slots__ = ("constants", "format", "index")

    def __init__(
        self, constants: Mapping[str, object], index: IndexName | None, form: Format
    ) -> None:
        self.constants = constants
        self.index = index
        self.format = form

    @classmethod
    def of(
        cls,
        config: Config,
        settings: InputConfig,
        agent_id: str,
        ephemeral_id: str,
        machine: Machine,
        now: float,
    ) -> "_Input":
        constants = document_constants(
            config, settings, agent_id=agent_id, ephemeral_id=ephemeral_id
        )
        # The index may be named by a field that a processor adds; nothing else of them is used.
        processing = processing_of(config, settings, constants, machine, now)
        named_by = processing.constants if processing else constants
        return cls(constants, index_name(config, settings, named_by), settings.format)


def document_id(loss: Loss, agent_id: str) -> str:
    """The `_id` of a loss's document: the same whenever it is sent."""
    parts: tuple[str, ...] = (
        agent_id,
        loss.input_id,
        loss.identity,
        str(loss.start),
        str(loss.end),
        str(loss.bytes),
        loss.reason.value,
        repr(loss.time),
    )
    if loss.reason is LossReason.DEAD_LETTER_FULL:
        # Those of many logs are recorded at once, and a dead letter may not know the identity.
        parts = (*parts, loss.path)
    return f"loss-{xxhash.xxh3_128_hexdigest(chr(0).join(parts).encode())}"


def in_words(loss: Loss) -> str:
    """How much of what was lost, and why: a sentence for people."""
    size = f"{loss.bytes} bytes"
    much = size if loss.lines is None else f"{loss.lines} lines ({size})"
    what = path_text(loss.path) or f"{loss.merged} ranges of logs"
    return f"{much} of {what} were lost: {_WHY[loss.reason]}"


def _rfc3339(time: float) -> str:
    """Unix seconds in UTC. A time that no calendar has counts as the first one."""
    try:
        moment = datetime.fromtimestamp(time, UTC)
    except (OverflowError, ValueError, OSError):
        moment = datetime.fromtimestamp(0, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

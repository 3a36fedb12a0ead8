"""Constant fields of the documents of an input: those of Filebeat's filestream, and the data stream
fields that the Elastic integration expects. Also the index name, which may depend on them."""

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING

from shipper import __version__
from shipper.config.index_name import IndexName, IndexPattern
from shipper.config.inputs import Format, InputConfig
from shipper.config.merging import merged
from shipper.config.model import Config
from shipper.documents.processors.machine import Machine
from shipper.errors import ConfigError, Problem

if TYPE_CHECKING:
    from shipper.documents.processors.processing import Processing

#: The version of the Elastic Common Schema of the documents; the same as in the integration's
#: pipeline.
ECS_VERSION = "8.11.0"

#: The dataset of documents in a plain index, whose name has none.
DATASET = "cilium_tetragon.log"


def document_constants(
    config: Config, settings: InputConfig, *, agent_id: str, ephemeral_id: str
) -> dict[str, object]:
    """The constant fields. `agent_id` belongs to a data directory, `ephemeral_id` to a process."""
    data_stream = _data_stream(config.output.data_stream) if config.output.is_data_stream else {}
    dataset = data_stream.get("dataset", DATASET)
    constants: dict[str, object] = {
        "input": {"type": settings.type.value},
        "agent": {
            "id": agent_id,
            "ephemeral_id": ephemeral_id,
            "name": config.name,
            "type": "shipper",
            "version": __version__,
        },
        "ecs": {"version": ECS_VERSION},
        "host": {"name": config.name},
        "event": {"dataset": dataset, "module": dataset.partition(".")[0]},
    }
    if data_stream:
        constants["data_stream"] = data_stream
    if settings.tags:
        constants["tags"] = settings.tags
    if settings.fields_under_root:
        return merged(constants, settings.fields)
    if settings.fields:
        constants["fields"] = settings.fields
    return constants


def processing_of(
    config: Config,
    settings: InputConfig,
    constants: Mapping[str, object],
    machine: Machine,
    now: float,
) -> "Processing | None":
    """The processing of an input: its own processors, then the global ones; None without
    processors. `constants`: the result of `document_constants`; `now`: Unix seconds."""
    configs = (*settings.processors, *config.processors)
    if not configs:
        return None
    # Most inputs have none, and need nothing of what they import.
    from shipper.documents.processors.plan import RAW_VARYING
    from shipper.documents.processors.processing import Processing

    # With `format: ecs` any field may depend on the line.
    varying = RAW_VARYING if settings.format is Format.RAW else None
    return Processing(configs, constants, machine, now, varying=varying)


def index_name(
    config: Config, settings: InputConfig, constants: Mapping[str, object]
) -> IndexName | None:
    """The index name in the actions of an input; None if the path of the requests has it.

    `constants`: the result of `document_constants`, or of its processing.

    Raises:
        ConfigError: a field of `output.index` is missing, or the result is not a valid name.
    """
    if config.output.target:
        return None
    try:
        return IndexPattern.parse(config.output.index).fill(constants)
    except ValueError as error:
        name = config.option_names("output.index")
        what = f"no index name for the input `{settings.id}`: {error}"
        advice = "give each input the fields that the name has, or defaults in the name"
        if settings.fields_under_root and "`fields." in str(error):
            under_root = config.option_names("inputs[].fields_under_root")
            advice = f"{advice}; with {under_root}: true there is no `fields` in the documents"
        location = config.index_location
        if location.name:
            raise ConfigError.of([Problem(f"{name}: {what}", location, advice)]) from None
        raise ConfigError(what, where=name, what_to_do=advice) from None


def index_names(config: Config) -> tuple[IndexName, ...]:
    """As `index_name`, for all inputs, to check the configuration: with placeholders for `agent.id`
    and for metadata of the machine.

    Raises ConfigError.
    """
    stand_in = str(uuid.UUID(int=0))
    machine = Machine({}, lambda _: {"name": config.name})
    found = []
    problems: list[Problem] = []
    for settings in config.inputs:
        constants: Mapping[str, object] = document_constants(
            config, settings, agent_id=stand_in, ephemeral_id=stand_in
        )
        if processing := processing_of(config, settings, constants, machine, 0.0):
            constants = processing.constants
        try:
            found.append(index_name(config, settings, constants))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError.of(problems)
    return tuple(name for name in found if name is not None)


def _data_stream(name: str) -> dict[str, str]:
    kind, dataset, namespace = name.split("-", 2)
    return {"type": kind, "dataset": dataset, "namespace": namespace}

"""What every document of an input carries, whatever its line: the fields of Filebeat's filestream,
and those of the data stream that the Elastic integration expects."""

from shipper import __version__
from shipper.config.inputs import InputConfig
from shipper.config.model import Config

#: The version of the Elastic Common Schema that the documents follow; the integration's pipeline
#: sets the same.
ECS_VERSION = "8.11.0"


def document_constants(
    config: Config, settings: InputConfig, *, agent_id: str, ephemeral_id: str
) -> dict[str, object]:
    """The constant fields. `agent_id` stays for a data directory, `ephemeral_id` for a process."""
    kind, dataset, namespace = config.output.data_stream.split("-", 2)
    constants: dict[str, object] = {
        "input": {"type": "filestream"},
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
        "data_stream": {"type": kind, "dataset": dataset, "namespace": namespace},
    }
    if settings.fields:
        constants["fields"] = settings.fields
    if settings.tags:
        constants["tags"] = settings.tags
    return constants

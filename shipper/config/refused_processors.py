"""Filebeat's processors that are not here, each with what to do instead."""

from collections.abc import Mapping
from types import MappingProxyType

from shipper.option_names import option

_IN_A_PIPELINE = f"do it in an ingest pipeline, and set {option('output.pipeline')} to it"
_NO_TEXT = "Tetragon's events are JSON: use decode_json_fields"
_NO_LOOK_UP = "shipper asks no other service; enrich in an ingest pipeline"
_ELSEWHERE = "it has no meaning for Tetragon's logs: leave it out"

#: By name: what is said to those who use it.
REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "add_cloud_metadata": "shipper asks no metadata service; give what you need with "
        "add_fields, with variables as values",
        "add_cloudfoundry_metadata": _NO_LOOK_UP,
        "add_docker_metadata": "shipper asks no Docker; Tetragon's events carry the container",
        "add_id": "ids are made of the file, the offset and the line, so that nothing is stored "
        "twice: leave it out",
        "add_locale": "give the zone with add_fields",
        "add_network_direction": _IN_A_PIPELINE,
        "add_nomad_metadata": _NO_LOOK_UP,
        "add_observer_metadata": "give what you need with add_fields and `target: observer`",
        "add_process_metadata": "Tetragon's events carry the process",
        "add_session_metadata": _ELSEWHERE,
        "append": "add_tags adds to a list",
        "cache": _NO_LOOK_UP,
        "community_id": _IN_A_PIPELINE,
        "convert": _IN_A_PIPELINE,
        "decode_base64_field": _IN_A_PIPELINE,
        "decode_cef": _NO_TEXT,
        "decode_csv_fields": _NO_TEXT,
        "decode_duration": _IN_A_PIPELINE,
        "decode_xml": _NO_TEXT,
        "decode_xml_wineventlog": _NO_TEXT,
        "decompress_gzip_field": _IN_A_PIPELINE,
        "detect_mime_type": _IN_A_PIPELINE,
        "dissect": _NO_TEXT,
        "dns": _NO_LOOK_UP,
        "extract_array": _IN_A_PIPELINE,
        "fingerprint": "ids are made of the file, the offset and the line, so that nothing is "
        "stored twice: leave it out, or use the fingerprint processor of an ingest pipeline",
        "lowercase": _IN_A_PIPELINE,
        "move_fields": "use rename",
        "now": _IN_A_PIPELINE,
        "parse_aws_vpc_flow_log": _ELSEWHERE,
        "rate_limit": "it loses events: use `export-rate-limit` of Tetragon, or "
        f"{option('inputs[].events')}",
        "registered_domain": _IN_A_PIPELINE,
        "replace": _IN_A_PIPELINE,
        "script": _IN_A_PIPELINE,
        "syslog": _NO_TEXT,
        "translate_ldap_attribute": _NO_LOOK_UP,
        "translate_sid": _ELSEWHERE,
        "uppercase": _IN_A_PIPELINE,
        "urldecode": _IN_A_PIPELINE,
    }
)

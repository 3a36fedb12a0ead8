"""What Filebeat calls the options of our own dialect, for messages that name one."""

from collections.abc import Iterable, Mapping

from shipper.config.filebeat.options import Section
from shipper.option_names import OptionNames

#: Options without an equivalent are below this key, at the top of the file or in an input.
OWN = "shipper"

#: Where it takes more than the target of one option. What is missing has no equivalent;
#: `registry.import_from` has one (`filebeat.registry.path`) that cannot say `none`.
_OTHERS: Mapping[str, str] = {
    "inputs": "filebeat.inputs",
    "inputs[].type": "filebeat.inputs[].type",
    "inputs[].exclude": "filebeat.inputs[].prospector.scanner.exclude_files",
    "inputs[].start_at": "filebeat.inputs[].seek_to_tail",
    "inputs[].compressed": "filebeat.inputs[].compression",
    "inputs[].tags": "filebeat.inputs[].tags",
    "inputs[].fields": "filebeat.inputs[].fields",
    "inputs[].fields_under_root": "filebeat.inputs[].fields_under_root",
    "inputs[].processors": "filebeat.inputs[].processors",
    "processors": "processors",
    "data_dir": "path.data",
    "output.hosts": "output.elasticsearch.hosts",
    "output.cloud_id": "cloud.id",
    "output.data_stream": "output.elasticsearch.index",
    "output.index": "output.elasticsearch.index",
    "output.pipeline": "output.elasticsearch.pipeline",
    "output.tls.ca": "output.elasticsearch.ssl.certificate_authorities",
    "output.tls.verify": "output.elasticsearch.ssl.verification_mode",
    "output.proxy.url": "output.elasticsearch.proxy_url",
    "output.proxy.username": "output.elasticsearch.proxy_url",
    "output.proxy.password": "output.elasticsearch.proxy_url",
    "output.proxy.from_environment": "output.elasticsearch.proxy_disable",
    "output.compression": "output.elasticsearch.compression_level",
    "output.preset": "output.elasticsearch.preset",
    "output.bulk.max_events": "output.elasticsearch.bulk_max_size",
    "output.bulk.linger": "queue.mem.flush.timeout",
    "output.backoff.initial": "output.elasticsearch.backoff.init",
    "output.backoff.max": "output.elasticsearch.backoff.max",
    "output.file": "output.file",
    "output.file.path": "output.file.path",
    "output.file.max_bytes": "output.file.rotate_every_kb",
    "output.file.keep": "output.file.number_of_files",
    "output.console": "output.console",
    "retention.max_bytes": "queue.disk.max_size",
    "registry.commit_interval": "filebeat.registry.flush",
    "registry.import_fingerprint_offset": (
        "filebeat.inputs[].prospector.scanner.fingerprint.offset"
    ),
    "registry.import_fingerprint_length": (
        "filebeat.inputs[].prospector.scanner.fingerprint.length"
    ),
    "admin.enabled": "http.enabled",
    "admin.listen": "http.host",
    "logging.level": "logging.level",
    "logging.format": "logging.json",
    "logging.metrics_interval": "logging.metrics.period",
}


def filebeat_names(sections: Iterable[Section]) -> OptionNames:
    """The names in Filebeat's dialect, by the tables of its options; the first of several wins."""
    names = dict(_OTHERS)
    for section in sections:
        base = "inputs[]." if section.prefix == "filebeat.inputs[]" else ""
        for option in section.options:
            if option.target:
                names.setdefault(f"{base}{option.target}", section.full_name(option))
    return OptionNames(names, OWN)

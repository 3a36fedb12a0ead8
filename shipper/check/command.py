"""`shipper check`: would it work? Looks at the files and asks each host, and says in words what is
wrong and what to do. It writes no document and changes nothing.

What a host does not let us see (an API key that may only write cannot look at templates) is said to
be unknown, which is no failure.
"""

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec import UNSET

from shipper.check.directories import why_not_writable
from shipper.check.files import check_files
from shipper.check.findings import Finding, Status
from shipper.check.host import HostCheck
from shipper.check.logrotate import PATHS
from shipper.check.remembered import check_remembered
from shipper.clock import Clock
from shipper.config.model import Config
from shipper.config.outputs import OutputKind
from shipper.config.tls import TlsVerify
from shipper.documents.constants import index_names
from shipper.output.elasticsearch.transport import HttpTransport

#: For all questions to one host together, in seconds.
_PATIENCE = 30.0


async def check(
    config: Config, clock: Clock, *, logrotate: Sequence[Path] = PATHS
) -> list[Finding]:
    """Everything that can be looked at without shipping. `logrotate`: the files and directories of
    its configuration.

    Raises ConfigError if the TLS settings cannot be used, or `output.index` gives no name.
    """
    today = datetime.fromtimestamp(clock.now(), UTC).isoformat()
    indices = [config.output.target] if config.output.target else []
    # Each once, in the order of the inputs.
    indices += dict.fromkeys(name.at(today) for name in index_names(config))
    findings = check_files(config, logrotate)
    findings += check_remembered(config)
    findings.append(_check_data_dir(config))
    if config.output.kind is not OutputKind.ELASTICSEARCH:
        return [*findings, _check_local_output(config)]
    async with HttpTransport(config.output, clock, names=config.option_names) as transport:
        for host in config.output.hosts:
            if host.startswith("https:") and config.output.tls.verify is TlsVerify.NONE:
                verify = config.option_names("output.tls.verify")
                detail = f"the certificate is not verified ({verify}: none)"
                advice = f"set {verify} to full"
                findings.append(Finding(host, "certificate", Status.WARNING, detail, advice))
            host_check = HostCheck(config, transport, host, indices)
            try:
                async with asyncio.timeout(_PATIENCE):
                    await host_check.run()
            except TimeoutError:
                host_check.failed(
                    "reachable", f"no answers within {_PATIENCE:g} s", "check the load of the host"
                )
            findings += host_check.findings
    return findings


def _check_data_dir(config: Config) -> Finding:
    path = Path(config.data_dir)
    name = config.option_names("data_dir")
    subject = f"{name} {path}"
    problem = why_not_writable(path)
    if problem is None:
        return Finding(subject, "writable", Status.OK)
    advice = f"{problem.advice}, or set {name} to another directory"
    return Finding(subject, "writable", Status.FAILED, problem.detail, advice)


def _check_local_output(config: Config) -> Finding:
    """What can be said of a file, or standard output, without writing to it."""
    output = config.output
    if output.file is UNSET:
        return Finding("standard output", "writable", Status.OK)
    path = Path(output.file.path)
    subject = f"output {path}"
    problem = why_not_writable(path.parent, may_be_made=False)
    if problem is not None:
        return Finding(subject, "writable", Status.FAILED, problem.detail, problem.advice)
    if path.exists() and not (path.is_file() and os.access(path, os.R_OK | os.W_OK)):
        detail = "it is not a file that this user may read and write"
        advice = f"set {config.option_names('output.file.path')} to another path"
        return Finding(subject, "writable", Status.FAILED, detail, advice)
    return Finding(subject, "writable", Status.OK)

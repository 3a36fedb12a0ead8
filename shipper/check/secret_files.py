"""What `shipper check` says of the files with the output's secrets and certificates: one that
cannot be read is no fault of a host."""

from collections.abc import Iterator
from functools import partial

from shipper.check.bounded import bounded
from shipper.check.findings import Finding, Status
from shipper.config.model import Config
from shipper.config.tls import is_pem
from shipper.config.units import Secret
from shipper.errors import OutputError
from shipper.output.elasticsearch.secrets import StoredSecret

#: For one file to be read, in seconds.
_PATIENCE = 5.0


def check_secrets(config: Config, seconds: float = _PATIENCE) -> list[Finding]:
    """A failure for each that cannot be used; nothing is said of the others, and no secret."""
    findings: list[Finding] = []
    for name, path in _secrets(config):
        subject = f"{config.option_names(name)} {path}"
        secret = StoredSecret(Secret(), path, name)
        findings += bounded(subject, "secret", partial(_read, subject, secret), seconds)
    for name, path in _certificates(config):
        subject = f"{config.option_names(name)} {path}"
        findings += bounded(subject, "certificate", partial(_touch, path), seconds)
    return findings


def _secrets(config: Config) -> Iterator[tuple[str, str]]:
    """The option of each file that has a secret, and its path."""
    output = config.output
    for name, path in (
        ("output.password_file", output.password_file),
        ("output.api_key_file", output.api_key_file),
        ("output.bearer_token_file", output.bearer_token_file),
        ("output.proxy.password_file", output.proxy.password_file),
        ("output.tls.key_passphrase_file", output.tls.key_passphrase_file),
    ):
        if path:
            yield name, path


def _certificates(config: Config) -> Iterator[tuple[str, str]]:
    tls = config.output.tls
    given = [("output.tls.ca", each) for each in tls.authorities]
    given += [("output.tls.certificate", tls.certificate), ("output.tls.key", tls.key.reveal())]
    yield from ((name, path) for name, path in given if path and not is_pem(path))


def _read(subject: str, secret: StoredSecret) -> list[Finding]:
    try:
        secret.reveal()
    except OutputError as error:
        return [Finding(subject, "secret", Status.FAILED, error.what, error.what_to_do)]
    return []


def _touch(path: str) -> list[Finding]:
    """Only whether it answers: what is wrong with it is said where it is loaded."""
    try:
        with open(path, "rb") as file:
            file.read(1)
    except OSError:
        return []
    return []

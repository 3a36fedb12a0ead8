"""TLS settings, from files that may change while shipper runs.

A changed file is used from the next connection on. If it cannot be used (half written, or the key
does not fit the certificate yet), the previous settings stay in use.
"""

import os
import ssl

from shipper.config.tls import TlsConfig, TlsVerify, is_pem
from shipper.errors import ConfigError, OutputError, reason_of
from shipper.option_names import OWN_NAMES, OptionNames, option
from shipper.output.elasticsearch.secrets import FileVersion, StoredSecret


class Tls:
    """The TLS settings of an output."""

    def __init__(self, config: TlsConfig, names: OptionNames = OWN_NAMES) -> None:
        """`names`: option names in errors.

        Raises:
            ConfigError: a file is missing, or the files do not fit together.
        """
        self._config = config
        self._names = names
        self._paths = self.files_of(config)
        self._loaded_versions = self._versions()
        #: The settings of new connections.
        self.context = self._make()

    @staticmethod
    def files_of(config: TlsConfig) -> tuple[str, ...]:
        """The files of settings; those that are written in the configuration have none."""
        given = (
            *config.authorities,
            config.certificate,
            config.key.reveal(),
            config.key_passphrase_file,
        )
        return tuple(path for path in given if path and not is_pem(path))

    @property
    def files(self) -> tuple[str, ...]:
        """The files that it reads."""
        return self._paths

    def refresh(self) -> tuple[str, ...]:
        """Reads changed files; returns them if there are new settings.

        Raises:
            ConfigError: the files cannot be used. `context` is unchanged, and they are not read
                again before one of them changes.
        """
        versions = self._versions()
        if versions == self._loaded_versions:
            return ()
        before, self._loaded_versions = self._loaded_versions, versions
        self.context = self._make()
        return tuple(
            path for path, old, new in zip(self._paths, before, versions, strict=True) if old != new
        )

    def _make(self) -> ssl.SSLContext:
        try:
            return tls_context(self._config)
        except ConfigError as error:
            raise error.in_words_of(self._names) from error.__cause__

    def _versions(self) -> list[FileVersion | None]:
        return [_version(path) for path in self._paths]


def tls_context(config: TlsConfig) -> ssl.SSLContext:
    """The TLS settings of all connections.

    Raises:
        ConfigError: a certificate or key cannot be read, is not valid, or does not fit.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # An intermediate CA in `ca` is trusted without its root.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    _load_ca(context, config)
    if config.certificate:
        _load_certificate(context, config)
    if config.verify is not TlsVerify.FULL:
        context.check_hostname = False
    if config.verify is TlsVerify.NONE:
        context.verify_mode = ssl.CERT_NONE
    return context


def _load_ca(context: ssl.SSLContext, config: TlsConfig) -> None:
    for authority in config.authorities:
        _load_authority(context, authority)
    if not config.authorities and not config.ca_trusted_fingerprint:
        _load_authority(context, "")


def _load_authority(context: ssl.SSLContext, authority: str) -> None:
    """Has the CAs of a file, or of PEM text, be trusted; of neither: those of the system."""
    inline = is_pem(authority)
    try:
        if not authority:
            context.load_default_certs()
        elif inline:
            context.load_verify_locations(cadata=authority)
        else:
            context.load_verify_locations(cafile=authority)
    except (OSError, TypeError, ValueError) as error:
        # ssl.SSLError is an OSError; the others are raised for text that is not ASCII.
        why = "it is not PEM"
        if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
            why = reason_of(error)
        raise ConfigError(
            f"the CA cannot be used: {why}",
            where=option("output.tls.ca") if inline or not authority else authority,
            what_to_do="use a file of PEM certificates that this user may read",
        ) from error


def _load_certificate(context: ssl.SSLContext, config: TlsConfig) -> None:
    certificate, key = config.certificate, config.key.reveal()
    for given, name in ((certificate, "certificate"), (key, "key")):
        if not is_pem(given):
            _check_readable(given, name)
    passphrase = StoredSecret(
        config.key_passphrase, config.key_passphrase_file, option("output.tls.key_passphrase")
    )
    passphrase_requested = False

    def give() -> str:
        # Called only if the key is encrypted. Without it OpenSSL would prompt on the terminal.
        nonlocal passphrase_requested
        passphrase_requested = True
        return passphrase.reveal() if passphrase else ""

    with _PemFile(certificate) as certificate_path, _PemFile(key) as key_path:
        try:
            context.load_cert_chain(certificate_path, key_path, give)
        except OutputError as error:
            raise ConfigError.of(error.problems) from error
        except (OSError, ValueError) as error:
            raise _unusable(
                config,
                error,
                passphrase_requested=passphrase_requested,
                has_passphrase=bool(passphrase),
            ) from error


def _check_readable(path: str, name: str) -> None:
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise ConfigError(
            f"the {name} cannot be read: {reason_of(error)}",
            where=path,
            what_to_do=f"set {option(f'output.tls.{name}')} to a PEM file that this user may read",
        ) from error


def _unusable(
    config: TlsConfig, error: Exception, *, passphrase_requested: bool, has_passphrase: bool
) -> ConfigError:
    """The error for a certificate and key that OpenSSL rejects; its own messages say little."""
    key = config.key.reveal()
    key_at = option("output.tls.key") if is_pem(key) else key
    is_text = is_pem(config.certificate)
    certificate_at = option("output.tls.certificate") if is_text else config.certificate
    reason = getattr(error, "reason", None) or ""
    if reason == "KEY_VALUES_MISMATCH" or reason == "KEY_TYPE_MISMATCH":
        return ConfigError(
            "the key does not belong to the certificate",
            where=key_at,
            what_to_do=f"use the key that belongs to {certificate_at}",
        )
    if passphrase_requested:
        return ConfigError(
            "the passphrase does not open the key" if has_passphrase else "the key is encrypted",
            where=key_at,
            what_to_do="set "
            f"{option('output.tls.key_passphrase', 'output.tls.key_passphrase_file')} to its "
            "passphrase",
        )
    return ConfigError(
        f"the certificate and its key cannot be used: {reason or 'it is not PEM'}",
        where=f"{certificate_at}, {key_at}",
        what_to_do="use PEM: the certificate first, then the CAs between it and the server's; and "
        "the key",
    )


class _PemFile:
    """PEM text as a file, as OpenSSL reads keys from files only; a path is used as it is.

    The file is in memory (memfd): the key is never written to a disk.
    """

    def __init__(self, given: str) -> None:
        self._given = given
        self._descriptor = -1

    def __enter__(self) -> str:
        if not is_pem(self._given):
            return self._given
        self._descriptor = os.memfd_create("pem")
        with os.fdopen(os.dup(self._descriptor), "wb") as file:
            file.write(self._given.encode())
        return f"/proc/self/fd/{self._descriptor}"

    def __exit__(self, *args: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)


def _version(path: str) -> FileVersion | None:
    try:
        return FileVersion.of(path)
    except OSError:
        return None

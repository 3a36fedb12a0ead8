"""The Authorization header, from secrets that may change.

A secret in a file is read again when the file changes (Kubernetes rotates mounted secrets), and
when a request was rejected as unauthorised.
"""

import base64

from shipper.config.outputs import OutputConfig
from shipper.option_names import option
from shipper.output.elasticsearch.secrets import StoredSecret


class Credentials:
    """The credentials of an output: of one kind; the configuration makes sure of that."""

    def __init__(self, config: OutputConfig) -> None:
        self._username = config.username
        self._password = StoredSecret(
            config.password, config.password_file, option("output.password")
        )
        self._api_key = StoredSecret(config.api_key, config.api_key_file, option("output.api_key"))
        self._token = StoredSecret(
            config.bearer_token, config.bearer_token_file, option("output.bearer_token")
        )

    @property
    def files(self) -> tuple[str, ...]:
        """The files that `header` reads."""
        secrets = (self._password, self._api_key, self._token)
        return tuple(secret.file for secret in secrets if secret.file)

    def header(self) -> str:
        """The value of the Authorization header; empty if there are no credentials.

        Raises:
            OutputError: the file of the secret cannot be read, or has no valid secret.
        """
        if self._api_key:
            api_key = self._api_key.token("API key")
            # Elasticsearch shows an API key as `id:key` or already encoded; the header has the
            # encoded one, which has no colon.
            encoded = base64.b64encode(api_key.encode()).decode() if ":" in api_key else api_key
            return f"ApiKey {encoded}"
        if self._token:
            return f"Bearer {self._token.token('bearer token')}"
        if self._username:
            return basic(self._username, self._password.reveal())
        return ""

    def forget(self) -> None:
        """Makes the next `header` read the secret again."""
        for secret in (self._password, self._api_key, self._token):
            secret.forget()


def basic(username: str, password: str) -> str:
    """The value of a header for basic authentication (RFC 7617)."""
    return f"Basic {base64.b64encode(f'{username}:{password}'.encode()).decode()}"

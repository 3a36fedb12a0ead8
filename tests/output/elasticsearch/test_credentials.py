"""The Authorization header in all its forms, and secrets that change while the daemon runs."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from shipper.config.outputs import OutputConfig
from shipper.config.units import HostList, Secret
from shipper.errors import OutputError
from shipper.output.elasticsearch.credentials import Credentials

HOSTS = HostList(["http://es-1:9200"])


def decoded(header: str, scheme: str) -> str:
    """Return what a header of that scheme holds."""
    name, _, encoded = header.partition(" ")
    assert name == scheme
    return base64.b64decode(encoded, validate=True).decode()


def api_key(key: str) -> str:
    return Credentials(OutputConfig(HOSTS, api_key=Secret(key))).header()


def test_without_credentials_there_is_no_header() -> None:
    assert Credentials(OutputConfig(HOSTS)).header() == ""


@pytest.mark.parametrize("password", ["secret", "a:b,c$d", "päss wörd", " leading", "line\nbreak"])
def test_a_user_with_a_password_is_basic_authentication(password: str) -> None:
    config = OutputConfig(HOSTS, username="shipper", password=Secret(password))
    assert decoded(Credentials(config).header(), "Basic") == f"shipper:{password}"


def test_an_api_key_of_id_and_key_is_encoded_and_an_encoded_one_is_sent_as_it_is() -> None:
    assert decoded(api_key("id-1:key-1"), "ApiKey") == "id-1:key-1"
    assert api_key("aWQtMTprZXktMQ==") == "ApiKey aWQtMTprZXktMQ=="


@pytest.mark.parametrize("key", ["id-1:key-1\n", " id-1:key-1", "\tid-1:key-1\r\n"])
def test_white_space_around_an_api_key_is_not_part_of_it(key: str, tmp_path: Path) -> None:
    assert decoded(api_key(key), "ApiKey") == "id-1:key-1"
    path = tmp_path / "key"
    path.write_text(key)
    config = OutputConfig(HOSTS, api_key_file=str(path))
    assert decoded(Credentials(config).header(), "ApiKey") == "id-1:key-1"


@pytest.mark.parametrize("key", ["first\nsecond", "a\rb", "a\0b"])
def test_an_api_key_with_a_control_character_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(OutputError, match="line break or another control character") as raised:
        api_key(key)
    assert raised.value.where == "output.api_key"
    assert key not in str(raised.value)


class TestFiles:
    @pytest.fixture(params=["password_file", "api_key_file"])
    def make(self, request: pytest.FixtureRequest, path: Path) -> Callable[[], Credentials]:
        """Credentials whose secret is in `path`, of either kind."""
        if request.param == "password_file":
            return lambda: Credentials(
                OutputConfig(HOSTS, username="shipper", password_file=str(path))
            )
        return lambda: Credentials(OutputConfig(HOSTS, api_key_file=str(path)))

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "secret"

    def secret(self, credentials: Credentials) -> str:
        """Return the secret in the header, whatever kind it is of."""
        return base64.b64decode(credentials.header().split()[1]).decode().partition(":")[2]

    def test_an_editors_last_newline_is_not_part_of_the_secret(
        self, make: Callable[[], Credentials], path: Path
    ) -> None:
        for text in ("id:a b", "id:a b\n", "id:a b\r\n"):
            path.write_text(text)
            assert self.secret(make()).endswith("a b")

    def test_a_changed_file_is_read_again(
        self, make: Callable[[], Credentials], path: Path
    ) -> None:
        path.write_text("id:old")
        credentials = make()
        assert self.secret(credentials).endswith("old")
        path.write_text("id:newer")
        assert self.secret(credentials).endswith("newer")

    def test_a_secret_that_kubernetes_rotates_through_links_is_read_again(
        self, make: Callable[[], Credentials], path: Path, tmp_path: Path
    ) -> None:
        for version in ("one", "two"):
            (tmp_path / version).mkdir()
            (tmp_path / version / "secret").write_text(f"id:{version}")
            os.utime(tmp_path / version / "secret", (7, 7))
        (tmp_path / "data").symlink_to("one")
        path.symlink_to("data/secret")
        credentials = make()
        assert self.secret(credentials).endswith("one")
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").replace(tmp_path / "data")
        assert self.secret(credentials).endswith("two")

    def test_an_unchanged_file_is_not_read_at_each_request(
        self, make: Callable[[], Credentials], path: Path
    ) -> None:
        path.write_text("id:old")
        credentials = make()
        first = credentials.header()
        found = path.stat()
        path.write_text("id:new")
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
        assert credentials.header() == first

    def test_a_refused_secret_is_read_again_also_when_its_file_looks_unchanged(
        self, make: Callable[[], Credentials], path: Path
    ) -> None:
        path.write_text("id:old")
        credentials = make()
        credentials.header()
        found = path.stat()
        path.write_text("id:new")
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
        credentials.forget()
        assert self.secret(credentials).endswith("new")

    @pytest.mark.parametrize("content", ["", "\n", "\r\n\n"])
    def test_an_empty_file_is_an_error_with_its_path(
        self, make: Callable[[], Credentials], path: Path, content: str
    ) -> None:
        path.write_text(content)
        with pytest.raises(OutputError, match="the file of the secret is empty") as raised:
            make().header()
        assert raised.value.where == str(path)

    def test_a_missing_file_is_an_error_and_heals(
        self, make: Callable[[], Credentials], path: Path
    ) -> None:
        credentials = make()
        with pytest.raises(OutputError, match=r"cannot be read: no such file") as raised:
            credentials.header()
        assert raised.value.where == str(path)
        path.write_text("id:there")
        assert self.secret(credentials).endswith("there")
        path.unlink()
        with pytest.raises(OutputError):
            credentials.header()

    def test_a_file_that_cannot_be_read_is_an_error(
        self, make: Callable[[], Credentials], path: Path
    ) -> None:
        path.mkdir()
        with pytest.raises(OutputError, match=r"cannot be read: is a directory"):
            make().header()

    def test_bytes_that_are_no_text_are_an_error_which_does_not_repeat_them(
        self, make: Callable[[], Credentials], path: Path
    ) -> None:
        path.write_bytes(b"id:geheim\xff")
        with pytest.raises(OutputError, match="cannot be read") as raised:
            make().header()
        assert "geheim" not in str(raised.value)


def test_a_secret_is_in_no_repr_of_its_owner() -> None:
    credentials = Credentials(OutputConfig(HOSTS, api_key=Secret("id:geheim")))
    credentials.header()
    assert "geheim" not in repr(credentials)


class TestBearerTokens:
    def test_one_is_sent_as_it_is(self, tmp_path: Path) -> None:
        assert Credentials(OutputConfig(HOSTS, bearer_token=Secret("a.b-c"))).header() == (
            "Bearer a.b-c"
        )
        path = tmp_path / "token"
        path.write_text("a.b-c\n")
        credentials = Credentials(OutputConfig(HOSTS, bearer_token_file=str(path)))
        assert credentials.header() == "Bearer a.b-c"
        path.write_text("another\n")
        assert credentials.header() == "Bearer another"

    def test_a_refused_one_is_read_again_also_when_its_file_looks_unchanged(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "token"
        path.write_text("old")
        credentials = Credentials(OutputConfig(HOSTS, bearer_token_file=str(path)))
        credentials.header()
        found = path.stat()
        path.write_text("new")
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
        assert credentials.header() == "Bearer old"
        credentials.forget()
        assert credentials.header() == "Bearer new"

    @pytest.mark.parametrize("token", ["geheim\nsecond", "geheim\0", " "])
    def test_what_is_no_token_is_refused_and_not_repeated(self, token: str) -> None:
        with pytest.raises(OutputError, match="the bearer token") as raised:
            Credentials(OutputConfig(HOSTS, bearer_token=Secret(token))).header()
        assert raised.value.where == "output.bearer_token"
        assert "geheim" not in str(raised.value)

"""The TLS settings: made of files or text, refused in words, and read again when files change."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

import pytest

from shipper.config.tls import TlsConfig
from shipper.config.units import Secret
from shipper.errors import ConfigError
from shipper.output.elasticsearch.chain import find, is_ca
from shipper.output.elasticsearch.tls import Tls, tls_context
from tests.support.certificates import Authority, Client

PASSPHRASE = "MARKER7 passphrase"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def config(client: Client, **settings: Any) -> TlsConfig:
    return TlsConfig(certificate=str(client.certificate), key=Secret(str(client.key)), **settings)


def refusal(settings: TlsConfig) -> ConfigError:
    with pytest.raises(ConfigError) as raised:
        tls_context(settings)
    assert PASSPHRASE not in str(raised.value)
    assert "PRIVATE KEY" not in str(raised.value)
    return raised.value


def trusted(context: ssl.SSLContext) -> int:
    return context.cert_store_stats()["x509_ca"]


class TestClientCertificates:
    def test_files_or_text_are_taken(self, authority: Authority, tmp_path: Path) -> None:
        client = authority.client(tmp_path)
        tls_context(config(client))
        certificate, key = client.certificate.read_text(), client.key.read_text()
        tls_context(TlsConfig(certificate=certificate, key=Secret(key)))
        tls_context(TlsConfig(certificate=str(client.certificate), key=Secret(key)))
        tls_context(TlsConfig(certificate=certificate, key=Secret(str(client.key))))

    def test_a_passphrase_opens_the_key(self, authority: Authority, tmp_path: Path) -> None:
        client = authority.client(tmp_path, passphrase=PASSPHRASE)
        tls_context(config(client, key_passphrase=Secret(PASSPHRASE)))
        file = tmp_path / "passphrase"
        file.write_text(PASSPHRASE + "\n")
        tls_context(config(client, key_passphrase_file=str(file)))
        key = Secret(client.key.read_text())
        inline = TlsConfig(
            certificate=str(client.certificate), key=key, key_passphrase=Secret(PASSPHRASE)
        )
        tls_context(inline)

    def test_a_wrong_passphrase(self, authority: Authority, tmp_path: Path) -> None:
        client = authority.client(tmp_path, passphrase="another one")
        error = refusal(config(client, key_passphrase=Secret(PASSPHRASE)))
        assert error.what == "the passphrase does not open the key"
        assert error.where == str(client.key)
        assert "output.tls.key_passphrase" in error.what_to_do

    def test_no_passphrase_is_not_asked_of_the_terminal(
        self, authority: Authority, tmp_path: Path
    ) -> None:
        client = authority.client(tmp_path, passphrase=PASSPHRASE)
        error = refusal(config(client))
        assert (error.what, error.where) == ("the key is encrypted", str(client.key))
        assert "output.tls.key_passphrase" in error.what_to_do

    def test_a_file_of_the_passphrase_that_is_not_there(
        self, authority: Authority, tmp_path: Path
    ) -> None:
        client = authority.client(tmp_path, passphrase=PASSPHRASE)
        error = refusal(config(client, key_passphrase_file=str(tmp_path / "no")))
        assert "cannot be read" in error.what
        assert error.where == str(tmp_path / "no")

    def test_a_key_of_another_certificate(self, authority: Authority, tmp_path: Path) -> None:
        one, two = authority.client(tmp_path, "one"), authority.client(tmp_path, "two")
        error = refusal(config(Client(one.certificate, two.key)))
        assert error.what == "the key does not belong to the certificate"
        assert error.where == str(two.key)
        assert str(one.certificate) in error.what_to_do

    @pytest.mark.parametrize("missing", ["certificate", "key"])
    def test_a_file_that_is_not_there(
        self, authority: Authority, tmp_path: Path, missing: str
    ) -> None:
        client = authority.client(tmp_path)
        path: Path = getattr(client, missing)
        path.unlink()
        error = refusal(config(client))
        assert error.what == f"the {missing} cannot be read: no such file or directory"
        assert error.where == str(path)
        assert f"output.tls.{missing}" in error.what_to_do

    @pytest.mark.parametrize("broken", ["certificate", "key"])
    def test_a_file_of_something_else(
        self, authority: Authority, tmp_path: Path, broken: str
    ) -> None:
        client = authority.client(tmp_path)
        path: Path = getattr(client, broken)
        path.write_text("no PEM")
        error = refusal(config(client))
        assert error.what.startswith("the certificate and its key cannot be used")
        assert str(path) in error.where

    def test_text_that_is_no_key_is_not_repeated(
        self, authority: Authority, tmp_path: Path
    ) -> None:
        client = authority.client(tmp_path)
        text = "-----BEGIN PRIVATE KEY-----\nMARKER7\n-----END PRIVATE KEY-----\n"
        error = refusal(TlsConfig(certificate=str(client.certificate), key=Secret(text)))
        assert "output.tls.key" in error.where
        assert "MARKER7" not in str(error)


class TestTrust:
    def test_a_ca_is_trusted_in_place_of_the_systems(self, authority: Authority) -> None:
        assert trusted(tls_context(TlsConfig(ca=authority.pem))) == 1

    def test_there_may_be_several_files_and_texts(
        self, authority: Authority, tmp_path: Path
    ) -> None:
        (tmp_path / "a.pem").write_text(authority.pem)
        (tmp_path / "b.pem").write_text(Authority().pem)
        both = TlsConfig(ca=(str(tmp_path / "a.pem"), str(tmp_path / "b.pem"), Authority().pem))
        assert trusted(tls_context(both)) == 3
        tls = Tls(both)
        (tmp_path / "b.pem").write_text(authority.pem)
        assert tls.refresh() == (str(tmp_path / "b.pem"),)
        assert trusted(tls.context) == 2
        missing = str(tmp_path / "no.pem")
        assert refusal(TlsConfig(ca=(authority.pem, missing))).where == missing

    def test_with_a_fingerprint_no_other_ca_is_trusted(self, authority: Authority) -> None:
        by_fingerprint = TlsConfig(ca_trusted_fingerprint=authority.fingerprint)
        assert trusted(tls_context(by_fingerprint)) == 0
        both = TlsConfig(ca=authority.pem, ca_trusted_fingerprint=authority.fingerprint)
        assert trusted(tls_context(both)) == 1

    def test_a_fingerprint_may_have_colons_and_capitals(self, authority: Authority) -> None:
        der = ssl.PEM_cert_to_DER_cert(authority.pem)
        plain = authority.fingerprint
        colons = ":".join(plain[at : at + 2] for at in range(0, 64, 2)).upper()
        for given in (plain, plain.upper(), colons):
            TlsConfig(ca_trusted_fingerprint=given)
            assert find([b"another", der], given) == der
        assert find([b"another"], plain) is None

    def test_a_server_is_no_ca(self, authority: Authority) -> None:
        server = authority.ca.issue_cert("es.example").cert_chain_pems[0].bytes().decode()
        assert is_ca(ssl.PEM_cert_to_DER_cert(authority.pem))
        assert not is_ca(ssl.PEM_cert_to_DER_cert(server))

    def test_no_variable_has_the_keys_of_connections_written_to_a_file(
        self, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
        assert not tls_context(TlsConfig(ca=authority.pem)).keylog_filename


class TestChanges:
    def test_unchanged_files_are_not_read_again(self, authority: Authority, tmp_path: Path) -> None:
        tls = Tls(config(authority.client(tmp_path), ca=authority.write(tmp_path / "ca.crt")))
        context = tls.context
        assert not tls.refresh()
        assert tls.context is context

    def test_changed_files_make_new_settings(self, authority: Authority, tmp_path: Path) -> None:
        tls = Tls(config(authority.client(tmp_path), ca=authority.write(tmp_path / "ca.crt")))
        context = tls.context
        with (tmp_path / "ca.crt").open("a") as file:
            file.write(Authority().pem)
        assert tls.refresh()
        assert tls.context is not context
        assert trusted(tls.context) == 2
        assert not tls.refresh()

    def test_a_half_written_file_leaves_the_settings_and_is_told_once(
        self, authority: Authority, tmp_path: Path
    ) -> None:
        client = authority.client(tmp_path)
        whole = client.certificate.read_text()
        tls = Tls(config(client))
        context = tls.context
        client.certificate.write_text(whole[:100])
        with pytest.raises(ConfigError):
            tls.refresh()
        assert not tls.refresh()
        assert tls.context is context
        client.certificate.write_text(whole + "\n")
        assert tls.refresh()
        assert tls.context is not context

    def test_a_certificate_that_comes_before_its_key_waits_for_it(
        self, authority: Authority, tmp_path: Path
    ) -> None:
        old = authority.client(tmp_path, "mine")
        tls = Tls(config(old))
        context = tls.context
        (tmp_path / "new").mkdir()
        new = authority.client(tmp_path / "new", "mine")
        new.certificate.replace(old.certificate)
        with pytest.raises(ConfigError, match="the key does not belong to the certificate"):
            tls.refresh()
        assert tls.context is context
        new.key.replace(old.key)
        assert tls.refresh()

    def test_a_file_that_is_gone_leaves_the_settings_until_it_is_back(
        self, authority: Authority, tmp_path: Path
    ) -> None:
        path = tmp_path / "ca.crt"
        tls = Tls(TlsConfig(ca=authority.write(path)))
        path.rename(tmp_path / "aside")
        with pytest.raises(ConfigError, match="the CA cannot be used"):
            tls.refresh()
        assert not tls.refresh()
        (tmp_path / "aside").rename(path)
        assert tls.refresh()

    def test_a_file_that_kubernetes_rotates_through_links_is_read_again(
        self, authority: Authority, tmp_path: Path
    ) -> None:
        for version in ("one", "two"):
            (tmp_path / version).mkdir()
            authority.write(tmp_path / version / "ca.crt")
            os.utime(tmp_path / version / "ca.crt", (7, 7))
        (tmp_path / "data").symlink_to("one")
        tls = Tls(TlsConfig(ca=str(tmp_path / "data" / "ca.crt")))
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").replace(tmp_path / "data")
        assert tls.refresh()

    def test_text_never_changes(self, authority: Authority) -> None:
        assert not Tls(TlsConfig(ca=authority.pem)).refresh()

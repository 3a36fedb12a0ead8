"""The token and TLS of the admin server, over real connections."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from shipper.admin.access import INTERVAL
from shipper.config.admin import AdminTlsConfig
from tests.admin.test_server import TROUBLES, Pages, admin_pages
from tests.support.certificates import Authority
from tests.support.faults import PATIENCE
from tests.support.loop import in_a_loop

PROTECTED = ("/metrics", "/status")
TOKEN = "s3cret"


async def eventually(pages: Pages, path: str, status: int, **options: Any) -> None:
    """Return when a page answers with that status; the files are looked at in a thread."""
    async with asyncio.timeout(PATIENCE):
        while (await pages.get(path, **options))[0] != status:
            await pages.clock.advance(INTERVAL)


async def logged(pages: Pages, action: str) -> None:
    """Return when the last message is this one."""
    async with asyncio.timeout(PATIENCE):
        while not pages.recorded.actions() or pages.recorded.actions()[-1] != action:
            await pages.clock.advance(INTERVAL)


def write(path: Path | str, content: str | bytes) -> None:
    Path(path).write_bytes(content if isinstance(content, bytes) else content.encode())


def remove(path: Path | str) -> None:
    Path(path).unlink()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


def certificate_of(authority: Authority, directory: Path) -> AdminTlsConfig:
    """A server's certificate in files."""
    issued = authority.ca.issue_cert("127.0.0.1")
    certificate, key = directory / "tls.crt", directory / "tls.key"
    certificate.write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    return AdminTlsConfig(certificate=str(certificate), key=str(key))


def client_of(authority: Authority) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.ca.configure_trust(context)
    return context


@in_a_loop
async def test_with_a_token_only_its_owner_sees_the_pages(token_file: Path) -> None:
    async with admin_pages(token_file=str(token_file)) as pages:
        await eventually(pages, "/metrics", 200, token=TOKEN)
        for page in PROTECTED:
            assert (await pages.get(page, token=TOKEN))[0] == 200
            for wrong in ("", "s3cre", "s3cret2", "S3CRET"):
                status, _, words = await pages.get(page, token=wrong)
                assert status == 401
                assert words == "a token is needed: Authorization: Bearer TOKEN\n"
        assert (await pages.get("/healthz"))[::2] == (200, "alive\n")
        assert (await pages.get("/readyz"))[::2] == (200, "ready\n")


@in_a_loop
async def test_without_the_token_reasons_have_no_path_and_no_host(token_file: Path) -> None:
    async with admin_pages(token_file=str(token_file)) as pages:
        await eventually(pages, "/metrics", 200, token=TOKEN)
        pages.reasons = (*TROUBLES, TROUBLES[1])
        public = "offsets cannot be saved\nevents cannot be delivered\n"
        assert (await pages.get("/readyz"))[::2] == (503, public)
        details = "registry.db: disk full\nhttp://a: no connection\n"
        assert (await pages.get("/readyz", token=TOKEN))[::2] == (503, details)


@in_a_loop
async def test_a_token_that_changes_is_read_again_and_an_unusable_one_changes_nothing(
    token_file: Path,
) -> None:
    async with admin_pages(token_file=str(token_file)) as pages:
        await eventually(pages, "/status", 200, token=TOKEN)
        write(token_file, "another-one")
        await eventually(pages, "/status", 200, token="another-one")
        assert (await pages.get("/status", token=TOKEN))[0] == 401
        assert pages.recorded.actions()[-1] == "admin-files-read"
        write(token_file, "two words")
        await logged(pages, "admin-files-unusable")
        assert (await pages.get("/status", token="another-one"))[0] == 200


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe", b"x" * 5000])
@in_a_loop
async def test_while_there_is_no_token_yet_nobody_sees_the_pages(
    token_file: Path, content: bytes | None
) -> None:
    remove(token_file)
    if content is not None:
        write(token_file, content)
    async with admin_pages(token_file=str(token_file)) as pages:
        await logged(pages, "admin-files-unusable")
        for page in PROTECTED:
            assert (await pages.get(page))[0] == 503
            assert (await pages.get(page, token="None"))[0] == 503
        pages.reasons = TROUBLES
        assert "registry.db" not in (await pages.get("/readyz"))[2]
        write(token_file, TOKEN)
        await eventually(pages, "/status", 200, token=TOKEN)


@in_a_loop
async def test_with_a_certificate_only_probes_need_no_tls(tmp_path: Path) -> None:
    authority = Authority()
    async with admin_pages(tls=certificate_of(authority, tmp_path)) as pages:
        secure: dict[str, Any] = {"url": f"https://{pages.address}", "ssl": client_of(authority)}
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    assert (await pages.get("/status", **secure))[0] == 200
                    break
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.001)  # The thread has not read the files yet.
        for page in (*PROTECTED, "/healthz", "/readyz"):
            assert (await pages.get(page, **secure))[0] == 200
        assert [(await pages.get(page))[::2] for page in PROTECTED] == [(403, "use https\n")] * 2
        assert (await pages.get("/healthz"))[0] == 200
        pages.reasons = TROUBLES
        assert "registry.db" in (await pages.get("/readyz"))[2], "no token is set"


@in_a_loop
async def test_a_token_counts_over_tls_only_if_there_is_a_certificate(
    tmp_path: Path, token_file: Path
) -> None:
    authority = Authority()
    options: dict[str, Any] = {
        "token_file": str(token_file),
        "tls": certificate_of(authority, tmp_path),
    }
    async with admin_pages(**options) as pages:
        secure: dict[str, Any] = {"url": f"https://{pages.address}", "ssl": client_of(authority)}
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    assert (await pages.get("/status", token=TOKEN, **secure))[0] == 200
                    break
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.001)
        assert (await pages.get("/status", **secure))[0] == 401
        assert (await pages.get("/status", token=TOKEN))[0] == 403
        pages.reasons = TROUBLES
        assert "registry.db" not in (await pages.get("/readyz", token=TOKEN))[2]
        assert "registry.db" in (await pages.get("/readyz", token=TOKEN, **secure))[2]


@in_a_loop
async def test_a_certificate_that_changes_is_used_from_the_next_connection_on(
    tmp_path: Path,
) -> None:
    first, second = Authority(), Authority()
    async with admin_pages(tls=certificate_of(first, tmp_path)) as pages:
        certificate_of(second, tmp_path)
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    url = f"https://{pages.address}"
                    answer = await pages.get("/status", url=url, ssl=client_of(second))
                    assert answer[0] == 200
                    break
                except aiohttp.ClientConnectionError:
                    await pages.clock.advance(INTERVAL)


@pytest.mark.parametrize("damage", ["missing", "no PEM", "another key"])
@in_a_loop
async def test_a_certificate_that_cannot_be_used_is_said_and_stops_no_probe(
    tmp_path: Path, damage: str
) -> None:
    authority = Authority()
    config = certificate_of(authority, tmp_path)
    if damage == "missing":
        remove(config.key)
    elif damage == "no PEM":
        write(config.key, "x")
    else:
        write(config.key, authority.ca.issue_cert("127.0.0.1").private_key_pem.bytes())
    async with admin_pages(tls=config) as pages:
        await logged(pages, "admin-files-unusable")
        (entry,) = (each for each in pages.logged() if each["log.level"] == "error")
        wanted = {
            "missing": ("tls.key", "no such file or directory"),
            "no PEM": ("tls.crt", "cannot be used"),
            "another key": ("tls.crt", "key values mismatch"),
        }
        name, words = wanted[damage]
        assert entry["file.path"] == str(tmp_path / name)
        assert words in entry["error.message"]
        assert (await pages.get("/healthz"))[0] == 200
        assert (await pages.get("/status"))[0] == 403
        with pytest.raises(aiohttp.ClientConnectionError):
            await pages.get("/status", url=f"https://{pages.address}", ssl=False)

"""Webhooks on the wire: where they may go, whom they trust, and how little they wait for and read."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from infra import guarded_requests, public_addresses, webhooks
from infra.public_addresses import NotPublicError, is_public, public_address
from infra.sending import DELIVERED, Sent

pytestmark = pytest.mark.anyio

SECRET = webhooks.new_secret()
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8"],
)
def test_the_internet_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104  # nothing is bound to it
        "10.1.2.3",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "168.63.129.16",
        "169.254.169.254",
        "169.254.170.2",
        "172.16.0.1",
        "192.0.0.9",
        "192.0.0.170",
        "192.88.99.1",
        "192.168.0.1",
        "198.18.0.1",
        "224.0.1.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "2001:0:a9fe:a9fe::1",
        "3fff::1",
        "3fff:fff::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "ff02::1",
    ],
)
def test_nothing_else_is(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("host", ["localhost", "0x7f000001", "127.1", "no-such-host.invalid", "x" * 64, "a..b"])
async def test_a_host_without_a_public_address_is_not_reached(host: str) -> None:
    with pytest.raises(NotPublicError):
        await public_address(host, 443)


async def test_one_address_inside_is_enough_to_refuse_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(None, None, None, "", (address, 443)) for address in ("8.8.8.8", "10.0.0.1")]

    class Loop:
        async def getaddrinfo(self, *_: object, **__: object) -> list[object]:
            return list(found)

    monkeypatch.setattr(public_addresses, "asyncio", SimpleNamespace(get_running_loop=Loop))
    with pytest.raises(NotPublicError):
        await public_address("example.com", 443)
    del found[1]
    assert await public_address("example.com", 443) == "8.8.8.8"


@asynccontextmanager
async def speaking(talk: Talk, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server that hears a request and does what `talk` does; its port."""
    talks: list[asyncio.Task[None]] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.append(task)
        try:
            await talk(reader, writer)
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(hear, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        async with asyncio.timeout(10):
            await asyncio.gather(*talks, return_exceptions=True)


async def post(url: str) -> Sent:
    return await webhooks.post(url, SECRET, "evt_1", b"{}", datetime.now(UTC), local_allowed=True)


async def taking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"{}")
    writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
    await writer.drain()
    writer.close()


async def test_who_says_nothing_is_waited_for_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "SECONDS_TO_ANSWER", 0.05)

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with speaking(silent) as port:
        assert await post(f"http://127.0.0.1:{port}/") == Sent("no answer within 0.05 seconds", reached=False)


async def test_an_answer_without_end_is_not_read() -> None:
    ended = asyncio.Event()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 100_000)
                await writer.drain()
        except OSError:
            ended.set()

    async with speaking(endless) as port:
        assert await post(f"http://127.0.0.1:{port}/") == DELIVERED
        async with asyncio.timeout(10):
            await ended.wait()


async def test_who_speaks_no_http_is_no_receiver() -> None:
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        writer.write(b"no\r\n\r\n")
        writer.close()

    async with speaking(rude) as port:
        assert await post(f"http://127.0.0.1:{port}/") == Sent("no connection (RemoteProtocolError)", reached=False)


async def test_the_certificate_must_be_for_the_name_though_the_address_is_connected_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = certificate_for("hooks.example.com", tmp_path)
    asked: list[str] = []

    async def here(host: str, _port: int, *, local_allowed: bool) -> str:
        assert local_allowed
        asked.append(host)
        return "127.0.0.1"

    monkeypatch.setattr(guarded_requests, "public_address", here)
    monkeypatch.setattr(guarded_requests, "_trusted", lambda: ssl.create_default_context(cafile=str(certificate)))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    async with speaking(taking, tls) as port:
        assert await post(f"https://hooks.example.com:{port}/") == DELIVERED
        assert await post(f"https://other.example.com:{port}/") == Sent("no connection (ConnectError)", reached=False)
    assert asked == ["hooks.example.com", "other.example.com"]


def certificate_for(host: str, folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, private

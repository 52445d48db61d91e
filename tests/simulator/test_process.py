"""The exchange as a process: its one line, its end, its options."""

import asyncio
import json
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.simulator.client import until

COMMAND = (sys.executable, "-m", "app", "exchange")
GREETING = "exchange listening on "


@asynccontextmanager
async def running_command(*options: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Start the command and yield it with the URL that it printed."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *options, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        line = (await process.stdout.readline()).decode()
        assert line.startswith(GREETING)
        yield process, line.removeprefix(GREETING).strip()
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def error_output(*options: str) -> str:
    """Start the command with options that it refuses; return what it says."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *options, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert process.returncode == 2
    return errors.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_ends_it_with_0_while_a_stall_is_open(number: signal.Signals) -> None:
    stall = json.dumps({"kind": "stall", "method": "get_time"})
    async with (
        running_command("--fault", stall) as (process, url),
        aiohttp.ClientSession() as session,
    ):
        stalled = asyncio.create_task(session.get(f"{url}/api/v2/public/get_time"))
        await until(lambda: _has_requests(session, url))
        process.send_signal(number)
        assert await asyncio.wait_for(process.wait(), 5) == 0
        with pytest.raises(aiohttp.ClientConnectionError):
            await stalled


async def test_reset_works_in_a_process_too() -> None:
    async with (
        running_command("--fault", '{"kind":"reset"}') as (_, url),
        aiohttp.ClientSession() as session,
    ):
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(f"{url}/api/v2/public/get_time")


async def test_options_reach_the_exchange() -> None:
    options = [
        *("--clock-offset-ms", "5", "--clock-jitter-ms", "-1", "2"),
        *("--delay-ms", "1", "--delay-random-ms", "0", "3"),
        *("--chart-step", "1d=300", "--chart-step", "2d=60"),
        *("--index", "mars_usd", "--index", "moon_usd", "--testnet", "--seed", "1"),
        *("--fault", '{"kind":"html","index":"moon_usd"}'),
    ]
    async with running_command(*options) as (_, url), aiohttp.ClientSession() as session:
        state = await _state(session, url)
        assert state["clock"] == {"offset_ms": 5, "jitter_ms": [-1, 2]}
        assert state["delay"] == {"fixed_ms": 1, "random_ms": [0, 3]}
        assert (state["chart_steps"]["1d"], state["chart_steps"]["2d"]) == (300, 60)
        assert (state["testnet"], state["faults"][0]["kind"]) == (True, "html")
        for name, status in (("mars_usd", 200), ("moon_usd", 502)):
            params = {"index_name": name}
            async with session.get(f"{url}/api/v2/public/get_index_price", params=params) as reply:
                assert reply.status == status


async def test_tls_is_served(tmp_path: Path) -> None:
    certificate, key = _self_signed(tmp_path)
    trust = ssl.create_default_context(cafile=str(certificate))
    async with (
        running_command("--tls-cert", str(certificate), "--tls-key", str(key)) as (_, url),
        aiohttp.ClientSession() as session,
        session.get(f"{url}/api/v2/public/status", ssl=trust) as reply,
    ):
        assert (url.startswith("https://127.0.0.1:"), reply.status) == (True, 200)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--fault", "{"), "fault: '{' is not a JSON object"),
        (("--fault", '{"kind":"nonsense"}'), "kind: 'nonsense' is none of"),
        (("--chart-step", "1d"), "chart step: '1d' is not of the form 1d=300"),
        (("--chart-step", "3d=60"), "chart step: '3d' is none of"),
        (("--index", "NOPE"), "index: 'NOPE' does not match"),
        (("--rate-limit", "0"), "rate-limit: must be above 0"),
        (("--port", "99999"), "port: 99999 is not from 0 to 65535"),
        (("--delay-ms", "-1"), "delay: -1 ms is below 0"),
        (("--clock-jitter-ms", "2", "1"), "a range must ascend"),
        (("--tls-cert", "nowhere.pem"), "tls-cert and tls-key go together"),
        (("--tls-cert", "nowhere.pem", "--tls-key", "nowhere.key"), "tls-cert: nowhere.pem"),
    ],
)
async def test_bad_option_ends_with_one_line_and_2(
    options: tuple[str, ...], complaint: str
) -> None:
    errors = await error_output(*options)
    assert errors.startswith(f"exchange: {complaint}")
    assert errors.count("\n") == 1


async def test_verbose_prints_every_request() -> None:
    async with running_command("--verbose") as (process, url), aiohttp.ClientSession() as session:
        async with session.get(f"{url}/api/v2/public/status") as reply:
            assert reply.status == 200
        assert process.stderr is not None
        line = (await process.stderr.readline()).decode()
        assert line.endswith(" GET /api/v2/public/status 200\n")


async def test_taken_port_ends_with_one_line_and_2() -> None:
    async with running_command() as (_, url):
        errors = await error_output("--port", url.rpartition(":")[2])
        assert errors.startswith("exchange: ")
        assert errors.count("\n") == 1


async def _has_requests(session: aiohttp.ClientSession, url: str) -> bool:
    return bool((await _state(session, url))["requests"]["in_flight"])


async def _state(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    async with session.get(f"{url}/control/state") as reply:
        state: dict[str, Any] = await reply.json()
        return state


def _self_signed(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for 127.0.0.1 that is valid for an hour, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    files = folder / "cert.pem", folder / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files

"""Servers that speak TLS with a certificate made for the test."""

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from app.embedded.postgres_cluster import ensure_system_user
from app.supervisor.child_process import run_as
from app.supervisor.ports import free_port
from tests.clients.certificates import Certificate, make_certificate
from tests.waiting import until

PASSWORD = "p@ss/w#rd"  # noqa: S105  # of a server that lives as long as its test
ESCAPED = "p%40ss%2Fw%23rd"
CLIENT = "stand-in"
"""The name in the certificate, which is also a role that logs in by it."""
_HBA = f"""
local   all all      trust
hostssl all "{CLIENT}" 127.0.0.1/32 cert
hostssl all careful  127.0.0.1/32 scram-sha-256
host    all careful  127.0.0.1/32 reject
host    all owner,poor,single 127.0.0.1/32 scram-sha-256
"""
_ROLES = f"""
CREATE ROLE owner LOGIN PASSWORD '{PASSWORD}';
CREATE ROLE careful LOGIN PASSWORD '{PASSWORD}';
CREATE ROLE poor LOGIN PASSWORD '{PASSWORD}';
CREATE ROLE single LOGIN PASSWORD '{PASSWORD}' CONNECTION LIMIT 0;
CREATE ROLE "{CLIENT}" LOGIN;
"""


@dataclass(frozen=True, slots=True)
class TlsPostgres:
    """A PostgreSQL that offers TLS on a port of this machine."""

    port: int
    certificate: Certificate

    def url(self, user: str = "owner", database: str = "prices", query: str = "") -> str:
        login = user if user == CLIENT else f"{user}:{ESCAPED}"
        return f"postgresql+asyncpg://{login}@127.0.0.1:{self.port}/{database}{query}"


def postgres_with_tls() -> Path:
    """Find a PostgreSQL that was built with TLS, which the wheel's is not."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    on_path = shutil.which("postgres")
    for program in (*reversed(found), *([Path(on_path).resolve()] if on_path else [])):
        return program.parent
    pytest.skip("no PostgreSQL with TLS on this machine: apt-get install postgresql")


def redis_with_tls() -> str:
    """Find a Redis or Valkey that was built with TLS, which the wheel's is not."""
    linked = shutil.which("ldd")
    for program in filter(None, map(shutil.which, ("redis-server", "valkey-server"))):
        tried = subprocess.run(  # noqa: S603  # both are paths of programs
            [linked or "otool", program], capture_output=True, text=True, check=False
        )
        if "libssl" in tried.stdout:
            return program
    pytest.skip("no Redis with TLS on this machine: apt-get install redis-server")


@asynccontextmanager
async def tls_postgres(directory: Path, *, tls: bool = True) -> AsyncIterator[TlsPostgres]:
    """Run a PostgreSQL below a directory that others may enter."""
    programs, user = postgres_with_tls(), ensure_system_user()
    directory = Path(tempfile.mkdtemp(dir=directory))
    directory.chmod(0o755)
    certificate, data, port = make_certificate(directory), directory / "data", free_port()
    data.mkdir(mode=0o700)
    for path in (data, certificate.certificate, certificate.key):
        path.chmod(0o700 if path == data else 0o600)
        if user is not None:
            shutil.chown(path, user)
    readable = directory / "authority.pem"
    readable.write_bytes(certificate.certificate.read_bytes())
    options = {
        "port": str(port),
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": str(data),
        "ssl": "on" if tls else "off",
        "ssl_cert_file": str(certificate.certificate),
        "ssl_key_file": str(certificate.key),
        "ssl_ca_file": str(certificate.certificate),
        "fsync": "off",
    }
    settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    initdb = [str(programs / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust"]
    await asyncio.to_thread(_run, [*initdb, "--no-sync"], user)
    (data / "pg_hba.conf").write_text(_HBA)
    server = subprocess.Popen(  # noqa: ASYNC220, S603  # the server's own program
        [str(programs / "postgres"), "-D", str(data), *settings],
        **run_as(user),
        cwd="/",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        await until(lambda: _prepare(str(data), port), 30)
        yield TlsPostgres(port, Certificate(readable, certificate.key))
    finally:
        server.terminate()
        await asyncio.to_thread(server.wait, 20)


@asynccontextmanager
async def tls_redis(directory: Path) -> AsyncIterator[tuple[str, Certificate]]:
    """Run a Redis that speaks TLS alone, and wants a certificate of its clients; give its URL."""
    certificate, port = make_certificate(directory), free_port()
    options = {
        "port": "0",
        "tls-port": str(port),
        "bind": "127.0.0.1",
        "tls-cert-file": str(certificate.certificate),
        "tls-key-file": str(certificate.key),
        "tls-ca-cert-file": str(certificate.certificate),
        "requirepass": "hush",
        "save": "",
        "dir": str(directory),
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    server = subprocess.Popen(  # noqa: ASYNC220, S603  # the server's own program
        [redis_with_tls(), *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        await until(lambda: _listens(port), 30)
        yield f"rediss://:hush@127.0.0.1:{port}/0", certificate
    finally:
        server.terminate()
        await asyncio.to_thread(server.wait, 20)


def _run(command: list[str], user: str | None) -> None:
    subprocess.run(  # noqa: S603  # the server's own program
        command, **run_as(user), cwd="/", check=True, stdout=subprocess.DEVNULL
    )


async def _prepare(sockets: str, port: int) -> bool:
    try:
        admin = await asyncpg.connect(host=sockets, port=port, user="postgres", database="postgres")
    except (OSError, asyncpg.PostgresError):
        return False
    await admin.execute(_ROLES)
    await admin.execute("CREATE DATABASE prices OWNER owner")
    await admin.close()
    return True


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True

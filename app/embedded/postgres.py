"""PostgreSQL from its Python wheel as a command to be supervised."""

import asyncio
import hashlib
import os
import re
import signal
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import quote

from app.embedded.postgres_cluster import (
    bin_directory,
    create_cluster,
    ensure_system_user,
    require_version,
)
from app.embedded.stale_servers import kill_processes_in, stop_stale_server
from app.supervisor.child_process import ProcessSpec

DATABASE: Final = "prices"
ROLE: Final = "postgres"

_SOCKET: Final = ".s.PGSQL.5432"
_SOCKET_LOCK: Final = f"{_SOCKET}.lock"
_CREATE_DATABASE: Final = rf"""
SELECT 'CREATE DATABASE {DATABASE}'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{DATABASE}') \gexec
"""  # noqa: S608  # put together from constants
_REFUSES_CONNECTIONS: Final = 1  # the exit code of pg_isready while the server starts
_MAX_PATH_BYTES: Final = 85  # of a socket's directory: macOS allows 103 bytes with the file's name
_SAFE_PATH: Final = re.compile(r"[\w./ +@~-]+")
_FEWER_PROCESSES: Final = {
    "io_method": "sync",  # without three processes that read ahead what the system has cached
    "max_logical_replication_workers": "0",  # nobody subscribes; it spares their launcher
}
_NOT_DURABLE: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True, slots=True)
class Postgres:
    """A database server that listens on a Unix socket alone."""

    directory: Path
    socket_directory: Path
    user: str | None
    max_connections: int
    fast: bool

    @classmethod
    def prepare(
        cls, directory: Path, *, fast: bool = False, max_connections: int = 100
    ) -> "Postgres":
        """Stop a stale server in the directory, or create a cluster if there is none.

        `fast` trades durability for speed, for tests.

        Raises:
            SettingsError: there is no wheel for this machine, or the data is of another version.
            CannotStart: the cluster could not be created.
        """
        directory = directory.resolve()
        user = ensure_system_user()
        if directory.exists():
            require_version(directory)
            stop_stale_server(directory / "postmaster.pid", directory, signal.SIGINT)
        else:
            create_cluster(directory, user, ROLE, fast=fast)
        socket_directory = _socket_directory(directory)
        # A killed server left it. PostgreSQL takes a process id of a zombie for a running server's.
        (socket_directory / _SOCKET_LOCK).unlink(missing_ok=True)
        return cls(directory, socket_directory, user, max_connections, fast)

    @property
    def url(self) -> str:
        """The `DATABASE_URL` of this server."""
        return f"postgresql+asyncpg://{ROLE}@/{DATABASE}?host={quote(str(self.socket_directory))}"

    @property
    def command(self) -> list[str]:
        """The command line of the server, which stays in the foreground."""
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.socket_directory),
            "unix_socket_permissions": "0700",  # whoever may open the socket is the superuser
            "max_connections": str(self.max_connections),
            "timezone": "UTC",
            "log_timezone": "UTC",
            "jit": "off",  # compiling takes longer than any of our queries
            **_FEWER_PROCESSES,
            **(_NOT_DURABLE if self.fast else {}),
        }
        settings = (word for name, value in options.items() for word in ("-c", f"{name}={value}"))
        return [str(bin_directory() / "postgres"), "-D", str(self.directory), *settings]

    def spec(self, log_file: Path) -> ProcessSpec:
        """Specify the server for the supervisor."""
        return ProcessSpec(
            name="postgres",
            argv=self.command,
            user=self.user,
            log_file=log_file,
            ready_probe=self.try_create_database,
            ready_timeout_seconds=300.0,  # after a crash it first replays its log
            liveness_probe=self.is_alive,
            probe_interval_seconds=5.0,
            liveness_timeout_seconds=30.0,
            clean_up=partial(kill_processes_in, self.directory),
            stop_signal=signal.SIGINT,  # its "fast" shutdown: disconnects clients, keeps the data
        )

    async def try_create_database(self) -> bool:
        """Return whether the server accepts statements; create the database if it is missing."""
        options = ("--no-psqlrc", "--no-password", "--quiet", "--set=ON_ERROR_STOP=1")
        return await self._run_client("psql", *options, sql=_CREATE_DATABASE) == 0

    async def is_alive(self) -> bool:
        """Return whether the server responds at all, even to refuse while it replays its log."""
        return await self._run_client("pg_isready", "--quiet") in {0, _REFUSES_CONNECTIONS}

    async def _run_client(self, program: str, *options: str, sql: str = "") -> int:
        """Run one of the wheel's client programs against this server; return its exit code."""
        connection = (f"--host={self.socket_directory}", f"--username={ROLE}", "--dbname=postgres")
        process = await asyncio.create_subprocess_exec(
            *(str(bin_directory() / program), *connection, *options),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env={name: value for name, value in os.environ.items() if not name.startswith("PG")},
        )
        try:
            await process.communicate(sql.encode())
        finally:
            if process.returncode is None:  # the probe's time is over
                process.kill()
        return process.returncode or 0


def _socket_directory(directory: Path) -> Path:
    """Return the socket's directory: the cluster, unless its path is too long or peculiar."""
    path = str(directory)
    if len(os.fsencode(path)) <= _MAX_PATH_BYTES and _SAFE_PATH.fullmatch(path):
        return directory
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    short = Path(tempfile.gettempdir()).resolve() / f"postgres-{digest}"
    short.mkdir(mode=0o700, exist_ok=True)
    owner = directory.stat()
    os.chown(short, owner.st_uid, owner.st_gid)  # fails if it belongs to someone else
    return short

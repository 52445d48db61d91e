"""PostgreSQL from its Python wheel as a command to be supervised."""

import hashlib
import os
import re
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from app.embedded.cluster import make_cluster, programs, require_version, system_user
from app.embedded.postgres_wire import execute
from app.embedded.stale_servers import end_leftover
from app.supervisor.processes import ProcessSpec

DATABASE: Final = "prices"
ROLE: Final = "postgres"

_SOCKET: Final = ".s.PGSQL.5432"
_SOCKET_LOCK: Final = f"{_SOCKET}.lock"
_NO_SUCH_DATABASE: Final = "3D000"
_MAX_PATH: Final = 85  # of a socket's directory: macOS allows 103 bytes with the file's name
_PLAIN_PATH: Final = re.compile(r"[\w./ +@~-]+")
_LIGHT: Final = {
    "io_method": "sync",  # without three processes that read ahead what the system has cached
    "max_logical_replication_workers": "0",  # nobody subscribes; it spares their launcher
}
_FAST: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True, slots=True)
class Postgres:
    """A database server that listens on a Unix socket alone."""

    directory: Path
    sockets: Path
    user: str | None
    max_connections: int
    fast: bool

    @classmethod
    def prepare(
        cls, directory: Path, *, fast: bool = False, max_connections: int = 100
    ) -> "Postgres":
        """Make a cluster unless there is one, and end a server left over in it.

        `fast` trades durability for speed, for tests.

        Raises:
            SettingsError: there is no wheel for this machine, or the data is of another version.
            CannotStart: the cluster could not be made.
        """
        directory = directory.resolve()
        user = system_user()
        if directory.exists():
            require_version(directory)
            end_leftover(directory / "postmaster.pid", directory, signal.SIGINT)
        else:
            make_cluster(directory, user, ROLE, fast=fast)
        sockets = _socket_directory(directory)
        # Left by a killed server; its number may be a zombie's, which PostgreSQL takes for alive.
        (sockets / _SOCKET_LOCK).unlink(missing_ok=True)
        return cls(directory, sockets, user, max_connections, fast)

    @property
    def url(self) -> str:
        """The `DATABASE_URL` of this server."""
        return f"postgresql+asyncpg://{ROLE}@/{DATABASE}?host={quote(str(self.sockets))}"

    @property
    def command(self) -> list[str]:
        """The command line of the server, which stays in the foreground."""
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.sockets),
            "unix_socket_permissions": "0700",  # whoever may open the socket is the superuser
            "max_connections": str(self.max_connections),
            "timezone": "UTC",
            "log_timezone": "UTC",
            "jit": "off",  # compiling takes longer than any of our queries
            **_LIGHT,
            **(_FAST if self.fast else {}),
        }
        settings = (word for name, value in options.items() for word in ("-c", f"{name}={value}"))
        return [str(programs() / "postgres"), "-D", str(self.directory), *settings]

    def child(self, log: Path) -> ProcessSpec:
        """Describe the server to the supervisor."""
        return ProcessSpec(
            name="postgres",
            argv=self.command,
            user=self.user,
            log=log,
            ready=self.ready,
            ready_seconds=300.0,  # after a crash it first replays what it had promised
            alive=self.alive,
            look_seconds=5.0,
            silence_seconds=30.0,
            workplace=self.directory,
            stop_signal=signal.SIGINT,  # its "fast" shutdown: disconnects clients, keeps the data
        )

    async def ready(self) -> bool:
        """Say whether the database accepts connections; create it on the first one."""
        error = await self._execute("SELECT 1", DATABASE)
        if error == _NO_SUCH_DATABASE:
            error = await self._execute(f"CREATE DATABASE {DATABASE}", "postgres")
        return error is None

    async def alive(self) -> bool:
        """Say whether the server answers at all, be it that it is busy, or replays its log."""
        await self._execute("SELECT 1", DATABASE)
        return True

    async def _execute(self, sql: str, database: str) -> str | None:
        return await execute(self.sockets / _SOCKET, ROLE, database, sql)


def _socket_directory(directory: Path) -> Path:
    """Return where the socket lies: in the cluster, unless its path is too long or peculiar."""
    path = str(directory)
    if len(os.fsencode(path)) <= _MAX_PATH and _PLAIN_PATH.fullmatch(path):
        return directory
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    short = Path(tempfile.gettempdir()).resolve() / f"postgres-{digest}"
    short.mkdir(mode=0o700, exist_ok=True)
    owner = directory.stat()
    os.chown(short, owner.st_uid, owner.st_gid)  # fails if it belongs to someone else
    return short

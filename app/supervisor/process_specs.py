"""The project's own processes as children of the supervisor."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.core.settings import Settings
from app.supervisor.probes import Heartbeat, http_ok
from app.supervisor.processes import ProcessSpec

PROGRAM: Final = (sys.executable, "-m", "app")
SEED: Final = (sys.executable, "-m", "app.embedded.seed")

_MIN_SILENCE_SECONDS: Final = 10.0
"""Longer than a call to a broker may block (3 to 5 s)."""
_MAX_SILENCE_SECONDS: Final = 30.0
"""Long enough for a machine that swaps."""
_GRACE_SECONDS: Final = 5.0
_EXCHANGE_STAGE: Final = 1
_SERVICE_STAGE: Final = 2
_WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  compared


@dataclass(frozen=True, slots=True)
class Services:
    """Describes the processes of one stack, which all take their settings from `env`."""

    settings: Settings
    directory: Path
    env: Mapping[str, str]
    program: Sequence[str] = PROGRAM

    @property
    def base_url(self) -> str:
        """Where the API is reached from this machine."""
        host = _WILDCARDS.get(self.settings.api_host, self.settings.api_host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.env['API_PORT']}"

    @property
    def silence_seconds(self) -> float:
        """Tell for how long a process may show no sign of life: two intervals, within reason."""
        two_intervals = 2.0 * self.settings.collect_interval_seconds
        return min(max(_MIN_SILENCE_SECONDS, two_intervals), _MAX_SILENCE_SECONDS)

    def migrate(self) -> ProcessSpec:
        """Describe the migration, which ends by itself."""
        return ProcessSpec(
            name="migrate", argv=[*self.program, "migrate"], env=self.env, stage=_SERVICE_STAGE
        )

    def seed(self, command: Sequence[str], database_url: str) -> ProcessSpec:
        """Describe the storing of a demo's history, which ends by itself and takes 60 MB."""
        return ProcessSpec(
            name="seed", argv=[*command, database_url], env=self.env, stage=_SERVICE_STAGE
        )

    def children(self) -> tuple[ProcessSpec, ...]:
        """Describe the API, the worker and beat."""
        return self._api(), self._with_heartbeat("worker"), self._with_heartbeat("beat")

    def _api(self) -> ProcessSpec:
        return ProcessSpec(
            name="api",
            argv=[*self.program, "api"],
            env=self.env,
            ready=http_ok(f"{self.base_url}/health/ready"),
            alive=http_ok(f"{self.base_url}/health/live"),
            silence_seconds=self.silence_seconds,
            grace_seconds=_GRACE_SECONDS,
            stage=_SERVICE_STAGE,
        )

    def _with_heartbeat(self, name: str) -> ProcessSpec:
        file = self.directory / f"{name}.heartbeat"
        heartbeat = Heartbeat(file)
        return ProcessSpec(
            name=name,
            argv=[*self.program, name],
            env={**self.env, "HEARTBEAT_FILE": str(file)},
            ready=heartbeat,
            alive=heartbeat,
            silence_seconds=self.silence_seconds,
            grace_seconds=_GRACE_SECONDS,
            stage=_SERVICE_STAGE,
        )


def exchange(settings: Settings, port: int, program: Sequence[str] = PROGRAM) -> ProcessSpec:
    """Describe the stand-in exchange, which knows every configured ticker."""
    names = (name for key, name in settings.indices if key == settings.deribit_name)
    indices = (word for name in names for word in ("--index", name))
    return ProcessSpec(
        name="exchange",
        argv=[*program, "exchange", "--port", str(port), *indices],
        ready=http_ok(f"{exchange_url(port)}/public/get_time"),
        alive=http_ok(f"http://127.0.0.1:{port}/control/state"),  # faults on demand are no hang
        look_seconds=2.0,
        silence_seconds=60.0,
        stage=_EXCHANGE_STAGE,
    )


def exchange_url(port: int) -> str:
    """Return the `DERIBIT_BASE_URL` of the stand-in exchange."""
    return f"http://127.0.0.1:{port}/api/v2"

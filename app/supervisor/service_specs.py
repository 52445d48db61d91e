"""The specifications of the project's own processes."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.core.settings import Settings
from app.supervisor.child_process import ProcessSpec
from app.supervisor.probes import HeartbeatProbe, Probe, http_probe

APP_COMMAND: Final = (sys.executable, "-m", "app")
SEED_COMMAND: Final = (sys.executable, "-m", "app.embedded.seed")

_MIN_LIVENESS_SECONDS: Final = 10.0
"""Longer than a call to the broker may block (3 to 5 s)."""
_MAX_LIVENESS_SECONDS: Final = 30.0
"""Long enough for a machine that swaps."""
_STOP_TIMEOUT_SECONDS: Final = 5.0
_EXCHANGE_STAGE: Final = 1
_SERVICE_STAGE: Final = 2
_WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104  compared


@dataclass(frozen=True, slots=True)
class ServiceSpecs:
    """Specifies the processes of one stack, which all take their settings from `env`."""

    settings: Settings
    directory: Path
    env: Mapping[str, str]

    @property
    def base_url(self) -> str:
        """The API's address as this machine reaches it."""
        host = _WILDCARDS.get(self.settings.api_host, self.settings.api_host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.env['API_PORT']}"

    @property
    def liveness_timeout_seconds(self) -> float:
        """How long a process may give no heartbeat: two intervals, within the bounds above."""
        two_intervals = 2.0 * self.settings.collect_interval_seconds
        return min(max(_MIN_LIVENESS_SECONDS, two_intervals), _MAX_LIVENESS_SECONDS)

    def migration(self) -> ProcessSpec:
        """Specify the migration, which ends by itself."""
        return ProcessSpec(
            name="migrate", argv=[*APP_COMMAND, "migrate"], env=self.env, stage=_SERVICE_STAGE
        )

    def seed(self, database_url: str) -> ProcessSpec:
        """Specify the process that stores a demo's history; it ends by itself and takes 60 MB."""
        return ProcessSpec(
            name="seed", argv=[*SEED_COMMAND, database_url], env=self.env, stage=_SERVICE_STAGE
        )

    def services(self) -> tuple[ProcessSpec, ...]:
        """Specify the API, the worker and beat."""
        return self.api(), self.with_heartbeat("worker"), self.with_heartbeat("beat")

    def api(self) -> ProcessSpec:
        """Specify the API."""
        ready = http_probe(f"{self.base_url}/health/ready")
        return self._service("api", self.env, ready, http_probe(f"{self.base_url}/health/live"))

    def with_heartbeat(self, name: str, file: Path | None = None) -> ProcessSpec:
        """Specify a service that shows in a file that it is alive: the worker or beat."""
        file = file or self.directory / f"{name}.heartbeat"
        heartbeat = HeartbeatProbe(file)
        env = {**self.env, "HEARTBEAT_FILE": str(file)}
        return self._service(name, env, heartbeat, heartbeat)

    def _service(
        self, name: str, env: Mapping[str, str], ready_probe: Probe, liveness_probe: Probe
    ) -> ProcessSpec:
        return ProcessSpec(
            name=name,
            argv=[*APP_COMMAND, name],
            env=env,
            ready_probe=ready_probe,
            liveness_probe=liveness_probe,
            liveness_timeout_seconds=self.liveness_timeout_seconds,
            stop_timeout_seconds=_STOP_TIMEOUT_SECONDS,
            stage=_SERVICE_STAGE,
        )


def exchange_spec(settings: Settings, port: int) -> ProcessSpec:
    """Specify the simulated exchange, which serves every configured ticker."""
    names = (name for key, name in settings.indices if key == settings.deribit_exchange_name)
    options = (word for name in names for word in ("--index", name))
    return ProcessSpec(
        name="exchange",
        argv=[*APP_COMMAND, "exchange", "--port", str(port), *options],
        ready_probe=http_probe(f"{exchange_url(port)}/public/get_time"),
        # a fault on demand is no hang
        liveness_probe=http_probe(f"http://127.0.0.1:{port}/control/state"),
        probe_interval_seconds=2.0,
        liveness_timeout_seconds=60.0,
        stage=_EXCHANGE_STAGE,
    )


def exchange_url(port: int) -> str:
    """Return the `DERIBIT_BASE_URL` of the simulated exchange."""
    return f"http://127.0.0.1:{port}/api/v2"

"""The stacks of `run` and `demo`: every process of the service, supervised on one machine."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app import __version__
from app.clients import require_known_exchanges
from app.core.errors import SettingsError
from app.core.settings import Settings, load_settings
from app.embedded.data_dir import KEY_FILE, api_key, locked_data_dir, write_server_urls
from app.embedded.servers import DATABASE_URL, SERVER_SETTINGS, EmbeddedServers, prepare_servers
from app.supervisor.output import TerminalOutput
from app.supervisor.ports import free_port, listen_error, load_or_choose_port
from app.supervisor.process_specs import (
    APP_COMMAND,
    SEED_COMMAND,
    ServiceSpecs,
    exchange_spec,
    exchange_url,
)
from app.supervisor.processes import ProcessSpec
from app.supervisor.supervisor import Supervisor, start_concurrently

ExchangeProblem = Callable[[], Awaitable[str | None]]
"""Requests the exchange once and returns what is wrong, if anything."""

UNSET_IN_DEMO: Final = (
    "CELERY_BROKER_URL",
    "PROXY_URL",
    "PROXY_USERNAME",
    "PROXY_PASSWORD",
    "ALERT_WEBHOOK_URL",
)
"""Settings of servers that the demo must never reach."""


def run(
    output: TerminalOutput, exchange_problem: ExchangeProblem, program: Sequence[str] = APP_COMMAND
) -> None:
    """Run everything against the real exchange until a signal ends it.

    Raises:
        SettingsError: a setting makes no sense here, or the machine lacks a server.
        CannotStart: something can't start; everything was stopped again.
    """
    data_dir = _load_known(**_unset(SERVER_SETTINGS)).data_dir.resolve()
    # locking removes a stale servers.env, before the settings are read
    with locked_data_dir(data_dir) as lock:
        settings = load_settings()
        environment = _environment(settings, data_dir, output)
        stack = Stack(
            settings, data_dir, output, environment, program, exchange_problem=exchange_problem
        )
        asyncio.run(stack.run(lock))


def demo(
    output: TerminalOutput, program: Sequence[str] = APP_COMMAND, seed: Sequence[str] = SEED_COMMAND
) -> None:
    """Run everything against the simulated exchange until a signal ends it.

    Raises:
        SettingsError: a setting makes no sense here, or the machine lacks a server.
        CannotStart: something can't start; everything was stopped again.
    """
    unset = _unset((*SERVER_SETTINGS, *UNSET_IN_DEMO))
    placeholder = exchange_url(free_port())  # the real port is known once the directory is
    data_dir = _load_known(**unset, deribit_base_url=placeholder).data_dir.resolve() / "demo"
    with locked_data_dir(data_dir) as lock:
        port = load_or_choose_port(data_dir / "exchange.port")
        settings = load_settings(**unset, deribit_base_url=exchange_url(port), data_dir=data_dir)
        environment = {
            **_environment(settings, data_dir, output),
            **dict.fromkeys(UNSET_IN_DEMO, ""),
            "DERIBIT_BASE_URL": exchange_url(port),
            "DATA_DIR": str(data_dir),
        }
        exchange = exchange_spec(settings, port, program)
        stack = Stack(
            settings, data_dir, output, environment, program, exchange=exchange, seed=seed
        )
        asyncio.run(stack.run(lock))


@dataclass(frozen=True, slots=True)
class Stack:
    """The processes of one data directory, started in the order of their dependencies."""

    settings: Settings
    data_dir: Path
    output: TerminalOutput
    environment: Mapping[str, str]
    program: Sequence[str]
    exchange: ProcessSpec | None = None
    seed: Sequence[str] = ()
    exchange_problem: ExchangeProblem | None = None

    async def run(self, lock: int) -> None:
        """Start everything and keep it running until a signal comes."""
        supervisor = Supervisor(self.output, inherited_fds=(lock,))
        await supervisor.run_until_signal(lambda: self._start(supervisor))

    async def _start(self, supervisor: Supervisor) -> None:
        self.output.write_message(
            f"Deribit price collector {__version__}, its data in {self.data_dir}"
        )
        self.output.write_message("Starting the servers …")
        embedded = await prepare_servers(self.data_dir, self._unset_servers())
        specs = ServiceSpecs(
            self.settings, self.data_dir, {**self.environment, **embedded.urls}, self.program
        )
        await self._start_servers(supervisor, embedded, specs)
        write_server_urls(self.data_dir, {**embedded.urls, **self._exchange_url()})
        self.output.write_message("Starting the API, the worker and beat …")
        await start_concurrently(*map(supervisor.start, specs.services()))
        self._announce(specs)
        await self._report_exchange()

    def _unset_servers(self) -> list[str]:
        """Name the settings of the servers that the user left to us."""
        return [name for name in SERVER_SETTINGS if getattr(self.settings, name.lower()) is None]

    def _exchange_url(self) -> dict[str, str]:
        """Return the demo's exchange for other commands, which would use the real one otherwise."""
        return {"DERIBIT_BASE_URL": self.settings.deribit_base_url} if self.exchange else {}

    async def _start_servers(
        self, supervisor: Supervisor, embedded: EmbeddedServers, specs: ServiceSpecs
    ) -> None:
        """Start the servers, and run the migration as soon as the database is ready."""
        servers = dict(embedded.specs)
        database = servers.pop(DATABASE_URL, None)

        async def prepare_database() -> None:
            if database is not None:
                await supervisor.start(database)
            await supervisor.run(specs.migration())
            if self.seed:
                await supervisor.run(specs.seed(self.seed, embedded.database_url))

        others = [*servers.values(), *([self.exchange] if self.exchange else [])]
        await start_concurrently(prepare_database(), *map(supervisor.start, others))

    def _announce(self, specs: ServiceSpecs) -> None:
        key = "as set in API_KEYS" if self.settings.api_keys else self._shown_key()
        lines = {
            "API": f"{specs.base_url}/api/v1",
            "Swagger UI": f"{specs.base_url}/docs",
            "API key": f"{key} (header X-API-Key)",
            "Data": str(self.data_dir),
            "To stop": "Ctrl-C",
        }
        self.output.write_message("Everything runs.")
        for name, value in lines.items():
            self.output.write_message(f"  {name:<11}{value}")

    def _shown_key(self) -> str:
        key = api_key(self.data_dir)
        return f"in {self.data_dir / KEY_FILE}" if self.output.hides_secrets else key

    async def _report_exchange(self) -> None:
        if self.exchange_problem is None:
            return
        if problem := await self.exchange_problem():
            self.output.write_message(
                f"The exchange can't be reached ({problem}). The collector keeps trying; "
                "`make demo` shows everything with a stand-in exchange."
            )


def _load_known(**overrides: object) -> Settings:
    settings = load_settings(**overrides)
    require_known_exchanges(settings)
    return settings


def _environment(settings: Settings, data_dir: Path, output: TerminalOutput) -> dict[str, str]:
    """Return the variables that every child gets beside the inherited ones."""
    environment = {"API_PORT": str(_api_port(settings)), "PYTHONUNBUFFERED": "1"}
    if not settings.api_keys:
        environment["API_KEYS"] = api_key(data_dir)
    if output.is_interactive and settings.log_format is None:
        environment["LOG_FORMAT"] = "console"
    return environment


def _api_port(settings: Settings) -> int:
    port = settings.api_port or free_port()
    if reason := listen_error(port, settings.api_host):
        raise SettingsError(f"API_PORT={port}: {settings.api_host}:{port} is not free ({reason})")
    return port


def _unset(names: Iterable[str]) -> dict[str, None]:
    return dict.fromkeys(name.lower() for name in names)

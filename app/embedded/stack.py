"""`run` and `demo`: the real thing with nothing installed, as one tree of supervised processes."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app import __version__
from app.core.errors import SettingsError
from app.core.settings import Settings, load_settings
from app.embedded.data_dir import KEY_FILE, api_key, owned, tell_servers
from app.embedded.servers import DATABASE_URL, EMBEDDED, Embedded, embed
from app.supervisor.output import Terminal
from app.supervisor.ports import free_port, kept_port, why_taken
from app.supervisor.process_specs import PROGRAM, SEED, Services, exchange, exchange_url
from app.supervisor.processes import ProcessSpec
from app.supervisor.supervisor import Supervisor, together

ExchangeProblem = Callable[[], Awaitable[str | None]]
"""Asks the exchange once and says in words what is wrong, if anything."""

ELSEWHERE: Final = (
    "CELERY_BROKER_URL",
    "DATABASE_REPLICA_URL",
    "PROXY_URL",
    "PROXY_USERNAME",
    "PROXY_PASSWORD",
    "ALERT_WEBHOOK_URL",
)
"""Settings that name servers which the demo must never touch."""


def run(
    terminal: Terminal, exchange_problem: ExchangeProblem, program: Sequence[str] = PROGRAM
) -> None:
    """Run everything against the real exchange until a signal ends it.

    Raises:
        SettingsError: a setting makes no sense here, or the machine lacks a server.
        CannotStart: something can't start; everything was ended again.
    """
    home = load_settings(**_unset(EMBEDDED)).data_dir.resolve()
    with owned(home) as lock:  # this removes a stale servers.env before the settings are read
        settings = load_settings()
        environment = _environment(settings, home, terminal)
        stack = Stack(
            settings, home, terminal, environment, program, exchange_problem=exchange_problem
        )
        asyncio.run(stack.keep(lock))


def demo(terminal: Terminal, program: Sequence[str] = PROGRAM, seed: Sequence[str] = SEED) -> None:
    """Run everything against the stand-in exchange until a signal ends it.

    Raises:
        SettingsError: a setting makes no sense here, or the machine lacks a server.
        CannotStart: something can't start; everything was ended again.
    """
    unset = _unset((*EMBEDDED, *ELSEWHERE))
    anywhere = exchange_url(free_port())  # the real port is known once the folder is
    home = load_settings(**unset, deribit_base_url=anywhere).data_dir.resolve() / "demo"
    with owned(home) as lock:
        port = kept_port(home / "exchange.port")
        settings = load_settings(**unset, deribit_base_url=exchange_url(port), data_dir=home)
        environment = {
            **_environment(settings, home, terminal),
            **dict.fromkeys(ELSEWHERE, ""),
            "DERIBIT_BASE_URL": exchange_url(port),
            "DATA_DIR": str(home),
        }
        stand_in = exchange(settings, port, program)
        stack = Stack(settings, home, terminal, environment, program, stand_in=stand_in, seed=seed)
        asyncio.run(stack.keep(lock))


@dataclass(frozen=True, slots=True)
class Stack:
    """The processes of one folder, in the order in which they need one another."""

    settings: Settings
    home: Path
    terminal: Terminal
    environment: Mapping[str, str]
    program: Sequence[str]
    stand_in: ProcessSpec | None = None
    seed: Sequence[str] = ()
    exchange_problem: ExchangeProblem | None = None

    async def keep(self, lock: int) -> None:
        """Start everything and keep it running until a signal ends it."""
        supervisor = Supervisor(self.terminal, keeps_open=(lock,))
        await supervisor.run_until_signal(lambda: self._start(supervisor))

    async def _start(self, supervisor: Supervisor) -> None:
        self.terminal.note(f"Deribit price collector {__version__}, its data in {self.home}")
        self.terminal.note("Starting the servers …")
        embedded = await embed(self.home, self._embedded())
        services = Services(
            self.settings, self.home, {**self.environment, **embedded.urls}, self.program
        )
        await self._start_servers(supervisor, embedded, services)
        tell_servers(self.home, {**embedded.urls, **self._stand_in_url()})
        self.terminal.note("Starting the API, the worker and beat …")
        await together(*map(supervisor.start, services.children()))
        self._announce(services)
        await self._report_exchange()

    def _embedded(self) -> list[str]:
        """Name the servers that the user did not set."""
        return [name for name in EMBEDDED if getattr(self.settings, name.lower()) is None]

    def _stand_in_url(self) -> dict[str, str]:
        """Give other commands beside a demo its exchange, or they would ask the real one."""
        return {"DERIBIT_BASE_URL": self.settings.deribit_base_url} if self.stand_in else {}

    async def _start_servers(
        self, supervisor: Supervisor, embedded: Embedded, services: Services
    ) -> None:
        """Start what the services need, the migration as soon as its database is there."""
        children = dict(embedded.children)
        database = children.pop(DATABASE_URL, None)

        async def prepare_database() -> None:
            if database is not None:
                await supervisor.start(database)
            await supervisor.run(services.migrate())
            if self.seed:
                await supervisor.run(services.seed(self.seed, embedded.database_url))

        others = [*children.values(), *([self.stand_in] if self.stand_in else [])]
        await together(prepare_database(), *map(supervisor.start, others))

    def _announce(self, services: Services) -> None:
        key = "as set in API_KEYS" if self.settings.api_keys else self._shown_key()
        lines = {
            "API": f"{services.base_url}/api/v1",
            "Swagger UI": f"{services.base_url}/docs",
            "API key": f"{key} (header X-API-Key)",
            "Data": str(self.home),
            "To stop": "Ctrl-C",
        }
        self.terminal.note("Everything runs.")
        for name, value in lines.items():
            self.terminal.note(f"  {name:<11}{value}")

    def _shown_key(self) -> str:
        key = api_key(self.home)
        return f"in {self.home / KEY_FILE}" if self.terminal.hides_secrets else key

    async def _report_exchange(self) -> None:
        if self.exchange_problem is None:
            return
        if problem := await self.exchange_problem():
            self.terminal.note(
                f"The exchange can't be reached ({problem}). The collector keeps trying; "
                "`make demo` shows everything with a stand-in exchange."
            )


def _environment(settings: Settings, home: Path, terminal: Terminal) -> dict[str, str]:
    """Return what every child is told beyond what it inherits."""
    environment = {"API_PORT": str(_api_port(settings)), "PYTHONUNBUFFERED": "1"}
    if not settings.api_keys:
        environment["API_KEYS"] = api_key(home)
    if terminal.interactive and settings.log_format is None:
        environment["LOG_FORMAT"] = "console"
    return environment


def _api_port(settings: Settings) -> int:
    port = settings.api_port or free_port()
    if reason := why_taken(port, settings.api_host):
        raise SettingsError(f"API_PORT={port}: {settings.api_host}:{port} is not free ({reason})")
    return port


def _unset(names: Iterable[str]) -> dict[str, None]:
    return dict.fromkeys(name.lower() for name in names)

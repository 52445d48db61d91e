"""The stacks of `run` and `demo`: every process of the service, supervised on one machine."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from app import __version__
from app.clients import require_known_exchanges
from app.core.errors import AppError, SettingsError
from app.core.exit_messages import final_message
from app.core.raw_settings import misspelled_settings, raw_log_format
from app.core.settings import Settings, load_settings
from app.embedded.data_dir import (
    KEY_FILE,
    load_or_create_api_key,
    locked_data_dir,
    write_server_urls,
)
from app.embedded.servers import DATABASE_URL, SERVER_SETTINGS, EmbeddedServers, prepare_servers
from app.supervisor.child_process import CannotStart, ProcessSpec
from app.supervisor.output import JsonOutput, TerminalOutput
from app.supervisor.ports import free_port, listen_error, load_or_choose_port
from app.supervisor.service_specs import ServiceSpecs, exchange_spec, exchange_url
from app.supervisor.supervisor import Supervisor, start_concurrently

UNSET_IN_DEMO: Final = (
    "CELERY_BROKER_URL",
    "PROXY_URL",
    "PROXY_USERNAME",
    "PROXY_PASSWORD",
    "ALERT_WEBHOOK_URL",
)
"""Settings of servers that the demo must never reach."""


def run(output: TerminalOutput) -> None:
    """Run everything against the real exchange until a signal ends it.

    Raises:
        SettingsError: a setting makes no sense here, or the machine lacks a server.
        CannotStart: something can't start; everything was stopped again.
    """
    data_dir = _load_known(**_unset(SERVER_SETTINGS)).data_dir.resolve()
    # locking removes a stale servers.env, before the settings are read
    with locked_data_dir(data_dir) as lock:
        settings = load_settings()
        environment = _prepare_environment(settings, data_dir, output)
        specs = ServiceSpecs(settings, data_dir, environment)
        asyncio.run(Stack(specs, output).run(lock))


def demo(output: TerminalOutput) -> None:
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
            **_prepare_environment(settings, data_dir, output),
            **dict.fromkeys(UNSET_IN_DEMO, ""),
            "DERIBIT_BASE_URL": exchange_url(port),
            "DATA_DIR": str(data_dir),
        }
        specs = ServiceSpecs(settings, data_dir, environment)
        asyncio.run(Stack(specs, output, exchange_spec(settings, port)).run(lock))


def run_or_exit(run_stack: Callable[[TerminalOutput], None]) -> None:
    """Run a stack until a signal ends it; exit with one line if it can't start."""
    with JsonOutput() if raw_log_format() == "json" else TerminalOutput() as output:
        for name, meant in misspelled_settings().items():
            output.write_message(f"{name} is no setting and is ignored; {meant} is one")
        try:
            run_stack(output)
        except (AppError, CannotStart) as error:
            sys.exit(final_message(str(error)))
        except OSError as error:
            sys.exit(final_message(f"DATA_DIR can't be used: {error}"))


@dataclass(frozen=True, slots=True)
class Stack:
    """The processes of one data directory, started in the order of their dependencies."""

    specs: ServiceSpecs  # without the addresses of the embedded servers
    output: TerminalOutput
    exchange: ProcessSpec | None = None  # the simulated one, of the demo

    async def run(self, lock: int) -> None:
        """Start everything and keep it running until a signal comes."""
        supervisor = Supervisor(self.output, inherited_fds=(lock,))
        await supervisor.run_until_signal(lambda: self._start(supervisor))

    async def _start(self, supervisor: Supervisor) -> None:
        settings, data_dir = self.specs.settings, self.specs.directory
        self.output.write_message(f"Deribit price collector {__version__}, its data in {data_dir}")
        self.output.write_message("Starting the servers …")
        unset = [name for name in SERVER_SETTINGS if getattr(settings, name.lower()) is None]
        embedded = await prepare_servers(data_dir, unset)
        specs = replace(self.specs, env={**self.specs.env, **embedded.urls})
        await self._start_servers(supervisor, embedded, specs)
        # other commands would use the real exchange beside the demo's prices
        exchange = {"DERIBIT_BASE_URL": settings.deribit_base_url} if self.exchange else {}
        write_server_urls(data_dir, {**embedded.urls, **exchange})
        self.output.write_message("Starting the API, the worker and beat …")
        await start_concurrently(*map(supervisor.start, specs.services()))
        self._announce()
        if self.exchange is None and (problem := await exchange_problem()):
            self.output.write_message(
                f"The exchange can't be reached ({problem}). The collector keeps trying; "
                "`make demo` shows everything with a stand-in exchange."
            )

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
            if self.exchange is not None:
                await supervisor.run(specs.seed(embedded.database_url))

        others = [*servers.values(), *([self.exchange] if self.exchange else [])]
        await start_concurrently(prepare_database(), *map(supervisor.start, others))

    def _announce(self) -> None:
        data_dir = self.specs.directory
        if self.specs.settings.api_keys:
            key = "as set in API_KEYS"
        elif self.output.hides_secrets:
            key = f"in {data_dir / KEY_FILE}"
        else:
            key = load_or_create_api_key(data_dir)
        lines = {
            "Dashboard": f"{self.specs.base_url}/",
            "API": f"{self.specs.base_url}/api/v1",
            "Swagger UI": f"{self.specs.base_url}/docs",
            "API key": f"{key} (header X-API-Key)",
            "Data": str(data_dir),
            "To stop": "Ctrl-C",
        }
        self.output.write_message("Everything runs.")
        for name, value in lines.items():
            self.output.write_message(f"  {name:<11}{value}")


async def exchange_problem() -> str:
    """Request the exchange once, in a process of its own; return why it can't be reached."""
    check = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.cli.exchange_check"), stdout=PIPE, stderr=DEVNULL
    )
    try:
        answer, _ = await check.communicate()
    finally:
        if check.returncode is None:
            check.kill()
    if check.returncode and not answer:
        return "it could not be asked: python -m app.cli.exchange_check tells why"
    return answer.decode().strip()


def _load_known(**overrides: object) -> Settings:
    settings = load_settings(**overrides)
    require_known_exchanges(settings)
    return settings


def _prepare_environment(
    settings: Settings, data_dir: Path, output: TerminalOutput
) -> dict[str, str]:
    """Return the variables that every child gets beside the inherited ones."""
    port = settings.api_port or free_port()
    if reason := listen_error(port, settings.api_host):
        raise SettingsError(f"API_PORT={port}: {settings.api_host}:{port} is not free ({reason})")
    environment = {"API_PORT": str(port), "PYTHONUNBUFFERED": "1"}
    if not settings.api_keys:
        environment["API_KEYS"] = load_or_create_api_key(data_dir)
    if output.is_interactive and settings.log_format is None:
        environment["LOG_FORMAT"] = "console"
    return environment


def _unset(names: Iterable[str]) -> dict[str, None]:
    return dict.fromkeys(name.lower() for name in names)

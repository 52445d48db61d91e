"""One supervised service, as `--watched` runs it: in a container, or as a unit of systemd."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import structlog

from app import __version__
from app.core.background_loops import run_repeatedly
from app.core.logs import configure_logs
from app.core.settings import Settings
from app.supervisor.child_process import ProcessSpec
from app.supervisor.output import Output, TerminalOutput, add_service_or_wrap
from app.supervisor.ports import free_port
from app.supervisor.service_specs import ServiceSpecs
from app.supervisor.supervisor import Supervisor

_INIT: Final = 1
_READY_SECONDS: Final = 60.0
STOP_TIMEOUT_SECONDS: Final = 20.0  # a tick may be under way
_REAP_SECONDS: Final = 1.0

log = structlog.get_logger(__name__)


class PassThroughOutput(TerminalOutput):
    """Writes the child's lines unchanged, and logs the supervisor's messages."""

    def __init__(self, log_format: str | None) -> None:
        super().__init__()
        self._writes_json = not self.is_interactive if log_format is None else log_format == "json"

    def write_line(self, name: str, text: str) -> None:
        """Write a line of the child; where the log is JSON, any other text as an event."""
        if not self._writes_json:
            self._enqueue(text)
        elif text.strip():
            self._enqueue(text if text.startswith("{") else add_service_or_wrap(name, text))

    def write_message(self, text: str) -> None:
        """Log a message of the supervisor."""
        log.warning("service_lost", detail=text)


def run_supervised(settings: Settings, name: str) -> None:
    """Run a service until a signal ends it, and start it again whenever it dies or hangs.

    The first start must succeed: a container that never worked has to end, and its restart policy
    tries again. Later restarts happen here, which is faster.

    Raises:
        CannotStart: it ended before it was ready, or was not ready in time.
    """
    configure_logs(settings.log_level, settings.log_format)
    log.info("supervisor_started", service=name, version=__version__)
    with PassThroughOutput(settings.log_format) as output, _heartbeat_file(settings) as file:
        asyncio.run(_run(service_spec(settings, name, file), output))


def service_spec(settings: Settings, name: str, heartbeat_file: Path) -> ProcessSpec:
    """Specify a service as `make run` does, with a container's longer timeouts."""
    port = settings.api_port or free_port()
    specs = ServiceSpecs(settings, heartbeat_file.parent, {"API_PORT": str(port)})
    spec = specs.api() if name == "api" else specs.with_heartbeat(name, heartbeat_file)
    return replace(
        spec,
        ready_probe=spec.liveness_probe,  # without the broker the API serves what is stored
        ready_timeout_seconds=_READY_SECONDS,
        stop_timeout_seconds=STOP_TIMEOUT_SECONDS,
    )


def reap_zombies(child_pid: int | None) -> None:
    """Reap the ended processes that were left to process 1; asyncio reaps the child itself."""
    with suppress(ChildProcessError):
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid == child_pid:
                return
            os.waitpid(ended.si_pid, 0)


async def _run(spec: ProcessSpec, output: Output) -> None:
    supervisor = Supervisor(output)

    async def reap() -> None:
        await asyncio.sleep(_REAP_SECONDS)
        reap_zombies(supervisor.pid(spec.name))

    reaping = asyncio.create_task(
        run_repeatedly("orphans", reap, while_=lambda: os.getpid() == _INIT)
    )
    await supervisor.run_until_signal(lambda: supervisor.start(spec))
    reaping.cancel()


@contextmanager
def _heartbeat_file(settings: Settings) -> Iterator[Path]:
    """Yield the heartbeat file that is set, else one in a temporary directory."""
    if settings.heartbeat_file is not None:
        yield settings.heartbeat_file
        return
    with TemporaryDirectory(prefix="prices-") as directory:
        yield Path(directory) / "heartbeat"

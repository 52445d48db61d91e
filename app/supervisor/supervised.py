"""One service under watch, as process 1 of a container keeps it: what hangs is dead."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import structlog

from app import __version__
from app.core.background import run_repeatedly
from app.core.logs import configure_logs
from app.core.settings import Settings
from app.supervisor.output import Output, Terminal, as_event
from app.supervisor.ports import free_port
from app.supervisor.probes import Heartbeat
from app.supervisor.process_specs import PROGRAM, Services
from app.supervisor.processes import ProcessSpec
from app.supervisor.supervisor import Supervisor

_INIT: Final = 1
_READY_SECONDS: Final = 60.0
GRACE_SECONDS: Final = 20.0  # a tick may be under way
_REAP_SECONDS: Final = 1.0

log = structlog.get_logger(__name__)


class PassedOn(Terminal):
    """The child's lines as they are; the supervisor's own are events of the log."""

    def __init__(self, log_format: str | None) -> None:
        super().__init__()
        self._writes_json = not self.interactive if log_format is None else log_format == "json"

    def line(self, name: str, text: str) -> None:
        """Hand on a line that the child wrote; where the log is JSON, any text as an event."""
        if not self._writes_json:
            self._put(text)
        elif text.strip():
            self._put(text if text.startswith("{") else as_event(name, text))

    def note(self, text: str) -> None:
        """Log what the supervisor did."""
        log.warning("service_lost", detail=text)


def keep(settings: Settings, name: str, program: Sequence[str] = PROGRAM) -> None:
    """Run a service until a signal ends it, and start it again whenever it dies or hangs.

    Its first start must succeed, or it ends: a container that never worked is to be seen as such,
    and its restart policy tries again. From then on a restart from here is the quicker one.

    Raises:
        CannotStart: it ended before it was ready, or was not ready in time.
    """
    configure_logs(settings.log_level, settings.log_format)
    log.info("supervisor_started", service=name, version=__version__)
    with PassedOn(settings.log_format) as output, _heartbeat_file(settings) as file:
        asyncio.run(_keep(describe(settings, name, file, program), output))


def describe(
    settings: Settings, name: str, heartbeat_file: Path, program: Sequence[str] = PROGRAM
) -> ProcessSpec:
    """Describe a service as `make run` does, with the patience that a container has."""
    port = settings.api_port or free_port()
    services = Services(settings, heartbeat_file.parent, {"API_PORT": str(port)}, program)
    child = next(child for child in services.children() if child.name == name)
    patient = replace(child, ready_seconds=_READY_SECONDS, grace_seconds=GRACE_SECONDS)
    if name == "api":
        return replace(patient, ready=child.alive)  # without the broker it serves what is stored
    heartbeat = Heartbeat(heartbeat_file)
    env = {**child.env, "HEARTBEAT_FILE": str(heartbeat_file)}
    return replace(patient, env=env, ready=heartbeat, alive=heartbeat)


def reap_orphans(child: int | None) -> None:
    """Reap what ended and was left to this process; asyncio waits for the child itself."""
    with suppress(ChildProcessError):
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid == child:
                return
            os.waitpid(ended.si_pid, 0)


async def _keep(child: ProcessSpec, output: Output) -> None:
    supervisor = Supervisor(output)
    reap = partial(_reap, supervisor, child.name)
    reaping = asyncio.create_task(
        run_repeatedly("orphans", reap, while_=lambda: os.getpid() == _INIT)
    )
    try:
        await supervisor.run_until_signal(lambda: supervisor.start(child))
    finally:
        reaping.cancel()


async def _reap(supervisor: Supervisor, name: str) -> None:
    await asyncio.sleep(_REAP_SECONDS)
    reap_orphans(supervisor.pid(name))


@contextmanager
def _heartbeat_file(settings: Settings) -> Iterator[Path]:
    """Name the file of the sign of life, one of this process's own where none is set."""
    if settings.heartbeat_file is not None:
        yield settings.heartbeat_file
        return
    with TemporaryDirectory(prefix="prices-") as directory:
        yield Path(directory) / "heartbeat"

"""Forks Python processes that have the libraries loaded: `tests.preloaded_python` starts it.

Its input is a socket. Each message on it is a `python -m` to run, with the descriptors of the new
process's input, output and errors, and of a socket that is told its number and its exit code.
"""

import gc
import importlib
import json
import os
import runpy
import selectors
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

LIBRARIES = (
    "aiohttp",
    "alembic.command",
    "asyncpg",
    "celery.app.amqp",
    "celery.app.log",
    "celery.apps.beat",
    "celery.apps.worker",
    "celery.backends.redis",
    "celery.bin.celery",
    "celery.concurrency.prefork",
    "celery.fixups.django",
    "celery.worker.components",
    "celery.worker.consumer",
    "celery.worker.strategy",
    "fastapi.openapi.docs",
    "kombu.transport.redis",
    "prometheus_client",
    "pydantic_settings",
    "redis.asyncio",
    "rich.markdown",
    "rich.progress",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.ext.asyncio",
    "structlog",
    "typer.rich_utils",
    "uvicorn",
)
"""Nothing of the application, which reads its settings at import."""
MAX_REQUEST_BYTES = 200_000


@dataclass(slots=True)
class Server:
    """Forks a process per request, and tells of its end."""

    requests: socket.socket
    statuses: dict[int, int] = field(default_factory=dict)
    """The socket to tell, by the descriptor of the process."""

    def run(self) -> dict[str, Any] | None:
        """Serve until the requests end, and give None; or, in each new process, its request."""
        while True:
            with selectors.PollSelector() as selector:  # epoll's would be shared with the forked
                for descriptor in (self.requests.fileno(), *self.statuses):
                    selector.register(descriptor, selectors.EVENT_READ)
                ready = [key.fd for key, _ in selector.select()]
            for descriptor in ready:
                if descriptor in self.statuses:
                    self._report_end(descriptor)
                    continue
                message, descriptors, *_ = socket.recv_fds(self.requests, MAX_REQUEST_BYTES, 4)
                if not message:
                    return None
                if self._fork(descriptors):
                    request: dict[str, Any] = json.loads(message)
                    return request

    def _fork(self, descriptors: list[int]) -> bool:
        """Fork a process, and say whether this is the new one."""
        *standard, status = descriptors
        if pid := os.fork():
            self.statuses[os.pidfd_open(pid)] = status
            for descriptor in standard:
                os.close(descriptor)
            return False
        os.setsid()
        os.write(status, str(os.getpid()).encode())
        for number, descriptor in enumerate(standard):
            os.dup2(descriptor, number)
        self.requests.detach()
        os.closerange(3, max(*descriptors, *self.statuses, *self.statuses.values()) + 1)
        return True

    def _report_end(self, descriptor: int) -> None:
        status = self.statuses.pop(descriptor)
        info = os.waitid(os.P_PIDFD, descriptor, os.WEXITED)
        assert info
        was_killed = info.si_code != os.CLD_EXITED
        with suppress(BrokenPipeError):  # nobody waits for it any more
            os.write(status, str(-info.si_status if was_killed else info.si_status).encode())
        os.close(status)
        os.close(descriptor)


def run_module(command: list[str], env: dict[str, str], cwd: str) -> None:
    """Do what `python -m` does with this environment in this folder."""
    # Python sets it at its start where no locale is given
    locale = {name: value for name, value in os.environ.items() if name == "LC_CTYPE"}
    os.environ.clear()
    os.environ.update(locale | env)
    time.tzset()
    os.chdir(cwd)
    sys.path[:1] = [cwd, *filter(None, env.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv = command
    runpy.run_module(command[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    for library in LIBRARIES:
        importlib.import_module(library)
    gc.freeze()
    request = Server(socket.socket(fileno=0)).run()
    if request is not None:
        run_module(**request)

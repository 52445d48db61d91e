"""The command `healthcheck`, which checks a service of this container."""

import asyncio
import json
from contextlib import closing, suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import typer

from app.cli.exit_codes import ExitCode
from app.cli.options import JsonOption

_RESPONSE_TIMEOUT_SECONDS: Final = 5.0
_HEARTBEAT_TIMEOUT_SECONDS: Final = 5.0


def healthcheck(
    service: Annotated[
        Literal["api", "worker", "beat"], typer.Argument(help="Which service to look at.")
    ] = "api",
    *,
    as_json: JsonOption = False,
) -> None:
    """Tell in one line whether a service works; end with 1 if it does not."""
    from app.core.settings import load_settings
    from app.supervisor.service_specs import ServiceSpecs

    settings = load_settings()
    if service == "api":
        specs = ServiceSpecs(settings, Path(), {"API_PORT": str(settings.api_port)})
        problem = readiness_problem(specs.base_url)
    else:
        problem = asyncio.run(heartbeat_problem(settings.heartbeat_file))
    if as_json:
        status = "failing" if problem else "ok"
        print(json.dumps({"service": service, "status": status, "detail": problem}))
    else:
        print(f"{service}: {problem or 'ok'}")
    if problem:
        raise typer.Exit(ExitCode.FAILED)


def readiness_problem(url: str) -> str:
    """Request an API's readiness; return why it is not ready, else an empty string."""
    parts = urlsplit(url)
    with closing(
        HTTPConnection(parts.hostname or "", parts.port, timeout=_RESPONSE_TIMEOUT_SECONDS)
    ) as http:
        try:
            http.request("GET", "/health/ready")
            response = http.getresponse()
            if response.status == HTTPStatus.OK:
                return ""
            return "; ".join(
                [f"{url} answers {response.status}", *_failing_checks(response.read())]
            )
        except (OSError, HTTPException) as error:
            return f"{url} does not answer ({str(error) or type(error).__name__})"


def _failing_checks(body: bytes) -> list[str]:
    """Return the failing checks of a body; none if another server is listening there."""
    with suppress(ValueError, LookupError, TypeError, AttributeError):
        checks = json.loads(body)["checks"].items()
        return [f"{name}: {check['detail']}" for name, check in checks if check["status"] != "ok"]
    return []


async def heartbeat_problem(heartbeat_file: Path | None) -> str:
    """Wait until the heartbeat file changes; return that it did not, else an empty string.

    The file's time does not matter: a clock may be wrong.
    """
    from app.supervisor.probes import HeartbeatProbe, wait_for_probe

    if heartbeat_file is None:
        return "HEARTBEAT_FILE is not set, so it gives no heartbeat"
    try:
        async with asyncio.timeout(_HEARTBEAT_TIMEOUT_SECONDS):
            await wait_for_probe(HeartbeatProbe(heartbeat_file))
    except TimeoutError:
        return f"gave no heartbeat for {_HEARTBEAT_TIMEOUT_SECONDS:g} s"
    return ""

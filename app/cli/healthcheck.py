"""The command `healthcheck`: whether a service of this container works."""

import asyncio
import json
from contextlib import closing, suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import typer

_ANSWER_SECONDS: Final = 5.0
_SIGN_OF_LIFE_SECONDS: Final = 5.0


def healthcheck(
    service: Annotated[
        Literal["api", "worker", "beat"], typer.Argument(help="Which service to look at.")
    ] = "api",
) -> None:
    """Tell in one line whether a service works; end with 1 if it does not."""
    problem = _api_problem() if service == "api" else _silence()
    print(f"{service}: {problem or 'ok'}")
    if problem:
        raise typer.Exit(1)


def _api_problem() -> str:
    from app.core.settings import load_settings
    from app.supervisor.process_specs import ServiceSpecs

    settings = load_settings()
    services = ServiceSpecs(settings, Path(), {"API_PORT": str(settings.api_port)})
    return ask(services.base_url)


def ask(url: str) -> str:
    """Ask an API whether it is ready; return why it is not, else an empty string."""
    parts = urlsplit(url)
    with closing(HTTPConnection(parts.hostname or "", parts.port, timeout=_ANSWER_SECONDS)) as http:
        try:
            http.request("GET", "/health/ready")
            answer = http.getresponse()
            if answer.status == HTTPStatus.OK:
                return ""
            return "; ".join([f"{url} answers {answer.status}", *_failing(answer.read())])
        except (OSError, HTTPException) as error:
            return f"{url} does not answer ({str(error) or type(error).__name__})"


def _failing(body: bytes) -> list[str]:
    """Tell which checks fail, if the body tells; another server may be listening there."""
    with suppress(ValueError, LookupError, TypeError, AttributeError):
        checks = json.loads(body)["checks"].items()
        return [f"{name}: {check['detail']}" for name, check in checks if check["status"] != "ok"]
    return []


def _silence() -> str:
    from app.core.settings import load_settings

    file = load_settings().heartbeat_file
    if file is None:
        return "HEARTBEAT_FILE is not set, so it gives no sign of life"
    return asyncio.run(why_silent(file))


async def why_silent(heartbeat_file: Path) -> str:
    """Wait for a sign of life; return that there was none, else an empty string.

    Only that the file changes counts: what a clock says may be wrong.
    """
    from app.supervisor.probes import HeartbeatProbe, wait_for_probe

    try:
        async with asyncio.timeout(_SIGN_OF_LIFE_SECONDS):
            await wait_for_probe(HeartbeatProbe(heartbeat_file))
    except TimeoutError:
        return f"gave no sign of life for {_SIGN_OF_LIFE_SECONDS:g} s"
    return ""

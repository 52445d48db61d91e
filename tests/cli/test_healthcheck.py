"""The command `healthcheck`: one line and an exit code."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from typer.testing import CliRunner

from app.cli import cli, healthcheck
from app.supervisor.ports import free_port

OK = {"status": "ok", "detail": "answers"}
AWAY = {"status": "failing", "detail": "the database is away"}


@contextmanager
def health_server(status: int, body: object) -> Iterator[str]:
    """Serve one answer on a port of this machine; yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            payload = json.dumps(body).encode()
            self.send_response(status if self.path == "/health/ready" else 404)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def cli_runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """A command line in an empty folder, where no `.env` is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEARTBEAT_FILE", raising=False)
    monkeypatch.setattr(healthcheck, "_HEARTBEAT_TIMEOUT_SECONDS", 0.2)
    return CliRunner()


def test_an_api_that_is_ready_is_healthy() -> None:
    with health_server(200, {"status": "ok", "checks": {"database": OK}}) as url:
        assert healthcheck.readiness_problem(url) == ""


def test_an_api_that_is_not_ready_says_what_is_missing() -> None:
    checks = {"database": AWAY, "broker": OK}
    with health_server(503, {"status": "failing", "checks": checks}) as url:
        assert (
            healthcheck.readiness_problem(url)
            == f"{url} answers 503; database: the database is away"
        )


@pytest.mark.parametrize("body", [None, [], {}, "text", {"checks": [1]}])
def test_another_server_on_the_port_is_not_healthy(body: object) -> None:
    with health_server(500, body) as url:
        assert healthcheck.readiness_problem(url) == f"{url} answers 500"


def test_an_api_that_is_away_ends_it_with_one_line(
    cli_runner: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = str(free_port())
    monkeypatch.setenv("API_HOST", "0.0.0.0")  # noqa: S104  it is asked on loopback
    monkeypatch.setenv("API_PORT", port)

    result = cli_runner.invoke(cli, ["healthcheck"])

    assert result.exit_code == 1
    start = f"api: http://127.0.0.1:{port} does not answer ("
    assert [line[: len(start)] for line in result.output.splitlines()] == [start]


def test_a_healthy_api_ends_it_with_0(
    cli_runner: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with health_server(200, {}) as url:
        monkeypatch.setenv("API_PORT", url.rpartition(":")[2])
        result = cli_runner.invoke(cli, ["healthcheck", "api"])

    assert (result.exit_code, result.output) == (0, "api: ok\n")


async def test_a_heartbeat_that_goes_on_is_a_sign_of_life(tmp_path: Path) -> None:
    file = tmp_path / "heartbeat"
    checking = asyncio.create_task(healthcheck.heartbeat_problem(file))
    await asyncio.sleep(0.1)
    file.touch()

    assert await checking == ""


@pytest.mark.parametrize("service", ["worker", "beat"])
def test_an_old_heartbeat_is_none(
    cli_runner: CliRunner, service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "heartbeat"
    file.touch()
    monkeypatch.setenv("HEARTBEAT_FILE", str(file))

    result = cli_runner.invoke(cli, ["healthcheck", service])

    expected = f"{service}: gave no heartbeat for 0.2 s\n"
    assert (result.exit_code, result.output) == (1, expected)


def test_without_a_heartbeat_file_it_names_the_setting(cli_runner: CliRunner) -> None:
    result = cli_runner.invoke(cli, ["healthcheck", "worker"])

    assert result.exit_code == 1
    assert result.output.startswith("worker: HEARTBEAT_FILE is not set")


def test_what_is_no_service_is_refused(cli_runner: CliRunner) -> None:
    assert cli_runner.invoke(cli, ["healthcheck", "postgres"]).exit_code == 2

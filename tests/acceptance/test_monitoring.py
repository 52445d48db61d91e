"""The rules and the dashboard, on a real Prometheus that scrapes the running service."""

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from ruamel.yaml import YAML

from app.core.settings import Settings
from app.runtime import Runtime
from tests.acceptance.test_api import is_answering
from tests.api.test_outages import free_port
from tests.processes import PROJECT, Processes
from tests.waiting import until

pytestmark = [
    pytest.mark.accept,
    pytest.mark.skipif(
        not shutil.which("prometheus"), reason="prometheus is missing: apt-get install prometheus"
    ),
]

DEPLOY = PROJECT / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana/dashboards/prices.json").read_text())
TITLES = {
    target["expr"]: panel["title"] for panel in DASHBOARD["panels"] for target in panel["targets"]
}


def _configure_prometheus(directory: Path, api_port: int) -> Path:
    """Write our own configuration for this machine: another target, more scrapes."""
    yaml = YAML()
    config = yaml.load(DEPLOY / "prometheus/prometheus.yml")
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(DEPLOY / "prometheus/alerts.yml")]
    config["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{api_port}"]}]
    del config["alerting"]
    file = directory / "prometheus.yml"
    yaml.dump(config, file)
    return file


async def _get(url: str, **parameters: str) -> Any:  # noqa: ANN401  # JSON
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, params=parameters) as response,
    ):
        answer = await response.json()
    assert answer["status"] == "success", answer
    return answer["data"]


async def _is_up(prometheus: str) -> bool:
    try:
        found = await _get(f"{prometheus}/api/v1/query", query='up{job="prices"} == 1')
    except (aiohttp.ClientError, AssertionError):
        return False
    return bool(found["result"])


@pytest.fixture
async def prometheus(settings: Settings, runtime: Runtime, tmp_path: Path) -> AsyncIterator[str]:
    """The URL of a Prometheus that scrapes a service whose worker collects."""
    api_port, port = free_port(), free_port()
    await runtime.collector.collect()
    url = f"http://127.0.0.1:{port}"
    with Processes(settings.model_copy(update={"api_port": api_port}), tmp_path) as processes:
        processes.start("app", "api")
        processes.worker("--pool=solo")
        processes.beat()
        await until(lambda: is_answering(f"http://127.0.0.1:{api_port}"), 60)
        server = await asyncio.create_subprocess_exec(
            "prometheus",
            f"--config.file={_configure_prometheus(tmp_path, api_port)}",
            f"--storage.tsdb.path={tmp_path / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        )
        try:
            await until(lambda: _is_up(url), 60)
            yield url
        finally:
            server.terminate()
            await server.wait()


def _expressions() -> Iterator[str]:
    """Return the dashboard's expressions as Grafana sends them, with a short range."""
    for expression in TITLES:
        yield re.sub(r"\[\$__rate_interval\]", "[30s]", expression)


async def test_every_panel_shows_something(prometheus: str) -> None:
    """Of the cache only that its expression is valid: nobody reads prices here."""
    for expression in _expressions():

        async def has_values(query: str = expression) -> bool:
            return bool((await _get(f"{prometheus}/api/v1/query", query=query))["result"])

        if not await has_values() and "cache_reads" not in expression:
            await until(has_values, 60)


async def test_every_rule_is_evaluated_without_an_error(prometheus: str) -> None:
    async def are_evaluated() -> bool:
        groups = (await _get(f"{prometheus}/api/v1/rules"))["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert {rule.get("lastError", "") for rule in rules} == {""}
        return bool(rules) and {rule["health"] for rule in rules} == {"ok"}

    await until(are_evaluated, 60)

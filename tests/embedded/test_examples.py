"""Every example of the documentation works in the demo as it opens."""

import asyncio
import json
import re
import signal
import subprocess
import tempfile
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from app.supervisor.ports import free_port
from tests.embedded.test_demo import start_demo
from tests.supervisor.child_programs import PROJECT

LINE = re.compile(r"^curl .*", re.MULTILINE)


def _run_curl(line: str, base: str, key: str, task_id: str) -> Any:  # noqa: ANN401  # JSON
    """Run a line of the README as it stands, and give what came."""
    environment = {"api": f"{base}/api/v1", "key": key, "task_id": task_id}
    line = line.replace("http://127.0.0.1:8000", base).replace("curl ", "curl -s ", 1)
    done = subprocess.run(  # noqa: S603  # a line of our own README
        ["/bin/bash", "-c", line],
        env={**environment, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def _request_status(url: str, method: str, key: str) -> int:
    request = urllib.request.Request(url, method=method, headers={"X-API-Key": key})  # noqa: S310
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  # our own address
        status: int = answer.status
        return status


def _example_parameters(operation: dict[str, Any]) -> list[tuple[str, str]]:
    """Give the parameters as Swagger's form is filled when it opens."""
    filled: list[tuple[str, str]] = []
    for parameter in operation.get("parameters", []):
        for example in list(parameter.get("examples", {}).values())[:1]:
            value = example["value"]
            values = value if isinstance(value, list) else [value]
            filled += [(parameter["name"], str(one)) for one in values]
    return filled


@pytest.mark.accept
async def test_examples_of_the_readme_and_of_swagger_answer_with_data() -> None:
    with tempfile.TemporaryDirectory(prefix="demo-") as name:
        folder, port = Path(name), free_port()
        demo = await start_demo(folder, port)
        try:
            await asyncio.to_thread(
                _check_all_examples, folder / "demo.log", f"http://127.0.0.1:{port}"
            )
        finally:
            demo.send_signal(signal.SIGINT)
            await demo.wait()


def _check_all_examples(log: Path, base: str) -> None:
    printed_key = re.search(r"API key\s+(\S+)", log.read_text())
    assert printed_key is not None
    key, task_id = printed_key[1], ""
    lines = LINE.findall((PROJECT / "README.md").read_text())
    assert len(lines) >= 14
    for line in lines:
        if "-OJ" in line or "-N" in line:
            continue  # a file, or a stream without an end
        answer = _run_curl(line, base, key, task_id)
        task_id = answer.get("task_id", task_id)
        assert answer.get("code", "price_too_old") == "price_too_old", (line, answer)
        assert answer.get("items", [1]), line
    with urllib.request.urlopen(f"{base}/openapi.json") as found:  # noqa: S310  # our own address
        document = json.load(found)
    for path, item in document["paths"].items():
        for method, operation in item.items():
            url = (
                f"{base}{path.format(task_id=task_id)}?{urlencode(_example_parameters(operation))}"
            )
            assert _request_status(url, method.upper(), key) in {200, 202}, url

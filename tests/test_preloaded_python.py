"""A process with the libraries loaded does what any other `python -m` does."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.preloaded_python import PreloadedProcess, PythonProcess, run_python, start_python

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere none is preloaded")
PROGRAMS = {
    "show_surroundings": """
import atexit, json, os, sys
import sibling
atexit.register(print, "at the end")
print(json.dumps({
    "arguments": sys.argv, "environment": dict(os.environ), "folder": os.getcwd(),
    "name": __name__, "path": sys.path[:2], "given": sys.stdin.read(),
    "encoding": sys.stdout.encoding, "is_leader": os.getsid(0) == os.getpid(),
    "descriptors": len(os.listdir("/proc/self/fd")),
    "application": [name for name in sys.modules if name.partition(".")[0] == "app"],
}))
print("an error", file=sys.stderr)
""",
    "sibling": "",
    "fail": "raise ValueError('broken')",
    "leave": "import sys; sys.exit(int(sys.argv[1]))",
    "sleep": "import time; time.sleep(60)",
}
ENVIRONMENT = {"PATH": os.environ["PATH"], "A_SETTING": "ä"}


@pytest.fixture(autouse=True)
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the programs into the test's folder."""
    monkeypatch.setenv("PRELOAD_PYTHON", "1")
    for name, text in PROGRAMS.items():
        (tmp_path / f"{name}.py").write_text(text)


@contextmanager
def sleeping_process(folder: Path, env: Mapping[str, str]) -> Iterator[PythonProcess]:
    with tempfile.TemporaryFile() as output:
        process = start_python("sleep", env=env, cwd=folder, stdout=output, stderr=output)
        try:
            yield process
        finally:
            process.kill()
            process.wait(20)


def test_it_sees_what_any_other_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    env = {**ENVIRONMENT, "PYTHONPATH": str(tmp_path / "elsewhere")}
    command = ("show_surroundings", "one", "--two")
    preloaded = run_python(*command, env=env, cwd=tmp_path)
    monkeypatch.delenv("PRELOAD_PYTHON")
    plain = run_python(*command, env=env, cwd=tmp_path)
    assert (plain.returncode, plain.stderr) == (0, "an error\n")
    shown = [json.loads(one.stdout.splitlines()[0]) for one in (preloaded, plain)]
    assert shown[0] == shown[1]
    assert shown[0]["application"] == []
    assert (preloaded.returncode, preloaded.stderr) == (plain.returncode, plain.stderr)
    assert preloaded.stdout.splitlines()[1:] == plain.stdout.splitlines()[1:] == ["at the end"]


def test_exit_code_and_traceback_are_its_own(tmp_path: Path) -> None:
    assert run_python("leave", "42", env=ENVIRONMENT, cwd=tmp_path).returncode == 42
    failed = run_python("fail", env=ENVIRONMENT, cwd=tmp_path)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1] == "ValueError: broken"


def test_signal_ends_it_and_is_its_exit_code(tmp_path: Path) -> None:
    with sleeping_process(tmp_path, ENVIRONMENT) as process:
        assert isinstance(process, PreloadedProcess)
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0)
        process.terminate()
        assert process.wait(20) == process.poll() == process.returncode == -signal.SIGTERM
        process.terminate()  # of nothing


def test_several_run_beside_one_another(tmp_path: Path) -> None:
    with (
        sleeping_process(tmp_path, ENVIRONMENT) as first,
        sleeping_process(tmp_path, ENVIRONMENT) as second,
    ):
        os.killpg(second.pid, signal.SIGKILL)
        assert second.wait(20) == -signal.SIGKILL
        assert first.poll() is None


def test_process_that_nobody_waits_for_ends_no_other(tmp_path: Path) -> None:
    with sleeping_process(tmp_path, ENVIRONMENT) as kept:
        with tempfile.TemporaryFile() as output:
            start_python("leave", "0", env=ENVIRONMENT, cwd=tmp_path, stdout=output, stderr=output)
        for _ in range(2):
            assert run_python("leave", "0", env=ENVIRONMENT, cwd=tmp_path).returncode == 0
        assert kept.poll() is None


@pytest.mark.parametrize("name", ["COVERAGE_PROCESS_START", "COV_CORE_SOURCE", "LD_PRELOAD"])
def test_what_a_start_reads_gets_a_start_of_its_own(tmp_path: Path, name: str) -> None:
    with sleeping_process(tmp_path, {**ENVIRONMENT, name: ""}) as process:
        assert isinstance(process, subprocess.Popen)

"""The commands `run` and `demo` where they can't start."""

import subprocess
import sys

import pytest

from tests.processes import PROJECT


@pytest.mark.parametrize("command", ["run", "demo"])
def test_data_dir_that_can_not_be_used_is_named_in_one_line(command: str) -> None:
    started = subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-m", "app", command],
        env={"DATA_DIR": "/dev/null/x", "PATH": ""},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert started.returncode == 1
    (line,) = started.stderr.splitlines()
    assert "DATA_DIR" in line
    assert "/dev/null/x" in line


def test_unknown_exchange_is_refused_before_anything_is_made() -> None:
    started = subprocess.run(
        [sys.executable, "-m", "app", "demo"],
        env={"TICKERS": "kraken:btc_usd", "DATA_DIR": "/dev/null/x", "PATH": ""},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert started.returncode == 1
    assert "unknown exchange kraken" in started.stderr

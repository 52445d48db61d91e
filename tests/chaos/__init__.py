"""Faults injected into real processes by real signals; what the record is like afterwards."""

import pytest

pytest.register_assert_rewrite("tests.chaos.scenario", "tests.chaos.stack")

"""Faults injected into real processes by real signals, and an audit of the stored prices after."""

import pytest

pytest.register_assert_rewrite("tests.chaos.scenario", "tests.chaos.stack")

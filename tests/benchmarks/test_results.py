"""A bound says yes or no, and slack loosens ratios alone."""

import pytest

from benchmarks.results import RATIO, Result
from benchmarks.scale import SHORT


@pytest.mark.parametrize(
    ("value", "strictly", "loosely"), [(10.0, True, True), (6.0, False, True), (4.0, False, False)]
)
def test_at_least(value: float, strictly: bool, loosely: bool) -> None:  # noqa: FBT001  # a table
    result = Result("day", value, RATIO, at_least=10)
    assert (result.is_met(1.0), result.is_met(SHORT.slack)) == (strictly, loosely)


def test_counts_are_never_loosened() -> None:
    assert Result("errors", 1, "", at_most=0).is_met(SHORT.slack) is False


def test_figure_without_a_bound_only_informs() -> None:
    assert Result("rows", 1, "/s").is_met(1.0) is None

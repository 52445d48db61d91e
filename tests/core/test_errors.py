"""The error tree: complete, drawn, and each failure with a code of its own."""

import pickle
import re
from collections import Counter
from collections.abc import Iterator
from http import HTTPStatus

import pytest

from app.core import errors
from app.core.errors import AppError, ExchangeError, ParametersInvalid


def tree(root: type[AppError]) -> Iterator[type[AppError]]:
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


EVERY = [kind for kind in tree(AppError) if kind.__module__.startswith(errors.__name__)]


def make(kind: type[AppError]) -> AppError:
    return kind({"limit": "too high"}) if kind is ParametersInvalid else kind("detail")


def test_every_code_is_unique() -> None:
    counts = Counter(kind.code for kind in EVERY)
    assert {code: count for code, count in counts.items() if count > 1} == {}


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_error_has_a_code_a_status_a_title_and_a_docstring(kind: type[AppError]) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code)
    assert HTTPStatus(kind.status) >= HTTPStatus.BAD_REQUEST
    assert kind.title
    assert kind.__doc__


@pytest.mark.parametrize("kind", EVERY[1:], ids=lambda kind: kind.__name__)
def test_error_says_a_code_and_a_title_of_its_own(kind: type[AppError]) -> None:
    assert "code" in vars(kind)
    assert "title" in vars(kind)


def test_tree_is_drawn_as_it_is() -> None:
    drawing = errors.__doc__ or ""
    drawn = {*re.findall(r"\b[A-Z]\w+", " ".join(map(names_of, drawing.splitlines())))}
    assert drawn == {kind.__name__ for kind in EVERY}


def names_of(line: str) -> str:
    """Give the names in a line of the drawing, without the words that explain them."""
    match = re.match(r"[│├└─ ]*((?:[A-Z]\w+(?:, )?)+)", line)
    is_drawn = line.startswith(("├", "└", "│", " ", "AppError"))
    return match[1] if match and is_drawn else ""


@pytest.mark.parametrize(
    "kind", [kind for kind in EVERY if issubclass(kind, ExchangeError)], ids=lambda kind: kind.code
)
def test_exchange_error_is_drawn_below_exchange_error(kind: type[AppError]) -> None:
    drawing = (errors.__doc__ or "").partition("ExchangeError")[2]
    assert kind is ExchangeError or f"── {kind.__name__} " in drawing


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_error_keeps_its_words(kind: type[AppError]) -> None:
    error = make(kind)
    assert str(error) in {"detail", "limit: too high"}


def test_exchange_error_survives_the_way_between_processes() -> None:
    error = errors.ExchangeRateLimited("too many", retry_after_seconds=3)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes
    assert (str(copy), copy.retry_after_seconds) == ("too many", 3)

"""Judging answers by what was committed when: pure, and after the fact."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Commit:
    """A version of a ticker: when its transaction began, and when it was known to be committed."""

    ticker: str
    version: int
    began: float
    at: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What an answer showed of a ticker: its version, and whether all of it was of that version."""

    ticker: str
    version: int
    sent: float
    received: float
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Judgement:
    """How many answers were no single state, or none that ever was; how late the latest was."""

    answers: int
    mixed: int
    invented: int
    worst_lag_seconds: float


class History:
    """The versions of one ticker, ascending from 1."""

    def __init__(self, commits: Sequence[Commit]) -> None:
        self._commits = commits
        self._versions = [commit.version for commit in commits]

    def lag_seconds(self, answer: Answer) -> float:
        """Tell for how long the next version had been committed when the answer was asked for."""
        following = bisect_right(self._versions, answer.version)
        if following == len(self._commits):
            return 0.0
        return max(0.0, answer.sent - self._commits[following].at)

    def knows(self, answer: Answer) -> bool:
        """Tell whether the version could have been seen: it had begun when the answer came."""
        index = bisect_right(self._versions, answer.version) - 1
        if index < 0:
            return answer.version == 0
        commit = self._commits[index]
        return commit.version == answer.version and commit.began <= answer.received


def judge(answers: Sequence[Answer], commits: Sequence[Commit]) -> Judgement:
    """Judge every answer."""
    histories = {
        ticker: History([commit for commit in commits if commit.ticker == ticker])
        for ticker in {commit.ticker for commit in commits}
    }
    whole = [answer for answer in answers if answer.is_whole]
    known = [answer for answer in whole if histories[answer.ticker].knows(answer)]
    return Judgement(
        answers=len(answers),
        mixed=len(answers) - len(whole),
        invented=len(whole) - len(known),
        worst_lag_seconds=max(
            (histories[answer.ticker].lag_seconds(answer) for answer in known), default=0.0
        ),
    )

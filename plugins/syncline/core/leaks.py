"""What an attack on a tenant wall showed, and what many of them prove together.

One crossing is a leak. A family that had to be tried and could not be leaves a doubt, and a doubt is not green: a
check that looked at nothing must not look like one that found nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    REFUSED = "refused"
    CROSSED = "crossed"
    NOT_TRIED = "not tried"


class Wall(StrEnum):
    """What the attacks prove of a target."""

    CLOSED = "closed"
    LEAKS = "leaks"
    UNVERIFIED = "unverified"


@dataclass(frozen=True)
class Attempt:
    """One attack. `said` names tables, rights and SQLSTATE, never a value.

    Attributes:
        leaves_doubt: It was not tried although there is something that it should have been tried on.
    """

    outcome: Outcome
    said: str = ""
    leaves_doubt: bool = False


@dataclass(frozen=True)
class FamilyResult:
    """All attacks of one kind."""

    family: str
    outcome: Outcome
    tried: int
    said: str
    leaves_doubt: bool

    @classmethod
    def of(cls, family: str, attempts: Iterable[Attempt]) -> FamilyResult:
        """The worst of its attempts, with what was said of those that were not simply refused."""
        made = list(attempts)
        outcomes = {attempt.outcome for attempt in made}
        doubt = any(attempt.leaves_doubt for attempt in made)
        worst = next(
            (one for one in (Outcome.CROSSED, Outcome.REFUSED) if one in outcomes), Outcome.NOT_TRIED
        )  # fmt: skip
        told = [attempt for attempt in made if attempt.outcome is worst] if worst is Outcome.CROSSED else made
        said = "; ".join(dict.fromkeys(attempt.said for attempt in told if attempt.said))
        tried = sum(attempt.outcome is not Outcome.NOT_TRIED for attempt in made)
        return cls(family, worst, tried, said or ("" if made else "there is nothing of the kind"), doubt)


@dataclass(frozen=True)
class LeakReport:
    """What `syncline leakcheck` tells about one job.

    Attributes:
        because: Why nothing could be judged; empty where attacks were made.
    """

    job_id: str
    families: tuple[FamilyResult, ...] = ()
    because: str = ""

    @property
    def wall(self) -> Wall:
        if any(family.outcome is Outcome.CROSSED for family in self.families):
            return Wall.LEAKS
        is_proven = any(family.outcome is Outcome.REFUSED for family in self.families)
        if self.because or not is_proven or any(family.leaves_doubt for family in self.families):
            return Wall.UNVERIFIED
        return Wall.CLOSED

    def as_dict(self) -> dict[str, Any]:
        families = [
            {"family": one.family, "outcome": one.outcome.value, "tried": one.tried, "said": one.said}
            for one in self.families
        ]
        return {"job": self.job_id, "wall": self.wall.value, "because": self.because, "families": families}

"""What items are ranked for."""

from dataclasses import dataclass
from datetime import datetime

from ...models.records import Language, Profile, Scenario
from .history import History


@dataclass(frozen=True)
class Query:
    """What items are ranked for: a user's history and profile, and the words asked for, if any."""

    history: History
    profile: Profile
    request: str = ""
    scenario: Scenario = "shop"
    now: datetime | None = None

    @property
    def language(self) -> Language:
        """The language of the profile."""
        return self.profile.language

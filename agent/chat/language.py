"""The language of a conversation."""

from ...models.records import Language
from ...models.text import language_of
from ..recommender import Recommender

_RECENT = 50


def chat_language(recommender: Recommender, user: str) -> Language:
    """The language of the settings; else of the user's latest items and queries; else of the catalogue."""
    if recommender.settings.language != "auto":
        return recommender.settings.language
    events = recommender.memory.recent(user, _RECENT)
    ids = [event.item for event in events if event.item] or recommender.catalogue.ids(_RECENT)
    titles = [item.title for item in recommender.catalogue.get(ids)]
    return language_of([*titles, *(event.query or "" for event in events)])

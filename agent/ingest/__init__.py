"""Items and events from files and Python values, and keywords that the model writes about items.

In: JSONL and CSV files, dictionaries, the catalogue. Out: validated items and events with stable ids, the
problems of lines that cannot be used, enrichments in the catalogue.
May import: models, prompts, vectorstore, agent.settings, agent.store.
"""

from .enrichment import Enriched, Enricher
from .files import read_events, read_items
from .rows import EventBuilder, build_events, event_id

__all__ = ["Enriched", "Enricher", "EventBuilder", "build_events", "event_id", "read_events", "read_items"]

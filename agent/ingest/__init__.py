"""Room."""

from .enrichment import Enriched, Enricher
from .events import EventBuilder, build_events, event_id
from .files import read_events, read_items

__all__ = ["Enriched", "Enricher", "EventBuilder", "build_events", "event_id", "read_events", "read_items"]

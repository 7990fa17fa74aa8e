"""The catalogue: items in SQL as the source of truth, their vectors in ChromaDB, their words for search.

In: items, enrichments, texts and vectors to search for, filters, users' histories. Out: items and their
ids with cosine similarities or BM25 scores; co-engagement signals; the SQL database of a home.
May import: models.
"""

from .catalogue import Catalogue, UpsertResult
from .database import METADATA, create_tables, memory_database, open_database, private_folder
from .engagement import Engagement
from .facets import Facets, NumberFacet
from .filters import compile_where
from .indexing import Progress
from .items import ItemRows, chunks
from .lexical import tokens

__all__ = [
    "Catalogue",
    "Engagement",
    "Facets",
    "ItemRows",
    "METADATA",
    "NumberFacet",
    "Progress",
    "UpsertResult",
    "chunks",
    "compile_where",
    "create_tables",
    "memory_database",
    "open_database",
    "private_folder",
    "tokens",
]

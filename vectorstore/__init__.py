"""The catalogue: items as the source of truth, their vectors in ChromaDB, their words for search."""

from .catalogue import Catalogue, UpsertResult
from .database import METADATA, open_database
from .filters import compile_where

__all__ = ["METADATA", "Catalogue", "UpsertResult", "compile_where", "open_database"]

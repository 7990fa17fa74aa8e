"""Room."""

from .writing import environment, load_run, page_name, write_index, write_report

__all__ = ["environment", "load_run", "page_name", "write_index", "write_report"]

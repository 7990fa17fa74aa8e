"""Room."""

from .footprint import footprint
from .llama import Batch, Context, log_sum_exp
from .llama_model import LlamaModel
from .opening import forget_prefixes, open_model

__all__ = ["Batch", "Context", "LlamaModel", "footprint", "forget_prefixes", "log_sum_exp", "open_model"]

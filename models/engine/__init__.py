"""llama.cpp in this process: opening a GGUF file, generation, scoring, grammars, KV cache reuse.

In: a GGUF file, `EngineSettings`, prompts, JSON schemas and regular expressions. Out: `LlamaModel`, a
`LanguageModel` that any thread may call; what a model costs in memory; whether it runs on this machine.
The only room that calls into llama.cpp: what would end the process there is an error here.
May import: models, models.weights.
"""

from .context import Batch, Context, log_sum_exp
from .llama_model import LlamaModel
from .memory_use import footprint
from .model_check import ModelCheck, ModelChecker
from .opening import forget_prefixes, open_model

__all__ = [
    "Batch",
    "Context",
    "LlamaModel",
    "ModelCheck",
    "ModelChecker",
    "footprint",
    "forget_prefixes",
    "log_sum_exp",
    "open_model",
]

"""Speed: the engine beside llama-cpp-python and bare llama.cpp, and searches of large catalogues.

In: a GGUF file, or sizes of catalogues. Out: rows of medians, ratios and targets.
May import: agent, models, evaluation.data.
"""

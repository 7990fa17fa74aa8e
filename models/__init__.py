"""Records, errors, the `LanguageModel` and `Embedder` protocols, and the engine that implements the first.

In: GGUF files, prompts, texts. Out: texts, probabilities, vectors, and the records that every other package speaks in.
Import the modules, not this package, so that what is not used is not loaded; the rooms `engine`, `weights` and
`langchain` have doors of their own. May import: nothing of Tanqu.
"""

"""Hand-written dialogues held with the chat, and what it did in each turn.

In: dialogues, a language model or none. Out: figures with intervals, a result per turn.
May import: agent, evaluation.data, evaluation.metrics.
"""

"""Explanations: the checker on planted errors, exact counterfactuals, faithfulness.

In: hand-written sentences and samples, a language model or none. Out: figures with intervals.
May import: agent, evaluation.data, evaluation.metrics.
"""

"""User profiles: worth for ranking, evidence, calibration, cost, beside a single prompt.

In: a folder in RecBole's format, a language model or none. Out: figures with intervals.
May import: agent, evaluation.data, evaluation.metrics.
"""

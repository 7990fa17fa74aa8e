"""Next-item ranking: the recommender beside baselines on a `RankingProtocol`.

In: a protocol, weights, a language model or none. Out: metrics per user with intervals and tests, as JSON
or a page.
May import: agent, evaluation.data, evaluation.metrics.
"""

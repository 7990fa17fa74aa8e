"""Data sets as records, leave-one-out protocols, hand-made samples, synthetic catalogues.

In: files in RecBole's format, seeds. Out: items, events, `RankingProtocol`.
May import: models, agent.ingest, agent.ranking.
"""

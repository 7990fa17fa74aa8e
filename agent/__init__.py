"""The recommender: pipeline, chat, reports and command line, a room for each capability.

In: items, events, a user's request. Out: a `Run`, whose way is `pipeline.py`, and what is made from it.
May import: models, prompts, vectorstore. Which room may import which is a table in tests/test_layout.py.
"""

"""The recommender: the pipeline, its stages, memory, chat, reports, CLI."""

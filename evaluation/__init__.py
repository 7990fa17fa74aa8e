"""Data sets, protocols, metrics, baselines and the benchmark."""

"""Mixtures: several runs made one, with what stands in more than one corpus found and every row accounted for.

`mix.py` is the order; a run's keys.parquet says what is compared, its JSONL is read once.
"""

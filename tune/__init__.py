"""Fine-tuning on curated runs; it reads a run folder's files and nothing else of `curate`."""

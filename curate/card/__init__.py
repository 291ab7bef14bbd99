"""The data card: measured while the run is written, drawn from card.json and nothing else."""

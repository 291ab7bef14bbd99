"""What several steps and readers know about Chinese text."""

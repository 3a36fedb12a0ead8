"""Which files are followed, where each continues, and what is kept and remembered of it."""

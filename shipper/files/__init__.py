"""Which files are followed, where each goes on, and what is kept and remembered of it."""

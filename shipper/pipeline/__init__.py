"""From files to batches: who is read next, what goes into one request, how much is held."""

"""Dead letters in the hands of people."""

"""What is done to documents on their way: Filebeat's processors. `plan` says what is done once for
an input and what for each event, `documents` does the latter, and `chain` has the processors."""

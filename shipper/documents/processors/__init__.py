"""Filebeat's processors. `plan` decides which run once for an input and which for each event,
`processing` runs the latter on encoded documents, and `chain` has the processors."""

"""Turns blocks of lines into documents: encoding, ids, filters, processors."""

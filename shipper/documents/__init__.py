"""A block of lines into documents: encoding, ids, filters, processors."""

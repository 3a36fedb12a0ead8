"""Files that are kept until they are delivered, against a model: the real daemon in process."""

"""Filebeat's configuration, read as it is: who follows Elastic's Tetragon guide changes nothing.

It becomes a configuration of our own, key by key, as if somebody had written that; each option is
honoured or refused with its line, and those that cannot matter here, or that Filebeat itself
ignores, are remarked by name. `options.py` says how the tables are made, `gathering.py` reads a
section with one, `unknown.py` has what is in no table, `translate.py` goes through the file.
"""

"""Filebeat's configuration, read as it is: who follows Elastic's Tetragon guide changes nothing.

It becomes a configuration of our own, key by key, as if somebody had written that; each option is
honoured or refused with its line, and the few that cannot matter here are remarked by name.
`options.py` says how the tables are made, `translate.py` goes through the file with them.
"""

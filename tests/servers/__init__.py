"""The real Elasticsearch and the real OpenSearch, built from Maven and started for tests.

``launcher`` starts and stops one node, ``build`` gets the servers' jars, ``client`` asks a node
questions, ``stream`` is one data stream of it, ``bulk`` has the words of bulk requests,
``fixtures`` is the pytest plugin. A person starts one with::

    python -m tests.servers elasticsearch --port 9200

Elasticsearch here is its server and HTTP transport alone. What lives in modules of the full
distribution is not there: ``GET /``, ``_data_stream``, ingest processors, Painless, security.
"""

from tests.servers.launcher import SearchServer, ServerError, missing_tools, start

__all__ = ["SearchServer", "ServerError", "missing_tools", "start"]

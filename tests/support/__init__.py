"""What the tests are built from; `tests/conftest.py` has the fixtures.

    bulk_server   an HTTP `_bulk` server that misbehaves when it is told to
    faults        the ways in which it does
    logdir        a directory of Tetragon's logs that can rotate, be cut, and be deleted from
    processes     the real daemon as a process, with its log and its pages
    tls_front     a server of TLS before a cluster, which asks for credentials
    forward_proxy an HTTP proxy on the way to it
    workers       how a complete run is divided among processes

A test that ships three lines through a lost answer::

    def test_a_lost_answer_doubles_nothing(bulk_server, log_directory, shipper):
        bulk_server.next(LostAnswer())
        log_directory.write(3)
        shipper().start()
        bulk_server.wait_for_lines(3)
        bulk_server.wait_for(lambda: len(bulk_server.requests) == 2)
        assert bulk_server.audit(3).passed
"""

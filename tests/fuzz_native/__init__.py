"""Compares the native core with the Python encoder on mutated lines: `./dev fuzz-native`.

    mutations   lines that are nearly events, and others
    comparison  both encoders beside each other, in many configurations
    __main__    the command: for some minutes, with a report

`tests/documents/test_native.py` runs a few thousand of the same lines.
"""

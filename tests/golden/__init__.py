"""The same documents, ids, registry rows and metrics as before, for the same input.

    world                the only module that imports the package under test
    stage                one scenario's world: files, and the daemon's lives
    surroundings         its clock and its server
    lines                what is written to the logs; `data/input` holds the longer lines
    scenarios_*          what happens; `scenarios` lists all of them
    results              what is left of a scenario, as text without paths, ports and random ids
    changed              what has another name since the recording
    record               writes the recordings anew
    data/NAME            what was recorded of a scenario
    test_same_as_before  compares

Time stands still unless a scenario moves it, so it does not matter how long anything really takes.
A scenario moves it only when nothing is under way.
"""

"""`make bench`: what the harness and the tracker cost, and how well the tracker tells the living from the dead.

Each module is one part, with a `run` that measures, prints, and tells whether everything that it counted held. `make
bench ARGS="cost"` runs one. Nothing here fails because a machine is slow: a benchmark is read, a test is passed. But
where living tasks and dead workers are counted, one that was misjudged, or could not be judged, is a failure.
"""

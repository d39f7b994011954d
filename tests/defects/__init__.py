"""One bug a file, put back into the reference from outside.

`apply()` patches its modules in a process that has not started yet. The catalogue says which promise each breaks,
by which check, with which violation.
"""

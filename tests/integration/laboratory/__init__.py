"""The programs of the laboratory suite, as job files: they find out how often, and when, they run.

Each looks at what its namesake in the laboratory "MapReduce" of MIT's course 6.824 (6.5840) looks
at. They leave marks in the folder that `--set folder=` names, which is on this machine.
"""

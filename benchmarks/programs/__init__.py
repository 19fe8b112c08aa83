"""The programs that the benchmarks of jobs run, each in a process of its own.

Called with the name of a workload (those for one workload have it in their own name), an output
folder that is not there yet, and the input files.
"""

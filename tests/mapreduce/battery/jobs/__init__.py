"""The battery: jobs that together use everything a job can say, each small enough to be evaluated
by hand, and each cut so that it has several splits, several reducers and several runs to merge.

`BATTERY` is all of them, which the inline runner runs. What differs in nothing that goes from
process to process is left out of `ON_LOCAL`, and what tries nothing of the store or the master
beyond the others, out of `ON_CLUSTER`; but each still has a case for every thing a job can say.
"""

from tests.mapreduce.battery.jobs.flows import FLOWS
from tests.mapreduce.battery.jobs.formats import FORMATS
from tests.mapreduce.battery.jobs.keys import TYPES
from tests.mapreduce.battery.jobs.orders import ORDERS
from tests.mapreduce.battery.jobs.spills import SPILLS
from tests.mapreduce.battery.jobs.words import WORDS

BATTERY = [*WORDS, *TYPES, *SPILLS, *ORDERS, *FLOWS, *FORMATS]

_CLUSTER = {
    # A combining class, setup and cleanup, emitted pairs, status, counters; a glob.
    "words emitted with a combining class",
    # Keys and objects of the user's classes.
    "keys of all types",
    # A group key, sorted values, descending; spills.
    "spills, secondary sort",
    "a function as partitioner, ordered by length",
    # Steps; a total order; one merged file.
    "total order of what a step gave, the greatest first, in one file",
    # A sort key, a folding combiner, side files, parameters, named outputs of maps.
    "total order by a key of its own, with a combiner and another output",
    # Steps without a mapper or a reducer, modules, named outputs of both sides and all steps.
    "steps with named outputs, side files and modules",
    # Inputs with a mapper and a format each.
    "join of three inputs, each with a mapper and a format",
    "compressed inputs and outputs, and bytes that are not UTF-8",
    # A PartitionReducer; what one map task gave in several runs.
    "spills, whole pieces",
    "nothing",
    # All formats of input and output; `map_batch`.
    "rows in all formats",
}
_LOCAL = _CLUSTER | {
    "parameters in a combiner",
    "values of all types",
    "a class as partitioner, values sorted",
    "a hash of the user's own, also negative",
    "next words by secondary sort in steps",
    "total order of keys of all types",
    "map-only with named outputs, in one file",
    "map-only, as many files as tasks",
    "reduce-only over objects",
}
ON_LOCAL = [case for case in BATTERY if case.name in _LOCAL]
ON_CLUSTER = [case for case in BATTERY if case.name in _CLUSTER]
assert len(ON_LOCAL) == len(_LOCAL), _LOCAL - {case.name for case in BATTERY}

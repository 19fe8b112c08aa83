"""Each city's readings, the warmest first: a secondary sort with a composite key, as for Hadoop.

    mapreduce run examples/hadoop_secondary_sort.py 'readings/*.csv' -o out/

Input: lines `city,number`; a line whose second field is no number is a header. Output: `city TAB
number number ...`. The values of a city are sorted on their way and never held together: the key
has both fields, the partitioner and the grouping comparator see only the first. (White, "Hadoop:
The Definitive Guide", chapter 9, "Secondary Sort".)
"""

from dataclasses import dataclass
from zlib import crc32

from mapreduce.hadoop import (
    DoubleWritable,
    Job,
    Mapper,
    Partitioner,
    Reducer,
    Text,
    WritableComparable,
    WritableComparator,
)


@dataclass
class Reading(WritableComparable):
    city: Text
    celsius: DoubleWritable

    def compare_to(self, other):
        """By city; of one city the warmest first."""
        if self.city != other.city:
            return -1 if self.city < other.city else 1
        return (self.celsius < other.celsius) - (other.celsius < self.celsius)


class CityPartitioner(Partitioner):
    def get_partition(self, key, value, num_partitions):
        return crc32(key.city.get().encode()) % num_partitions


class CityComparator(WritableComparator):
    def compare(self, one, other):
        return one.city.compare_to(other.city)


class ReadingMapper(Mapper):
    def map(self, key, value, context):
        city, _, celsius = str(value).partition(",")
        try:
            number = DoubleWritable(float(celsius))
        except ValueError:
            context.get_counter("readings", "headers").increment()
            return
        context.write(Reading(Text(city), number), number)


class WarmestFirst(Reducer):
    def reduce(self, key, values, context):
        context.write(key.city, Text(" ".join(str(value) for value in values)))


def secondary_sort(**where):
    job = Job.get_instance(name="secondary sort", **where)
    job.set_mapper_class(ReadingMapper)
    job.set_partitioner_class(CityPartitioner)
    job.set_grouping_comparator_class(CityComparator)
    job.set_reducer_class(WarmestFirst)
    job.set_map_output_key_class(Reading)
    job.set_map_output_value_class(DoubleWritable)
    job.set_output_key_class(Text)
    job.set_output_value_class(Text)
    return job


def job(reducers: int = 1):
    made = secondary_sort()
    made.set_num_reduce_tasks(reducers)
    return made.to_job()

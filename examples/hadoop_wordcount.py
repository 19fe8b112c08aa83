"""Counts words, written as for Hadoop.

    mapreduce run examples/hadoop_wordcount.py book.txt -o out/

or as its own driver, `python examples/hadoop_wordcount.py book.txt out`; with a third word, the
path of a cluster.ini, on that cluster. Input: lines of text. Output: `word TAB count`. (The word
count of Hadoop's MapReduce tutorial; docs/hadoop.md has both side by side.)
"""

import sys

from mapreduce.hadoop import IntWritable, Job, Mapper, Reducer, Text


class TokenizerMapper(Mapper):
    def setup(self, context):
        self.word, self.one = Text(), IntWritable(1)

    def map(self, key, value, context):
        for token in str(value).split():
            self.word.set(token)
            context.write(self.word, self.one)


class IntSumReducer(Reducer):
    def reduce(self, key, values, context):
        context.write(key, IntWritable(sum(value.get() for value in values)))


def word_count(**where):
    job = Job.get_instance(name="word count", **where)
    job.set_mapper_class(TokenizerMapper)
    job.set_combiner_class(IntSumReducer)
    job.set_reducer_class(IntSumReducer)
    job.set_output_key_class(Text)
    job.set_output_value_class(IntWritable)
    return job


def job():
    return word_count().to_job()


def main(source, output, cluster=None):
    made = word_count(runner="cluster", cluster=cluster) if cluster else word_count()
    made.add_input_path(source)
    made.set_output_path(output)
    return 0 if made.wait_for_completion(verbose=True) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""A job of the JSON master: its folders, and its tasks as the messages that workers get."""

import msgspec

from mapreduce.jsonwire.messages import NewMasterJob, NewSortJob, NewWorkerJob

NOBODY = 0
"""The pid in a task that has not been given to a worker yet."""


class Job(msgspec.Struct, frozen=True):
    """The `id`-th job of a master, counted from 0. All paths are relative to the one folder in
    which master and workers run."""

    id: int
    wanted: NewMasterJob

    @property
    def name(self) -> str:
        return f"job-{self.id}"

    @property
    def folder(self) -> str:
        return f"var/{self.name}"

    @property
    def mapper_output(self) -> str:
        return f"{self.folder}/mapper-output"

    @property
    def grouper_output(self) -> str:
        return f"{self.folder}/grouper-output"

    @property
    def reducer_output(self) -> str:
        return f"{self.folder}/reducer-output"

    @property
    def groups(self) -> list[str]:
        """The files for the reducers: all lines of a key are in one of them."""
        return [f"{self.grouper_output}/input_{i}" for i in range(self.wanted.num_reducers)]

    def map_tasks(self, input_files: list[str]) -> list[NewWorkerJob]:
        """As many as were asked for, though some may be without a file."""
        return [
            NewWorkerJob(
                input_files=files,
                executable=self.wanted.mapper_executable,
                output_directory=self.mapper_output,
                worker_pid=NOBODY,
            )
            for files in deal(input_files, self.wanted.num_mappers)
        ]

    def sort_tasks(self, mapped_files: list[str], workers: int) -> list[NewSortJob]:
        """One for each worker, as far as there are files."""
        return [
            NewSortJob(
                input_files=files,
                output_file=f"{self.grouper_output}/sorted_{i}",
                worker_pid=NOBODY,
            )
            for i, files in enumerate(deal(mapped_files, min(workers, len(mapped_files))))
        ]

    def reduce_tasks(self) -> list[NewWorkerJob]:
        return [
            NewWorkerJob(
                input_files=[group],
                executable=self.wanted.reducer_executable,
                output_directory=self.reducer_output,
                worker_pid=NOBODY,
            )
            for group in self.groups
        ]


def deal(files: list[str], hands: int) -> list[list[str]]:
    """`files` dealt in turn, like cards: no hand gets two more than another.

    >>> deal(["a", "b", "c", "d", "e"], 4)
    [['a', 'e'], ['b'], ['c'], ['d']]
    """
    return [files[hand::hands] for hand in range(hands)]

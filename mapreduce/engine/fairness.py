"""Which job the next free slot goes to.

Fair sharing by weight: to the one that holds the fewest slots for its priority. So a short job gets
its share at once, whatever runs already; and of jobs that hold the same, the one that has waited
longest for a slot comes first. A job whose tasks all wait for a place near their data lets the next
one pass (Zaharia et al., "Delay Scheduling", EuroSys 2010, section 3).
"""

from collections.abc import Iterable

from mapreduce.engine.stages import Job


def in_turn(jobs: Iterable[Job]) -> list[Job]:
    """Those of `jobs` that may have another slot, the one first that should get it. Among equals
    the order of `jobs` stays."""
    return sorted((job for job in jobs if job.has_room), key=share)


def share(job: Job) -> float:
    """How many slots a job holds for its priority."""
    return job.running / job.priority

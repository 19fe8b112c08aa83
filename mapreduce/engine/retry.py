"""When a job gives up on a task."""

from mapreduce.engine.ledger import Task


def reason_to_give_up(task: Task, max_attempts: int, max_losses: int, error: str) -> str:
    """Why the job fails because of `task`, or "" if the task is to be tried again.

    `error` is what ended the last attempt. Failures are the task's own; losses are accidents of
    its workers or its input, which only count when there are so many that the task is the likely
    cause, as one is that exhausts the memory of every machine it runs on.
    """
    if task.failures >= max_attempts:
        times = "its only attempt" if max_attempts == 1 else f"all {max_attempts} attempts"
        return f"{task.id} failed in {times}; the last one said:\n{error}"
    if task.losses > max_losses:
        return (
            f"{task.id} was lost {task.losses} times, the limit is {max_losses}: it may bring down "
            f"the workers that run it; the last time: {error}"
        )
    return ""

"""The rules of the scheduler, each as a list of events and the list of actions they must give."""

import msgspec

from mapreduce.engine.events import (
    AttemptFailed,
    AttemptId,
    AttemptSucceeded,
    AttemptWon,
    CommitFailed,
    CommitJob,
    DiscardResult,
    Done,
    FailureCounted,
    JobCommitted,
    JobEnded,
    JobKilled,
    JobPaused,
    JobResumed,
    JobStarted,
    JobState,
    KillAttempt,
    Locality,
    OutputLost,
    RunAttempt,
    StoodStill,
    TaskKilled,
    Tick,
    WorkerLost,
    WorkerReported,
)
from mapreduce.engine.scheduler import Policy, Scheduler
from tests.mapreduce.engine.scheduling import (
    Quiet,
    map_attempt,
    reduce_attempt,
    runs,
    started,
    with_workers,
)

PATIENT = Policy(worker_timeout_s=1e9, order_timeout_s=1e9)


class TestStages:
    def test_reduces_start_when_the_last_map_is_done_and_then_the_job_commits(self):
        s = with_workers("w1", slots=2)
        assert runs(s.handle(started(2, 1), 0.0)) == [
            ("w1", map_attempt(0)),
            ("w1", map_attempt(1)),
        ]
        assert s.handle(AttemptSucceeded(map_attempt(0), "w1", "m0"), 1.0) == []
        assert s.handle(AttemptSucceeded(map_attempt(1), "w1", "m1"), 2.0) == [
            RunAttempt("w1", reduce_attempt(0), Locality.ANY)
        ]
        assert s.handle(AttemptSucceeded(reduce_attempt(0), "w1", "r0"), 3.0) == [CommitJob("job")]
        assert s.handle(JobCommitted("job"), 4.0) == [JobEnded("job", JobState.SUCCEEDED)]
        assert s.map_results("job") == ["m0", "m1"]
        assert s.reduce_results("job") == ["r0"]

    def test_a_job_without_tasks_commits_at_once(self):
        assert with_workers().handle(started(0, 0), 0.0) == [CommitJob("job")]

    def test_a_failed_commit_fails_the_job_and_discards_its_output(self):
        s = with_workers("w1")
        s.handle(started(1), 0.0)
        s.handle(AttemptSucceeded(map_attempt(0), "w1", "part"), 1.0)
        discard, ended = s.handle(CommitFailed("job", "no quorum"), 2.0)
        assert discard == DiscardResult(map_attempt(0), "part")
        assert ended.state is JobState.FAILED
        assert "no quorum" in ended.error

    def test_the_same_job_started_twice_runs_once(self):
        s = with_workers("w1", slots=4)
        s.handle(started(1), 0.0)
        assert s.handle(started(1), 0.1) == []


class TestRetry:
    def test_a_failed_task_is_tried_again(self):
        s = with_workers("w1")
        s.handle(started(), 0.0)
        assert runs(s.handle(AttemptFailed(map_attempt(0), "w1", "boom"), 1.0)) == [
            ("w1", map_attempt(0, 2))
        ]

    def test_after_its_last_attempt_the_job_fails_with_that_attempts_error(self):
        s = with_workers("w1", slots=2)
        s.handle(started(2, max_attempts=2), 0.0)
        s.handle(AttemptFailed(map_attempt(0), "w1", "first"), 1.0)
        kill, ended = s.handle(AttemptFailed(map_attempt(0, 2), "w1", "second"), 2.0)
        assert kill == KillAttempt("w1", map_attempt(1))
        assert ended.state is JobState.FAILED
        assert ended.error.endswith("second")
        assert s.status("job").map.failed_attempts == 2

    def test_a_failure_reported_twice_counts_once(self):
        s = with_workers("w1")
        s.handle(started(max_attempts=2), 0.0)
        s.handle(AttemptFailed(map_attempt(0), "w1", "boom"), 1.0)
        assert s.handle(AttemptFailed(map_attempt(0), "w1", "boom"), 1.1) == []
        assert s.status("job").state is JobState.RUNNING

    def test_a_failed_job_discards_the_results_it_had(self):
        s = with_workers("w1", slots=2)
        s.handle(started(2, max_attempts=1), 0.0)
        s.handle(AttemptSucceeded(map_attempt(1), "w1", "done"), 1.0)
        actions = s.handle(AttemptFailed(map_attempt(0), "w1", "boom"), 2.0)
        assert DiscardResult(map_attempt(1), "done") in actions


class TestWorkerLoss:
    def test_attempts_of_a_lost_worker_start_elsewhere_and_count_as_no_failure(self):
        s = with_workers("w1", "w2")
        s.handle(started(max_attempts=1), 0.0)
        assert runs(s.handle(WorkerLost("w1"), 1.0)) == [("w2", map_attempt(0, 2))]
        status = s.status("job").map
        assert (status.failed_attempts, status.lost_attempts, status.running) == (0, 1, 1)

    def test_a_worker_silent_for_longer_than_the_timeout_is_lost(self):
        s = with_workers("w1", "w2")
        s.handle(started(), 0.0)
        s.handle(WorkerReported("w2", "n2", 1), 4.0)
        assert s.handle(Tick(), 5.0) == []
        assert runs(s.handle(Tick(), 5.1)) == [("w2", map_attempt(0, 2))]
        assert [w.name for w in s.workers()] == ["w2"]

    def test_with_the_second_strike_its_share_goes_to_another_and_a_report_clears_the_first(self):
        s = with_workers("w1", "w2")
        s.handle(started(), 0.0)
        strikes = []
        for now in (2.5, 2.6, 5.0):
            s.handle(WorkerReported("w2", "n2", 1), now)
            strikes.append([worker.strikes for worker in s.workers()])
        assert strikes == [[0, 0], [1, 0], [1, 0]]
        s.handle(WorkerReported("w1", "n1", 1, (map_attempt(0),)), 5.0)
        assert [worker.strikes for worker in s.workers()] == [0, 0]
        s.handle(WorkerReported("w2", "n2", 1), 10.0)
        assert runs(s.handle(Tick(), 10.1)) == [("w2", map_attempt(0, 2))]
        [gone] = s.scoreboard().gone
        assert (gone.name, gone.state, gone.strikes, gone.silent_s) == ("w1", "lost", 2, 5.1)

    def test_a_worker_with_a_strike_gets_no_task_until_it_is_heard(self):
        s = with_workers("w1", "w2")
        s.handle(WorkerReported("w2", "n2", 1), 2.6)
        assert runs(s.handle(started(2), 2.7)) == [("w2", map_attempt(0))]
        assert s.handle(Tick(), 4.0) == []
        heard = s.handle(WorkerReported("w1", "n1", 1), 4.1)
        assert runs(heard) == [("w1", map_attempt(1))]

    def test_what_the_master_itself_could_not_hear_is_nobody_s_silence(self):
        s = with_workers("w1", "w2")
        s.handle(Tick(), 2.0)
        s.handle(StoodStill(10.0), 12.0)
        assert [(w.name, w.strikes, w.silent_s) for w in s.workers()] == [
            ("w1", 0, 2.0),
            ("w2", 0, 2.0),
        ]
        s.handle(Tick(), 12.6)
        assert [worker.strikes for worker in s.workers()] == [1, 1]

    def test_more_strikes_part_the_same_time(self):
        s = with_workers("w1", policy=Policy(worker_timeout_s=8.0, strikes=4))
        strikes = []
        for now in (2.0, 2.1, 4.1, 6.1, 8.0):
            s.handle(Tick(), now)
            strikes += [worker.strikes for worker in s.workers()]
        s.handle(Tick(), 8.1)
        assert strikes == [0, 1, 2, 3, 3]
        assert [worker.strikes for worker in s.scoreboard().gone] == [4]

    def test_a_task_that_keeps_losing_its_workers_ends_the_job(self):
        s = Quiet(Policy(max_losses=2))
        s.handle(started(), 0.0)
        for n in (1, 2, 3):
            s.handle(WorkerReported(f"w{n}", "", 1), 0.0)
            actions = s.handle(WorkerLost(f"w{n}"), 0.0)
        ended = actions[-1]
        assert ended.state is JobState.FAILED
        assert "lost 3 times" in ended.error
        assert "w3" in ended.error

    def test_finished_maps_outlive_their_worker(self):
        s = with_workers("w1", "w2")
        s.handle(started(2, 1), 0.0)
        s.handle(AttemptSucceeded(map_attempt(0), "w1"), 1.0)
        assert s.handle(WorkerLost("w1"), 1.0) == []
        assert s.status("job").map.done == 1

    def test_an_attempt_its_worker_does_not_know_of_runs_again_after_a_few_seconds(self):
        s = with_workers("w1")
        s.handle(started(), 0.0)
        assert s.handle(WorkerReported("w1", "n1", 1, ()), 3.0) == []
        assert runs(s.handle(WorkerReported("w1", "n1", 1, ()), 3.1)) == [("w1", map_attempt(0, 2))]

    def test_a_worker_that_works_on_what_nobody_wants_is_told_to_stop_and_keeps_the_slot(self):
        s = with_workers("w1")
        stray = map_attempt(7, job="old")
        assert s.handle(WorkerReported("w1", "n1", 1, (stray,)), 0.0) == [KillAttempt("w1", stray)]
        assert s.handle(started(), 0.1) == []
        assert runs(s.handle(WorkerReported("w1", "n1", 1), 0.2)) == [("w1", map_attempt(0))]


class TestLateResults:
    def test_a_lost_attempt_that_finished_after_all_wins_and_its_successor_is_killed(self):
        s = with_workers("w1", "w2")
        s.handle(started(1, 0), 0.0)
        s.handle(WorkerLost("w1"), 1.0)
        assert s.handle(AttemptSucceeded(map_attempt(0), "w1", "late"), 2.0) == [
            KillAttempt("w2", map_attempt(0, 2)),
            CommitJob("job"),
        ]
        assert s.map_results("job") == ["late"]

    def test_the_second_success_of_a_task_is_discarded(self):
        s = with_workers("w1", "w2")
        s.handle(started(), 0.0)
        s.handle(WorkerLost("w1"), 1.0)
        s.handle(AttemptSucceeded(map_attempt(0), "w1", "first"), 2.0)
        assert s.handle(AttemptSucceeded(map_attempt(0, 2), "w2", "second"), 2.1) == [
            DiscardResult(map_attempt(0, 2), "second")
        ]

    def test_the_winner_reported_twice_is_not_discarded(self):
        s = with_workers("w1")
        s.handle(started(), 0.0)
        won = AttemptSucceeded(map_attempt(0), "w1", "the output")
        s.handle(won, 1.0)
        assert s.handle(won, 1.1) == []
        s.handle(JobCommitted("job"), 1.2)
        assert s.handle(won, 1.3) == []
        s.forget("job")
        assert s.handle(won, 1.4) == []

    def test_a_result_of_an_unknown_job_is_discarded(self):
        unknown = map_attempt(0, job="gone")
        assert with_workers("w1").handle(AttemptSucceeded(unknown, "w1", "x"), 1.0) == [
            DiscardResult(unknown, "x")
        ]

    def test_a_result_for_a_task_the_job_does_not_have_is_discarded(self):
        s = with_workers("w1")
        s.handle(started(), 0.0)
        for attempt in (map_attempt(5), map_attempt(-1), map_attempt(0, 9), map_attempt(0, 0)):
            [discard] = s.handle(AttemptSucceeded(attempt, "w1", "x"), 1.0)
            assert discard == DiscardResult(attempt, "x")


class TestLostMapOutput:
    def at_reduce(self, max_losses: int = 20) -> Scheduler:
        s = with_workers(
            "w1", slots=2, policy=Policy(max_losses=max_losses, worker_timeout_s=100.0)
        )
        s.handle(started(2, 2, max_attempts=1), 0.0)
        s.handle(AttemptSucceeded(map_attempt(0), "w1", "m0"), 1.0)
        s.handle(AttemptSucceeded(map_attempt(1), "w1", "m1"), 1.0)
        return s

    def lost(self, reduce: AttemptId) -> AttemptFailed:
        return AttemptFailed(reduce, "w1", "missing piece", (map_attempt(1).task,))

    def test_the_map_runs_again_and_then_the_reduce_which_is_not_blamed(self):
        s = self.at_reduce()
        assert runs(s.handle(self.lost(reduce_attempt(0)), 2.0)) == [("w1", map_attempt(1, 2))]
        assert runs(s.handle(AttemptSucceeded(map_attempt(1, 2), "w1", "again"), 3.0)) == [
            ("w1", reduce_attempt(0, 2))
        ]
        assert s.map_results("job") == ["m0", "again"]
        assert s.status("job").state is JobState.RUNNING

    def test_output_that_was_made_again_since_is_not_made_a_third_time(self):
        s = self.at_reduce()
        s.handle(self.lost(reduce_attempt(0)), 2.0)
        s.handle(AttemptSucceeded(map_attempt(1, 2), "w1", "again"), 3.0)
        assert runs(s.handle(self.lost(reduce_attempt(1)), 4.0)) == [("w1", reduce_attempt(1, 2))]

    def test_a_late_double_of_the_lost_output_does_not_win_again(self):
        s = self.at_reduce()
        s.handle(self.lost(reduce_attempt(0)), 2.0)
        assert s.handle(AttemptSucceeded(map_attempt(1), "w1", "m1"), 2.1) == []
        assert s.status("job").map.done == 1

    def test_what_one_worker_cannot_read_is_tried_on_another_before_the_map_runs_again(self):
        s = with_workers("w1", "w2", policy=PATIENT)
        s.handle(started(1, 1, max_attempts=1), 0.0)
        first = s.handle(AttemptSucceeded(map_attempt(0), "w1", "m0"), 1.0)
        [(here, reduce)] = runs(first)
        lost = AttemptFailed(reduce, here, "missing piece", (map_attempt(0).task,))
        [(there, again)] = runs(s.handle(lost, 2.0))
        assert (again, {here, there}) == (reduce_attempt(0, 2), {"w1", "w2"})
        lost = AttemptFailed(again, there, "missing piece", (map_attempt(0).task,))
        [(_, map_again)] = runs(s.handle(lost, 3.0))
        assert map_again == map_attempt(0, 2)

    def test_a_reduce_waits_for_a_worker_that_may_reach_its_pieces_but_not_for_ever(self):
        s = with_workers("w1", "w2", policy=PATIENT)
        s.handle(started(2, 2, max_attempts=1), 0.0)
        for index in range(2):
            s.handle(AttemptSucceeded(map_attempt(index), f"w{index + 1}"), 1.0)
        gone = (map_attempt(1).task,)
        assert runs(s.handle(AttemptFailed(reduce_attempt(0), "w1", "missing", gone), 2.0)) == []
        assert runs(s.handle(Tick(), 31.9)) == []  # w2 has another reduce
        assert runs(s.handle(Tick(), 32.0)) == [("w1", reduce_attempt(0, 2))]
        failed = AttemptFailed(reduce_attempt(0, 2), "w1", "missing", gone)
        assert runs(s.handle(failed, 33.0)) == [("w1", map_attempt(1, 2))]

    def test_a_job_whose_output_is_lost_again_and_again_ends(self):
        s = self.at_reduce(max_losses=2)
        for number in (1, 2, 3):
            assert s.status("job").state is JobState.RUNNING
            s.handle(self.lost(reduce_attempt(0, number)), 2.0)
            s.handle(AttemptSucceeded(map_attempt(1, number + 1), "w1", "again"), 3.0)
        assert s.status("job").state is JobState.FAILED

    def test_a_reduce_may_wait_for_each_of_its_maps_in_turn(self):
        s = with_workers("w1", policy=Policy(max_losses=1, worker_timeout_s=100.0))
        s.handle(started(4, 1), 0.0)
        for index in range(4):
            s.handle(AttemptSucceeded(map_attempt(index), "w1"), 1.0)
        for index in range(4):
            gone = (map_attempt(index).task,)
            s.handle(AttemptFailed(reduce_attempt(0, index + 1), "w1", "gone", gone), 2.0)
            s.handle(AttemptSucceeded(map_attempt(index, 2), "w1"), 3.0)
        s.handle(AttemptSucceeded(reduce_attempt(0, 5), "w1", "at last"), 4.0)
        assert s.reduce_results("job") == ["at last"]


class TestKill:
    def test_a_killed_job_ends_at_once_and_its_attempts_are_killed(self):
        s = with_workers("w1", "w2")
        s.handle(started(3), 0.0)
        assert s.handle(JobKilled("job"), 1.0) == [
            KillAttempt("w1", map_attempt(0)),
            KillAttempt("w2", map_attempt(1)),
            JobEnded("job", JobState.KILLED),
        ]
        assert s.handle(AttemptSucceeded(map_attempt(0), "w1", "x"), 1.1) == [
            DiscardResult(map_attempt(0), "x")
        ]

    def test_killing_a_job_frees_its_slots_for_others(self):
        s = with_workers("w1")
        s.handle(started(job="a"), 0.0)
        s.handle(started(job="b"), 0.0)
        assert runs(s.handle(JobKilled("a"), 1.0)) == [("w1", map_attempt(0, job="b"))]

    def test_a_kill_during_the_commit_comes_too_late(self):
        s = with_workers()
        s.handle(started(0), 0.0)
        assert s.handle(JobKilled("job"), 1.0) == []
        assert s.handle(JobCommitted("job"), 2.0) == [JobEnded("job", JobState.SUCCEEDED)]

    def test_a_kill_during_a_commit_that_fails_leaves_the_job_killed(self):
        s = with_workers()
        s.handle(started(0), 0.0)
        s.handle(JobKilled("job"), 1.0)
        assert s.handle(CommitFailed("job", "no"), 2.0) == [JobEnded("job", JobState.KILLED)]

    def test_killing_what_is_over_or_unknown_does_nothing(self):
        s = with_workers()
        s.handle(started(0), 0.0)
        s.handle(JobCommitted("job"), 1.0)
        assert s.handle(JobKilled("job"), 2.0) == []
        assert s.handle(JobKilled("other"), 2.0) == []


class TestJournal:
    def test_a_win_is_told_before_what_follows_from_it(self):
        s = Scheduler()
        s.handle(WorkerReported("w1", "n1", 1), 0.0)
        s.handle(started(), 0.0)
        assert s.handle(AttemptSucceeded(map_attempt(0), "w1", "m0"), 1.0) == [
            AttemptWon(map_attempt(0), "w1", Locality.ANY, "m0"),
            CommitJob("job"),
        ]

    def test_lost_output_is_told(self):
        s = Scheduler()
        s.handle(WorkerReported("w1", "n1", 1), 0.0)
        s.handle(started(1, 1), 0.0)
        s.handle(AttemptSucceeded(map_attempt(0), "w1", "m0"), 1.0)
        gone = AttemptFailed(reduce_attempt(0), "w1", "missing", (map_attempt(0).task,))
        assert OutputLost(map_attempt(0).task) in s.handle(gone, 2.0)

    def test_a_failure_is_told_before_what_follows_from_it(self):
        s = Scheduler()
        s.handle(WorkerReported("w1", "n1", 1), 0.0)
        s.handle(started(max_attempts=1), 0.0)
        counted, ended = s.handle(AttemptFailed(map_attempt(0), "w1", "boom"), 1.0)
        assert counted == FailureCounted(map_attempt(0), "w1")
        assert ended.state is JobState.FAILED

    def test_what_could_not_read_its_pieces_has_not_failed(self):
        s = Scheduler()
        s.handle(WorkerReported("w1", "n1", 1), 0.0)
        s.handle(started(1, 1), 0.0)
        s.handle(AttemptSucceeded(map_attempt(0), "w1", "m0"), 1.0)
        gone = AttemptFailed(reduce_attempt(0), "w1", "missing", (map_attempt(0).task,))
        assert not any(isinstance(a, FailureCounted) for a in s.handle(gone, 2.0))


class TestAnotherLeader:
    """What an earlier leader has begun, this one ends."""

    def taken_over(self, maps: int = 2, reduces: int = 0, done: int = 0) -> Quiet:
        s = with_workers("w1", "w2", policy=Policy(takeover_wait_s=2.0))
        finished = tuple(
            Done(map_attempt(index), "w9", Locality.NODE, f"m{index}") for index in range(done)
        )
        event = msgspec.structs.replace(
            started(maps, reduces, max_attempts=2), done=finished, first_attempt=101, resumed=True
        )
        assert runs(s.handle(event, 0.0)) == []
        return s

    def test_finished_tasks_are_not_run_again(self):
        s = self.taken_over(maps=3, done=2)
        assert runs(s.handle(Tick(), 2.0)) == [("w1", map_attempt(2, 101))]
        assert s.status("job").map.localities == {"node": 2}
        s.handle(AttemptSucceeded(map_attempt(2, 101), "w1", "m2"), 3.0)
        assert s.map_results("job") == ["m0", "m1", "m2"]

    def test_a_finished_task_that_is_reported_again_changes_nothing(self):
        s = self.taken_over(done=1)
        assert s.handle(AttemptSucceeded(map_attempt(0), "w9", "m0"), 0.1) == []
        assert s.handle(AttemptSucceeded(map_attempt(0, 2), "w1", "x"), 0.1) == [
            DiscardResult(map_attempt(0, 2), "x")
        ]

    def test_a_job_whose_tasks_are_all_done_commits_at_once(self):
        s = with_workers()
        finished = (Done(map_attempt(0), "w9", Locality.NODE, "m0"),)
        event = msgspec.structs.replace(started(), done=finished, resumed=True)
        assert s.handle(event, 0.0) == [CommitJob("job")]

    def test_nothing_is_given_out_until_workers_had_time_to_tell_what_they_run(self):
        s = self.taken_over()
        assert s.handle(Tick(), 1.9) == []
        assert [w for w, _ in runs(s.handle(Tick(), 2.0))] == ["w1", "w2"]

    def test_a_running_attempt_is_adopted_and_holds_its_slot(self):
        s = self.taken_over()
        running = WorkerReported("w1", "n1", 1, (map_attempt(0),))
        assert s.handle(running, 0.5) == []
        assert runs(s.handle(Tick(), 2.0)) == [("w2", map_attempt(1, 101))]
        assert [a.attempt for a in s.running("job")] == [map_attempt(0), map_attempt(1, 101)]
        s.handle(AttemptSucceeded(map_attempt(0), "w1", "m0"), 2.5)
        assert s.map_results("job") == ["m0"]

    def test_an_attempt_is_adopted_before_its_task_waits_for_a_place(self):
        s = with_workers("w1")
        event = JobStarted("job", (("n2",),), (), first_attempt=101, resumed=True)
        s.handle(event, 0.0)
        assert s.handle(WorkerReported("w1", "n1", 1, (map_attempt(0),)), 0.5) == []
        s.handle(AttemptSucceeded(map_attempt(0), "w1", "m0"), 1.0)
        assert s.status("job").map.localities == {"remote": 1}

    def test_an_adopted_attempt_is_lost_with_its_worker(self):
        s = self.taken_over(maps=1)
        s.handle(WorkerReported("w1", "n1", 1, (map_attempt(0),)), 0.5)
        assert s.handle(Tick(), 2.0) == []
        assert runs(s.handle(WorkerLost("w1"), 2.5)) == [("w2", map_attempt(0, 101))]

    def test_an_attempt_that_finished_between_the_leaders_wins(self):
        s = self.taken_over(maps=1)
        assert s.handle(AttemptSucceeded(map_attempt(0, 7), "w3", "m0"), 0.5) == [CommitJob("job")]

    def test_one_that_failed_between_them_counts(self):
        s = self.taken_over(maps=1)
        s.handle(AttemptFailed(map_attempt(0), "w3", "boom"), 0.5)
        s.handle(AttemptFailed(map_attempt(0), "w3", "boom"), 0.6)
        assert s.status("job").map.failed_attempts == 1
        [run] = s.handle(Tick(), 2.0)
        assert run.failures == 1

    def test_one_that_turns_up_when_its_task_runs_already_runs_beside_it(self):
        s = self.taken_over(maps=1)
        assert runs(s.handle(Tick(), 2.0)) == [("w1", map_attempt(0, 101))]
        assert s.handle(WorkerReported("w2", "n2", 1, (map_attempt(0),)), 2.5) == []
        assert s.handle(AttemptSucceeded(map_attempt(0), "w2", "m0"), 3.0) == [
            KillAttempt("w1", map_attempt(0, 101)),
            CommitJob("job"),
        ]

    def test_one_that_nobody_can_have_given_is_a_stray(self):
        s = self.taken_over(maps=1)
        for attempt in (map_attempt(0, 300), map_attempt(0, 0), map_attempt(5)):
            told = s.handle(WorkerReported("w1", "n1", 1, (attempt,)), 0.5)
            assert told == [KillAttempt("w1", attempt)]

    def test_one_that_this_leader_has_killed_stays_a_stray(self):
        s = self.taken_over(maps=1)
        s.handle(WorkerReported("w1", "n1", 1, (map_attempt(0),)), 0.5)
        assert s.handle(TaskKilled(map_attempt(0).task), 1.0) == [KillAttempt("w1", map_attempt(0))]
        told = s.handle(WorkerReported("w1", "n1", 1, (map_attempt(0),)), 1.5)
        assert told == [KillAttempt("w1", map_attempt(0))]

    def test_reduces_of_an_earlier_leader_are_adopted_too(self):
        s = self.taken_over(maps=1, reduces=1, done=1)
        s.handle(WorkerReported("w2", "n2", 1, (reduce_attempt(0, 3),)), 0.5)
        assert s.handle(Tick(), 2.0) == []
        assert s.handle(AttemptSucceeded(reduce_attempt(0, 3), "w2", "r"), 3.0) == [
            CommitJob("job")
        ]


class TestWishes:
    def test_a_killed_task_starts_again_and_it_counts_as_no_failure(self):
        s = with_workers("w1")
        s.handle(started(max_attempts=1), 0.0)
        assert s.handle(TaskKilled(map_attempt(0).task), 1.0) == [
            KillAttempt("w1", map_attempt(0)),
            RunAttempt("w1", map_attempt(0, 2), Locality.ANY),
        ]
        assert s.status("job").map.failed_attempts == 0

    def test_killing_a_task_that_does_not_run_changes_nothing(self):
        s = with_workers("w1")
        s.handle(started(2), 0.0)
        for task in (map_attempt(1).task, map_attempt(9).task, map_attempt(0, job="x").task):
            assert s.handle(TaskKilled(task), 1.0) == []

    def test_a_paused_job_starts_nothing_and_what_runs_goes_on(self):
        s = with_workers("w1")
        s.handle(started(2), 0.0)
        assert s.handle(JobPaused("job"), 0.5) == []
        assert s.handle(AttemptSucceeded(map_attempt(0), "w1"), 1.0) == []
        assert runs(s.handle(JobResumed("job"), 2.0)) == [("w1", map_attempt(1))]

    def test_a_draining_worker_gets_nothing_new_and_ends_what_it_runs(self):
        s = with_workers("w1")
        s.handle(started(2), 0.0)
        draining = WorkerReported("w1", "n1", 1, (map_attempt(0),), draining=True)
        assert s.handle(draining, 0.5) == []
        assert s.handle(AttemptSucceeded(map_attempt(0), "w1"), 1.0) == []
        assert runs(s.handle(WorkerReported("w1", "n1", 1), 2.0)) == [("w1", map_attempt(1))]

    def test_an_order_tells_how_often_its_task_has_failed(self):
        s = with_workers("w1")
        [first] = s.handle(started(), 0.0)
        [second] = s.handle(AttemptFailed(map_attempt(0), "w1", "boom"), 1.0)
        assert (first.failures, second.failures) == (0, 1)


def test_status_counts_each_task_once_and_tells_where_winners_ran():
    s = with_workers("w1", "w2")
    s.handle(JobStarted("job", (("n1",), ("n1",), ()), ((),)), 0.0)
    s.handle(AttemptFailed(map_attempt(0), "w1", "boom"), 0.5)
    s.handle(AttemptSucceeded(map_attempt(1), "w1"), 1.5)
    status = s.status("job")
    assert (status.map.total, status.map.waiting, status.map.running, status.map.done) == (
        3,
        0,
        2,
        1,
    )
    assert status.map.failed_attempts == 1
    assert status.map.localities == {"node": 1}
    assert (status.reduce.total, status.reduce.waiting, status.reduce.started_at) == (1, 1, None)

"""The rules of the JSON master, each as what comes and what it does."""

import itertools
import random
from collections import Counter

import pytest

from mapreduce.jsonwire.actions import (
    CopyOutput,
    Drop,
    FilesDone,
    FilesFailed,
    Group,
    InputListed,
    ListInput,
    MakeFolders,
    Report,
    Send,
    Stop,
    Tick,
    Undelivered,
)
from mapreduce.jsonwire.jobs import deal
from mapreduce.jsonwire.master import Master
from mapreduce.jsonwire.messages import (
    Heartbeat,
    NewMasterJob,
    NewSortJob,
    NewWorkerJob,
    Register,
    RegisterAck,
    Shutdown,
    Status,
)
from tests.mapreduce.jsonwire.playing import (
    JOB,
    Play,
    answer,
    map_order,
    orders,
    reduce_order,
    register,
    sort_order,
)

HOST = "127.0.0.1"
LIST = ListInput(0, "in", ("map.py", "reduce.py"))


class TestRegistration:
    def test_a_worker_is_acknowledged_at_its_own_port_and_is_ready(self):
        play = Play()
        [ack] = play.tell(register(1))
        assert ack == Send(HOST, 6001, RegisterAck(HOST, 6001, 1), patience_s=12.0)
        assert play.states() == {1: "ready"}

    def test_a_worker_with_a_task_is_busy_until_it_has_answered(self):
        play = Play(1)
        given = play.given(JOB)
        assert play.states() == {1: "busy"}
        rounds = itertools.count()
        while given and next(rounds) < 9:
            given = play.finish(given)
        assert play.states() == {1: "ready"}

    def test_who_registers_again_begins_anew_and_gets_its_tasks_again(self):
        play = Play(1)
        given = play.given(JOB)
        ack, *again = [a for a in play.tell(register(1)) if not isinstance(a, Drop)]
        assert isinstance(ack.message, RegisterAck)
        assert orders(again) == given

    def test_a_worker_that_comes_in_the_middle_of_a_phase_waits_for_the_next(self):
        play = Play(1)
        given = play.given(JOB)
        assert play.given(register(2)) == []
        assert {pid for pid, _ in play.finish(given)} == {1, 2}


class TestAJob:
    def test_its_folders_are_made_and_its_input_is_listed(self):
        folders = [f"var/job-0/{name}-output" for name in ("mapper", "grouper", "reducer")]
        assert Play(1).tell(JOB) == [MakeFolders(folders), LIST]

    def test_five_files_and_four_map_tasks_are_two_tasks_for_each_of_two_workers(self):
        """The example of the text: three tasks have one file, and one has two."""
        assert Play(1, 2).given(JOB) == [
            map_order(1, ["in/f0", "in/f4"]),
            map_order(2, ["in/f1"]),
            map_order(1, ["in/f2"]),
            map_order(2, ["in/f3"]),
        ]

    def test_it_goes_through_its_phases_each_when_the_last_answer_of_the_one_before_has_come(self):
        play = Play(1, 2)
        *most, last = play.given(JOB)
        assert play.finish(most) == []
        sorting = play.finish([last])
        assert {pid for pid, _ in sorting} == {1, 2}
        assert {order.output_file for _, order in sorting} == {
            "var/job-0/grouper-output/sorted_0",
            "var/job-0/grouper-output/sorted_1",
        }
        files = [file for _, order in sorting for file in order.input_files]
        assert sorted(files) == [f"var/job-0/mapper-output/f{i}" for i in range(5)]
        assert sorted(len(order.input_files) for _, order in sorting) == [2, 3]

        assert play.tell(answer(*sorting[0])) == []
        [group] = play.tell(answer(*sorting[1]))
        sorted_files = ["var/job-0/grouper-output/sorted_0", "var/job-0/grouper-output/sorted_1"]
        groups = ["var/job-0/grouper-output/input_0", "var/job-0/grouper-output/input_1"]
        assert group == Group(0, sorted_files, groups, "var/job-0")

        reducing = orders(play.tell(FilesDone(0)))
        first = reducing[0][0]
        assert reducing == [reduce_order(first, 0), reduce_order(3 - first, 1)]
        assert play.tell(answer(*reducing[0])) == []
        [copy] = play.tell(answer(*reducing[1]))
        results = ["var/job-0/reducer-output/input_0", "var/job-0/reducer-output/input_1"]
        assert copy == CopyOutput(0, results, "out")
        assert play.tell(FilesDone(0)) == []
        assert play.states() == {1: "ready", 2: "ready"}

    def test_tasks_without_a_file_are_given_and_answered_too(self):
        play = Play(1)
        play.files = ["in/a"]
        given = play.given(JOB)
        assert given == [map_order(1, ["in/a"]), *[map_order(1, [])] * 3]
        assert play.finish(given) == [sort_order(1, ["a"], 0)]

    def test_a_job_over_an_empty_folder_reduces_empty_files(self):
        play = Play(1)
        play.files = []
        given = play.given(JOB)
        assert [order.input_files for _, order in given] == [[]] * 4
        assert play.finish(given) == [reduce_order(1, 0), reduce_order(1, 1)]

    def test_fewer_mapped_files_than_workers_leave_some_idle_while_sorting(self):
        play = Play(1, 2, 3)
        play.files = ["in/a", "in/b"]
        sorting = play.finish(play.given(JOB))
        assert len({pid for pid, _ in sorting}) == len(sorting) == 2

    def test_a_slash_behind_the_input_folder_changes_nothing_of_what_comes_back(self):
        play = Play(1)
        play.files = ["in//a"]
        given = play.given(JOB)
        assert play.finish(given) == [sort_order(1, ["a"], 0)]

    @pytest.mark.parametrize("files", range(9))
    @pytest.mark.parametrize("tasks", range(1, 5))
    def test_files_are_dealt_evenly_and_each_once(self, files: int, tasks: int):
        dealt = deal([str(i) for i in range(files)], tasks)
        assert len(dealt) == tasks
        assert sorted(itertools.chain(*dealt)) == sorted(str(i) for i in range(files))
        sizes = list(map(len, dealt))
        assert max(sizes) - min(sizes) <= 1

    @pytest.mark.parametrize("workers", [1, 2, 3, 7])
    def test_no_worker_gets_two_tasks_more_than_another(self, workers: int):
        play = Play(*range(1, workers + 1))
        wanted = NewMasterJob("in", "out", "m", "r", num_mappers=17, num_reducers=5)
        given = play.given(wanted)
        while given:
            counts = Counter(dict.fromkeys(play.master.workers, 0))
            counts.update(pid for pid, _ in given)
            assert max(counts.values()) - min(counts.values()) <= 1
            given = play.finish(given)


class TestTheQueue:
    def test_a_job_that_comes_before_any_worker_begins_with_the_first(self):
        play = Play()
        assert [type(a) for a in play.tell(JOB)] == [MakeFolders]
        ack, begin = play.tell(register(1))
        assert isinstance(ack.message, RegisterAck)
        assert begin == LIST

    def test_jobs_get_their_folders_at_once_and_are_done_one_after_the_other(self):
        play = Play(1)
        first = play.given(JOB)
        for number in (1, 2):
            [make] = play.tell(JOB)
            assert make.folders[0] == f"var/job-{number}/mapper-output"
        given, seen = first, []
        while given:
            seen += [order for _, order in given]
            given = play.finish(given)
        folders = [getattr(o, "output_directory", None) or o.output_file for o in seen]
        jobs = [folder.split("/")[1] for folder in folders]
        assert jobs == sorted(jobs)
        assert set(jobs) == {"job-0", "job-1", "job-2"}

    @pytest.mark.parametrize("failing", [ListInput, Group, CopyOutput])
    def test_a_job_whose_files_fail_is_given_up_and_the_next_begins(self, failing: type):
        play = Play(1)
        done, failed = play.done, []

        def fail_once(action):
            if isinstance(action, failing) and not failed:
                failed.append(action)
                return [FilesFailed(action.job, "no such folder")]
            return done(action)

        play.done = fail_once  # type: ignore[method-assign]
        given = play.given(JOB, JOB)
        while given and not failed:
            given = play.finish(given)
        assert failed
        assert [order.output_directory for _, order in given] == ["var/job-1/mapper-output"] * 4

    def test_what_is_told_of_a_job_that_is_over_changes_nothing(self):
        play = Play(1)
        play.given(JOB)
        assert play.tell(FilesDone(7), FilesFailed(7, "late"), InputListed(7, ["x"])) == []
        assert play.tell(FilesDone(0), InputListed(0, ["x"])) == []
        assert play.states() == {1: "busy"}


class TestDeath:
    def test_after_five_missed_heartbeats_a_worker_lives_and_after_more_it_is_dead(self):
        play = Play(1, 2)
        given = play.given(JOB)
        assert play.sleep(12, 2) == []
        assert play.states()[1] == "busy"
        again = orders(play.sleep(1, 2))
        assert play.states() == {1: "dead", 2: "busy"}
        lost = [order.input_files for pid, order in given if pid == 1]
        assert again == [map_order(2, files) for files in lost]

    def test_its_tasks_are_dealt_evenly_to_those_that_live(self):
        play = Play(1, 2, 3)
        wanted = NewMasterJob("in", "out", "map.py", "r", num_mappers=12, num_reducers=1)
        play.given(wanted)
        again = orders(play.sleep(13, 2, 3))
        assert Counter(pid for pid, _ in again) == {2: 2, 3: 2}

    @pytest.mark.parametrize("phase", ["map", "group", "reduce"])
    def test_in_each_phase_the_job_goes_on_without_it(self, phase: str):
        play = Play(1, 2)
        given = play.given(JOB)
        for _ in range(["map", "group", "reduce"].index(phase)):
            given = play.finish(given)
        lost = [order for pid, order in given if pid == 1]
        assert lost
        again = orders(play.sleep(13, 2))
        assert [order.input_files for _, order in again] == [order.input_files for order in lost]
        given = [*(pair for pair in given if pair[0] == 2), *again]
        while given:
            given = play.finish(given)
        assert play.states() == {1: "dead", 2: "ready"}

    def test_its_late_answer_counts_for_nothing(self):
        play = Play(1, 2)
        given = play.given(JOB)
        again = orders(play.sleep(13, 2))
        late = [pair for pair in given if pair[0] == 1]
        assert play.finish(late) == []
        assert play.finish([pair for pair in given if pair[0] == 2]) == []
        assert len(play.finish(again)) == 1

    def test_it_stays_in_the_table_and_what_is_on_its_way_to_it_is_dropped(self):
        play = Play(1)
        assert play.sleep(13) == [Drop(HOST, 6001)]
        assert play.states() == {1: "dead"}

    def test_heartbeats_bring_it_back_without_its_old_tasks(self):
        play = Play(1, 2)
        given = play.given(JOB)
        play.sleep(13, 2)
        play.tell(Heartbeat(1))
        assert play.states()[1] == "ready"
        assert play.finish([pair for pair in given if pair[0] == 1]) == []

    def test_when_all_are_dead_the_next_that_comes_does_everything(self):
        play = Play(1)
        given = play.given(JOB)
        play.sleep(13)
        again = play.given(register(2))
        assert [order.input_files for _, order in again] == [o.input_files for _, o in given]
        while again:
            again = play.finish(again)

    def test_no_job_begins_while_all_are_dead(self):
        play = Play(1)
        play.sleep(13)
        assert [type(a) for a in play.tell(JOB)] == [MakeFolders]
        assert play.given(Heartbeat(1))

    def test_who_accepts_no_connection_is_dead_though_its_heartbeats_come(self):
        play = Play(1, 2)
        given = play.given(JOB)
        again = orders(play.tell(Undelivered(HOST, 6001, "refused")))
        assert len(again) == sum(1 for pid, _ in given if pid == 1)
        play.tell(Heartbeat(1))
        assert play.states()[1] == "dead"
        play.tell(register(1))
        assert play.states()[1] == "ready"

    def test_who_registers_at_the_port_of_another_takes_its_place_at_once(self):
        play = Play(1)
        lost = [order.input_files for _, order in play.given(JOB)]
        drop, ack, *given = play.tell(Register(HOST, 6001, 2))
        assert drop == Drop(HOST, 6001), "what still waits for being sent to the first"
        assert ack.message == RegisterAck(HOST, 6001, 2)
        assert orders(given) == [map_order(2, files) for files in lost]
        play.tell(Heartbeat(1))
        assert play.states() == {1: "dead", 2: "busy"}

    def test_a_task_that_brings_down_twenty_workers_ends_its_job(self):
        play = Play()
        play.tell(NewMasterJob("in", "out", "map.py", "r", 1, 1), JOB)
        for pid in range(1, 22):
            [given] = play.given(register(pid))
            assert given[1].output_directory == "var/job-0/mapper-output"
            play.sleep(13)
        given = play.given(register(22))
        assert {order.output_directory for _, order in given} == {"var/job-1/mapper-output"}


class TestAnswers:
    @pytest.mark.parametrize(
        "written",
        [
            lambda path: f"./{path}",
            lambda path: f"/home/me/{path}",
            lambda path: path.replace("/mapper-output/", "/mapper-output//"),
        ],
        ids=["dot", "absolute", "two slashes"],
    )
    def test_paths_may_be_written_in_another_way(self, written):
        play = Play(1)
        [*most, last] = play.given(JOB)
        play.finish(most)
        files = [written(path) for path in last[1].outputs]
        told = Status(output_files=files, status="finished", worker_pid=1)
        assert len(play.given(told)) == 1

    def test_either_form_does_for_a_task_of_either_kind(self):
        play = Play(1)
        play.files = ["in/a"]
        play.given(NewMasterJob("in", "out", "map.py", "reduce.py", 1, 1))
        told = Status(output_file="var/job-0/mapper-output/a", status="finished", worker_pid=1)
        [(_, sort)] = play.given(told)
        assert isinstance(sort, NewSortJob)
        told = Status(output_files=[sort.output_file], status="finished", worker_pid=1)
        assert play.given(told) == [reduce_order(1, 0)]

    def test_answers_may_come_in_any_order(self):
        play = Play(1)
        given = play.given(JOB)
        assert len(play.finish(given[::-1])) == 1

    def test_an_answer_counts_once(self):
        play = Play(1, 2)
        given = play.given(JOB)
        assert play.finish([given[0]] * 9) == []

    @pytest.mark.parametrize(
        "told",
        [
            Status(output_files=["var/job-0/mapper-output/f0"], status="failed", worker_pid=1),
            Status(output_files=["var/job-0/mapper-output/f0"], status="finished", worker_pid=9),
            Status(output_files=["f0"], status="finished", worker_pid=1),
            Status(output_files=[], status="finished", worker_pid=1),
            Heartbeat(9),
            RegisterAck(HOST, 6001, 1),
            NewWorkerJob([], "map.py", "out", 1),
            Undelivered(HOST, 9, "refused"),
            Tick(),
        ],
    )
    def test_what_means_nothing_changes_nothing(self, told):
        play = Play(1)
        play.files = ["in/f0"]
        play.given(NewMasterJob("in", "out", "map.py", "reduce.py", 1, 1))
        before = play.states()
        assert play.tell(told) == []
        assert play.states() == before


class TestShutdown:
    def test_all_that_have_ever_registered_are_told_and_then_it_ends(self):
        play = Play(1, 2)
        play.sleep(13, 2)
        *told, stop = play.tell(Shutdown())
        sent = [action for action in told if isinstance(action, Send)]
        assert [(s.port, s.message, s.patience_s > 0) for s in sent] == [
            (6001, Shutdown(), False),
            (6002, Shutdown(), True),
        ]
        assert isinstance(stop, Stop)

    def test_a_port_is_told_once_though_it_has_had_several_workers_and_before_all_that_waits(self):
        play = Play(1, 2)
        play.tell(Register(HOST, 6001, 3))
        *told, _ = play.tell(Shutdown())
        assert told == [
            Drop(HOST, 6001),
            Send(HOST, 6001, Shutdown(), patience_s=1.0),
            Drop(HOST, 6002),
            Send(HOST, 6002, Shutdown(), patience_s=1.0),
        ]

    def test_nothing_begins_any_more(self):
        play = Play()
        play.tell(JOB)
        assert play.tell(Shutdown())[-1] == Stop(flush_s=2.0)


class TestReports:
    def test_a_job_that_lacks_what_a_worker_said_it_had_written_is_not_called_whole(self):
        play = Play(1)
        done = play.done
        play.done = lambda action: [  # type: ignore[method-assign]
            FilesDone(0, missing=("sorted_0",)) if isinstance(event, FilesDone) else event
            for event in done(action)
        ]
        given = play.given(JOB)
        while given and not isinstance(given[0][1], NewSortJob):
            given = play.finish(given)
        *most, last = play.finish(given)
        play.finish(most)
        [copy] = play.tell(answer(*last))
        assert isinstance(copy, CopyOutput)
        texts = [a.text for a in play.master.handle(FilesDone(0, older=("input_2",)), 0.0)]
        assert texts[0].startswith("job-0 is done")
        assert "not whole: no worker has written sorted_0" in texts[1]
        assert texts[2] == "out also has input_2, which are not of job-0"

    def test_an_executable_that_is_not_here_is_told_and_workers_may_find_it_all_the_same(self):
        play = Play(1)
        play.tell(JOB)
        report, *_ = play.master.handle(InputListed(0, ["in/f0"], lacking=("map.py",)), 0.0)
        assert "job-0: 'map.py' is no executable file here" in report.text
        assert play.states() == {1: "busy"}

    def test_results_that_can_t_be_copied_are_not_lost(self):
        play = Play(1)
        given = play.given(JOB)
        while not given[0][1].input_files[0].endswith("input_0"):
            given = play.finish(given)
        play.tell(*(answer(*one) for one in given))
        [report] = play.master.handle(FilesFailed(0, "out: File exists"), 0.0)
        assert report.text.endswith("out: File exists; its results are in var/job-0/reducer-output")

    def test_who_looks_on_is_told_of_each_step(self):
        master = Master()
        told = [
            action.text
            for event in (
                register(1),
                JOB,
                InputListed(0, []),
                Status(output_files=["x"], status="finished", worker_pid=5),
            )
            for action in master.handle(event, 0.0)
            if isinstance(action, Report)
        ]
        assert told == [
            "worker 1 at 127.0.0.1:6001 has registered",
            "job-0: map, 4 tasks",
            "unknown worker 5 answers for what is not its task: ['x']; ignored",
        ]


@pytest.mark.parametrize("seed", range(40))
def test_whatever_dies_every_job_ends_and_no_task_is_with_two_living_workers(seed: int) -> None:
    """Workers come, fall silent, wake up and answer late, by chance."""
    chance = random.Random(seed)
    play = Play(1, 2)
    play.files = [f"in/f{i}" for i in range(chance.randrange(6))]
    held: dict[int, list] = {1: [], 2: []}
    silent: set[int] = set()
    copied: list[int] = []

    done = play.done

    def note(action):
        if isinstance(action, CopyOutput):
            copied.append(action.job)
        return done(action)

    play.done = note  # type: ignore[method-assign]

    def take(given) -> None:
        for pid, order in given:
            held[pid].append(order)

    take(play.given(JOB, JOB, JOB))
    for _ in range(2000):
        if len(copied) == 3:
            break
        play.now += 1.0
        if chance.random() < 0.05 and len(silent) < len(held):
            silent.add(chance.choice(sorted(held)))
        if silent and chance.random() < 0.05:
            silent.remove(chance.choice(sorted(silent)))
        if len(held) < 8 and chance.random() < 0.05:
            held[len(held) + 1] = []
            take(play.given(register(len(held))))
        take(play.given(*(Heartbeat(pid) for pid in held if pid not in silent), Tick()))
        for pid in held:
            if pid not in silent and held[pid] and chance.random() < 0.3:
                order = held[pid].pop(0)
                take(play.given(answer(pid, order)))
        tasks = Counter(
            task.task for worker in play.master.workers.values() for task in worker.tasks
        )
        assert max(tasks.values(), default=0) <= 1
    assert copied == [0, 1, 2]

"""What travels has exactly the keys of the specification; what does not fit is refused."""

import json

import pytest

from mapreduce.jsonwire import messages
from mapreduce.jsonwire.messages import (
    Heartbeat,
    Incomplete,
    Message,
    NewMasterJob,
    NewSortJob,
    NewWorkerJob,
    NotAMessage,
    Register,
    RegisterAck,
    Shutdown,
    Status,
)

AS_IN_THE_TEXT: list[tuple[Message, dict]] = [
    (
        Register("localhost", 6001, 77),
        {
            "message_type": "register",
            "worker_host": "localhost",
            "worker_port": 6001,
            "worker_pid": 77,
        },
    ),
    (
        RegisterAck("localhost", 6001, 77),
        {
            "message_type": "register_ack",
            "worker_host": "localhost",
            "worker_port": 6001,
            "worker_pid": 77,
        },
    ),
    (
        NewMasterJob("in", "out", "map.py", "reduce.py", 4, 2),
        {
            "message_type": "new_master_job",
            "input_directory": "in",
            "output_directory": "out",
            "mapper_executable": "map.py",
            "reducer_executable": "reduce.py",
            "num_mappers": 4,
            "num_reducers": 2,
        },
    ),
    (
        NewWorkerJob([], "map.py", "var/job-0/mapper-output", 77),
        {
            "message_type": "new_worker_job",
            "input_files": [],
            "executable": "map.py",
            "output_directory": "var/job-0/mapper-output",
            "worker_pid": 77,
        },
    ),
    (
        NewSortJob(["a", "b"], "c", 77),
        {
            "message_type": "new_sort_job",
            "input_files": ["a", "b"],
            "output_file": "c",
            "worker_pid": 77,
        },
    ),
    (
        Status(output_files=["a"], status="finished", worker_pid=77),
        {
            "message_type": "status",
            "output_files": ["a"],
            "status": "finished",
            "worker_pid": 77,
        },
    ),
    (
        Status(output_file="a", status="finished", worker_pid=77),
        {"message_type": "status", "output_file": "a", "status": "finished", "worker_pid": 77},
    ),
    (Heartbeat(77), {"message_type": "heartbeat", "worker_pid": 77}),
    (Shutdown(), {"message_type": "shutdown"}),
]
NAMES = [text["message_type"] for _, text in AS_IN_THE_TEXT]


@pytest.mark.parametrize(("message", "text"), AS_IN_THE_TEXT, ids=NAMES)
def test_a_message_has_the_keys_of_the_text_in_its_order_and_no_others(
    message: Message, text: dict
) -> None:
    assert list(json.loads(messages.encode(message)).items()) == list(text.items())


@pytest.mark.parametrize(("message", "text"), AS_IN_THE_TEXT, ids=NAMES)
def test_a_message_is_read_in_any_layout_and_with_further_keys(
    message: Message, text: dict
) -> None:
    assert messages.decode(json.dumps({"more": [1], **text}, indent=2).encode()) == message


@pytest.mark.parametrize(("message", "text"), AS_IN_THE_TEXT, ids=NAMES)
def test_a_message_that_lacks_a_key_is_refused(message: Message, text: dict) -> None:
    for key in text:
        lacking = {k: value for k, value in text.items() if k != key}
        with pytest.raises(NotAMessage):
            messages.decode(json.dumps(lacking).encode())


@pytest.mark.parametrize("key", ["worker_port", "worker_pid"])
@pytest.mark.parametrize("wrong", ["6001", 6001.0, True, None, -1, [6001]])
def test_ports_and_pids_are_whole_numbers(key: str, wrong: object) -> None:
    _, text = AS_IN_THE_TEXT[0]
    with pytest.raises(NotAMessage):
        messages.decode(json.dumps({**text, key: wrong}).encode())


@pytest.mark.parametrize("wrong", [0, -1, 10**9, "4", 1.5])
def test_a_job_has_at_least_one_task_of_each_kind_and_not_too_many(wrong: object) -> None:
    _, text = AS_IN_THE_TEXT[2]
    for key in ("num_mappers", "num_reducers"):
        with pytest.raises(NotAMessage):
            messages.decode(json.dumps({**text, key: wrong}).encode())


def test_input_files_are_always_a_list() -> None:
    _, text = AS_IN_THE_TEXT[3]
    with pytest.raises(NotAMessage):
        messages.decode(json.dumps({**text, "input_files": "a"}).encode())


def test_a_task_s_outputs_are_its_folder_a_slash_and_the_inputs_names() -> None:
    order = NewWorkerJob(["in/a.txt", "/abs/b"], "map.py", "var/job-0/mapper-output", 7)
    assert order.outputs == ["var/job-0/mapper-output/a.txt", "var/job-0/mapper-output/b"]


@pytest.mark.parametrize(
    "data", [b"", b'{"message_type": "shut', b"\xff\xfe", b'{"message_type": "shutdown"}{', b"no"]
)
def test_what_is_no_whole_json_value_may_become_one(data: bytes) -> None:
    with pytest.raises(Incomplete):
        messages.decode(data)


@pytest.mark.parametrize("data", [b"[]", b"{}", b"7", b'{"message_type": "hello"}'])
def test_other_json_is_no_message(data: bytes) -> None:
    with pytest.raises(NotAMessage) as caught:
        messages.decode(data)
    assert not isinstance(caught.value, Incomplete)

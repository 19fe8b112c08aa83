"""The names of keys."""

import pytest

from dynamo.errors import RequestError
from dynamo.store import check_key
from dynamo.values.ring import routing_part
from mapreduce.data.shuffle import Piece
from mapreduce.engine import paths


def test_all_pieces_for_a_reducer_share_their_routing_with_its_home() -> None:
    pieces = [Piece(7, 2, 3, 1, 2, 10, 100), Piece(8, 1, 3, 0, 1, 10, 100)]
    keys = [key for piece in pieces for key in paths.piece_keys("wc.1", piece)]
    assert len(set(keys)) == 3
    assert {routing_part(key) for key in keys} == {routing_part(paths.home("wc.1", 3))}
    assert routing_part(paths.home("wc.1", 2)) != routing_part(paths.home("wc.1", 3))
    assert all(key.startswith(paths.pieces("wc")) for key in keys)


def test_no_job_s_keys_are_taken_for_another_s() -> None:
    assert not paths.code("wc2").startswith(paths.of_job("wc"))
    assert not paths.home("wc2.1", 0).startswith(paths.pieces("wc"))


def test_the_longest_name_still_fits_into_a_key() -> None:
    name = "n" * 100
    paths.check_job_name(name)
    check_key(paths.block(name, 99999, 99999, 99, 99, 99999))


@pytest.mark.parametrize("name", ["", "a b", "-a", "a/b", "a:b", "{a}", "é", "n" * 101, "a\n"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(RequestError, match="can't name a job"):
        paths.check_job_name(name)

"""Which jobs can be merged into one file, told before anything is read."""

from typing import Any

import msgspec
import pytest

from cli.output import check_mergeable
from dynamo.errors import RequestError
from mapreduce.engine.orders import StepSpec
from tests.mapreduce.specs import job_spec

REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no reducers": ({"reducers": 0}, {}, "has no reducers, so nothing has sorted"),
    "an order of its own": ({"sort_key": "length"}, {}, "its own sort_key, length, and that does"),
    "groups of its own": ({"group_key": "of"}, {}, "its own group_key, of, and that does not run"),
    "parts in one file": ({}, {"merged": True}, "one behind the other itself"),
    "keys left out": ({}, {"output_format": "text:keys=no"}, "text:keys=no, has no keys"),
}
TAKEN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "reducers": ({}, {}),
    "descending": ({"descending": True}, {"output_format": "jsonlines:compress=gzip"}),
    "total order": ({"sort_key": "length", "total_order": True}, {"merged": True}),
    "one reducer": ({"sort_key": "length", "reducers": 1}, {}),
}


@pytest.mark.parametrize(("step", "job", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_in_no_order_that_is_known_here_is_refused(
    step: dict[str, Any], job: dict[str, Any], message: str
) -> None:
    spec = msgspec.structs.replace(job_spec(**job), steps=(StepSpec(**{"reducers": 2, **step}),))
    with pytest.raises(RequestError, match=message):
        check_mergeable(spec)


@pytest.mark.parametrize(("step", "job"), TAKEN.values(), ids=TAKEN.keys())
def test_what_is_in_a_known_order_is_taken(step: dict[str, Any], job: dict[str, Any]) -> None:
    spec = msgspec.structs.replace(job_spec(**job), steps=(StepSpec(**{"reducers": 2, **step}),))
    check_mergeable(spec)

"""What a master does while it leads, and what it answers while it does not.

One `Term` for each time that this process leads: made when it begins, thrown away when it ends.
"""

from typing import NamedTuple

from dynamo.store import Store
from mapreduce.cluster.dispatcher import Dispatcher
from mapreduce.cluster.reports import Reports
from mapreduce.cluster.requests import Requests
from mapreduce.engine.scheduler import Policy
from mapreduce.errors import NotLeader


class Term(NamedTuple):
    """One time of leading: the dispatcher and those who speak to it."""

    dispatcher: Dispatcher
    requests: Requests
    reports: Reports


class Leadership:
    """Holds the present term, if this process leads."""

    def __init__(self, name: str, store: Store, policy: Policy | None = None) -> None:
        self._name = name
        self._store = store
        self._policy = policy
        self._term: Term | None = None

    def start(self) -> None:
        """Begin to lead."""
        dispatcher = Dispatcher(self._store, self._policy)
        dispatcher.start()
        self._term = Term(dispatcher, Requests(dispatcher), Reports(dispatcher))

    def stop(self) -> None:
        """Lead no more."""
        if self._term:
            self._term.dispatcher.stop()
            self._term = None

    @property
    def term(self) -> Term:
        """The present term; raises `NotLeader` if another master leads, or none."""
        if self._term is None:
            raise NotLeader(self._name)
        return self._term

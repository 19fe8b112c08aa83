"""What a master does while it leads, and what it answers while it does not.

One `Term` for each time that this process leads: made when it begins, thrown away when it ends.
"""

import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import gevent
from gevent.event import Event

from dynamo.config import MasterConfig
from dynamo.errors import DynamoError
from dynamo.store import Store
from mapreduce.cluster.dispatcher import Dispatcher
from mapreduce.cluster.election import RESIGN_S, Election, Standing
from mapreduce.cluster.reports import Reports
from mapreduce.cluster.requests import Requests
from mapreduce.engine.scheduler import Policy
from mapreduce.errors import NotLeader

TRY_AGAIN_S = 0.5


class Term(NamedTuple):
    """One time of leading: the dispatcher and those who speak to it."""

    dispatcher: Dispatcher
    requests: Requests
    reports: Reports


class Leadership:
    """Follows the election, and holds the present term while the master `name` leads.

    `masters` are all masters of the cluster. `start` before use; lives in the hub.
    """

    def __init__(
        self,
        name: str,
        masters: Sequence[MasterConfig],
        store: Store,
        policy: Policy | None = None,
    ) -> None:
        self._name = name
        self._masters = {master.name: master for master in masters}
        self._store = store
        self._policy = policy
        self._term: Term | None = None
        self._failing_since = 0.0
        """When it first could not begin to lead, as the store did not answer; 0.0 if it could."""
        self._changed = Event()
        self._wake = gevent.get_hub().loop.async_()
        self._election: Election | None = None
        self._follower: gevent.Greenlet | None = None

    def start(self) -> None:
        """Take part in the election. Raises `NodeFailed` if that is not possible."""
        self._wake.start(self._changed.set)
        members = {master.name: master.election for master in self._masters.values()}
        folder = self._masters[self._name].data
        self._election = Election(self._name, members, folder, self._wake.send)
        self._follower = gevent.spawn(self._follow, self._election)

    def stop(self) -> None:
        """Lead no more, and take part no more."""
        if self._follower:
            self._follower.kill()
        self._end()
        if self._election:
            self._election.close()
        self._wake.stop()
        self._wake.close()

    @property
    def term(self) -> Term:
        """The present term; raises `NotLeader` if another master leads, or none."""
        standing = self.standing
        if self._term is None or standing.term != self._term.dispatcher.term:
            leader = standing.leader
            known = leader in self._masters and leader != self._name
            raise NotLeader(self._name, *((leader, self._masters[leader].address) if known else ()))
        return self._term

    @property
    def standing(self) -> Standing:
        """Who leads, as far as this master knows. `term` is 0 until it is ready to lead itself."""
        if self._election is None or self._election.stood_still:
            return Standing()
        standing = self._election.standing
        return standing if self._term else standing._replace(term=0)

    def _follow(self, election: Election) -> None:
        """Begin and end terms as the election goes."""
        while True:
            self._changed.clear()
            number = election.standing.term
            if self._term and self._term.dispatcher.term != number:
                self._end()
            if number and not self._term:
                self._begin(election, number)
            else:
                self._changed.wait()

    def _begin(self, election: Election, number: int) -> None:
        dispatcher = Dispatcher(self._store, election, number, self._policy, self._name)
        try:
            dispatcher.start()
        except DynamoError as error:
            self._say(f"can't begin to lead, in term {number}: {error}")
            dispatcher.stop()
            self._failing_since = self._failing_since or time.monotonic()
            if time.monotonic() - self._failing_since > RESIGN_S:
                election.resign()
            self._changed.wait(TRY_AGAIN_S)
        else:
            self._failing_since = 0.0
            self._term = Term(dispatcher, Requests(dispatcher), Reports(dispatcher))
            self._say(f"leads, in term {number}")

    def _end(self) -> None:
        if self._term:
            ended, self._term = self._term, None
            ended.dispatcher.stop()
            self._say(f"leads no more; its term was {ended.dispatcher.term}")

    def _say(self, what: str) -> None:
        print(f"master {self._name} {what}", file=sys.stderr, flush=True)

"""Virtual clients: each does one operation after another, and asks another node after a silence."""

from collections.abc import Iterator, Sequence
from itertools import count
from random import Random

from dynamo.protocol.messages import (
    Condition,
    Envelope,
    Failed,
    Get,
    GetDone,
    GetMany,
    GotMany,
    KeysListed,
    ListKeys,
    Message,
    Put,
    PutDone,
    PutMany,
)
from dynamo.simulation.faults import Faults
from dynamo.simulation.history import Operation
from dynamo.simulation.losses import Losses
from dynamo.simulation.operator import Operator
from dynamo.simulation.plan import Plan, stream
from dynamo.simulation.world import EPOCH_S, World
from dynamo.values.versions import Siblings

PATIENCE_S = 0.7
"""How long a client waits for one node before it asks the next."""

REST_S = 20.0
"""Once nothing goes wrong any more, all replicas have to agree within this time."""

CHANGES_S = 120.0
"""Once nothing goes wrong any more, all changes of the ring have to be done within this time."""

REPAIR_S = 3.0
"""By then a read has repaired what it found stale."""

PASSING = 0.3
"""Share of operations on keys of ephemeral values, where there are any."""

PASSES_AFTER_S = (0.3, 1.0, 3.0, 8.0)
"""Times to live of ephemeral values: once all is at rest they have expired."""

EXPIRES_AFTER_S = (0.2, 1.0, 4.0, 1000.0)
"""Times to live of other values."""

OPERATOR_IDS = 1 << 31
READER_IDS = 1 << 32
"""Where the reader's request ids begin: behind those of all clients."""

Readings = dict[str, Siblings]
"""What a client's last get of each key returned."""


class VirtualClient:
    """Takes operations from `script` one by one; the script may look at `readings`."""

    def __init__(self, name: str, world: World, ids: Iterator[int], pause_s: float) -> None:
        self.name = name
        self.readings: Readings = {}
        self._world = world
        self._ids = ids
        self._pause_s = pause_s
        self._random = world.plan.stream(f"client {name}")
        skew_s = world.plan.clock_skew_s
        self._clock_ahead_s = EPOCH_S + self._random.uniform(-skew_s, skew_s)
        self._operation: Operation | None = None
        self._sent: list[int] = []
        self.working = False
        world.network.receivers[name] = self.receive

    def follow(self, script: Iterator[Operation]) -> None:
        self._script = script
        self.working = True
        self._rest()

    def has_ended(self) -> bool:
        """True once it has come to the end of its script."""
        return not self.working

    def receive(self, envelope: Envelope) -> bool:
        operation, message = self._operation, envelope.message
        if operation is None or message.id not in self._sent:
            return True  # late, or twice: of no interest any more
        if isinstance(message, KeysListed):
            self._take_page(operation, message)
        elif isinstance(message, GetDone | GotMany) and operation.kind == "get":
            found = message.siblings if isinstance(message, GetDone) else message.siblings[0]
            operation.siblings = self.readings[operation.key] = found
            self._end(operation, True)
        else:
            operation.refusal = message.reason if isinstance(message, Failed) else None
            operation.nodes = message.nodes if isinstance(message, PutDone) else ()
            operation.lists = self._world.write_lists(operation.key)
            self._end(operation, isinstance(message, PutDone) and operation.kind != "get")
        return True

    def _rest(self) -> None:
        pause_s = self._random.expovariate(1 / self._pause_s) if self._pause_s else 0.0
        self._world.clock.after(pause_s, self._begin)

    def _begin(self) -> None:
        operation = next(self._script, None)
        if operation is None:
            self.working = False
            return
        operation.client = self.name
        self._world.history.begin(operation, self._world.clock.now, self._clock_ahead_s)
        self._operation = operation
        running = self._world.running
        some = self._random.sample(running, min(3, len(running)))
        self._nodes = [operation.at_node] if operation.at_node else some
        self._ask(operation, "")

    def _ask(self, operation: Operation, after: str) -> None:
        """Send the operation, or the next page of it, to one node after another."""
        now, limit_s = self._world.clock.now, self._world.plan.settings.timeout_s
        remaining_s = operation.began_at + limit_s - now
        if remaining_s <= 0:
            self._end(operation, False)
            return
        id = next(self._ids)
        # A page that comes for an earlier question must not be taken for an answer to this one.
        self._sent = [id] if operation.kind == "list" else [*self._sent, id]
        request = _request(operation, id, after, remaining_s)
        self._world.network.send(Envelope(self.name, self._nodes[0], request))
        self._nodes = self._nodes[1:] + self._nodes[:1]
        self._world.clock.after(min(PATIENCE_S, remaining_s), self._grow_impatient, id, after)

    def _grow_impatient(self, id: int, after: str) -> None:
        if self._operation is not None and self._sent and self._sent[-1] == id:
            self._ask(self._operation, after)

    def _take_page(self, operation: Operation, page: KeysListed) -> None:
        operation.listed += page.keys
        if page.after:
            self._ask(operation, page.after)
        else:
            self._end(operation, True)

    def _end(self, operation: Operation, succeeded: bool) -> None:
        operation.succeeded = succeeded
        operation.ended_at = self._world.clock.now
        self._operation, self._sent = None, []
        self._rest()


def _request(operation: Operation, id: int, after: str, timeout_s: float) -> Message:
    if operation.as_lot:
        return _lot_request(operation, id, timeout_s)
    if operation.kind == "get":
        return Get(id, operation.key, r=operation.r, timeout_s=timeout_s)
    if operation.kind == "list":
        return ListKeys(id, operation.key, after, operation.limit, timeout_s=timeout_s)
    return Put(
        id,
        operation.key,
        operation.value,
        operation.context,
        operation.written_at,
        timeout_s=timeout_s,
        durable=operation.durable,
        expires_at=operation.expires_at,
        ephemeral=operation.ephemeral,
        condition=operation.condition,
    )


def _lot_request(operation: Operation, id: int, timeout_s: float) -> Message:
    """A get, or a write without a context, in the form for many keys."""
    key, quorum = operation.key, operation.r
    if operation.kind == "get":
        return GetMany(id, (key,), r=quorum, timeout_s=timeout_s)
    items, at = ((key, operation.value),), operation.written_at
    return PutMany(
        id,
        items,
        at,
        timeout_s=timeout_s,
        durable=operation.durable,
        expires_at=operation.expires_at,
        ephemeral=operation.ephemeral,
    )


def random_script(plan: Plan, client: VirtualClient) -> Iterator[Operation]:
    """Operations that collide: few keys, contexts that are used more than once, blind puts."""
    random = stream(plan.seed, f"script {client.name}")
    special = stream(plan.seed, f"special {client.name}")
    for number in range(1, plan.operations + 1):
        passing = plan.passing and special.random() < PASSING
        key = random.choice(plan.passing_names if passing else plan.lasting_names)
        chosen = _choose(random, key, f"{client.name}.{number}".encode(), plan, client.readings)
        may_be_lot = chosen.kind != "list" and chosen.context is None
        chosen.as_lot = may_be_lot and random.random() < 0.5
        if chosen.kind == "delete" and passing and special.random() < 0.9:
            # A delete may have to leave a tombstone that lasts, and such a key takes no more.
            chosen.kind, chosen.value = "put", f"{client.name}.{number}".encode()
        if chosen.kind == "put":
            _make_special(chosen, special, plan, ephemeral=bool(passing))
        yield chosen


def _make_special(put: Operation, random: Random, plan: Plan, *, ephemeral: bool) -> None:
    """Give a put its time to live and its condition, if it is to have any."""
    if random.random() < plan.conditional:
        put.condition = Condition.ABSENT if put.context is None else Condition.UNCHANGED
        put.as_lot = False
    if ephemeral:
        put.ephemeral, put.durable = True, random.random() < 0.2
        put.ttl_s = random.choice(PASSES_AFTER_S)
    elif random.random() < plan.expiring:
        put.ttl_s = random.choice(EXPIRES_AFTER_S)


def _choose(random: Random, key: str, value: bytes, plan: Plan, readings: Readings) -> Operation:
    choice = random.random()
    durable = random.random() >= plan.careless
    if choice < 0.06:
        return Operation("list", "key", limit=random.randint(1, 3))
    if choice < 0.20:
        return Operation("put", key, value, durable=durable)
    if choice < 0.23:
        return Operation("delete", key, durable=durable)
    reading = readings.get(key)
    if reading is None or choice < 0.50:
        return Operation("get", key)
    if random.random() < 0.7:  # else the context is used again, as a careless program does
        del readings[key]
    saw = tuple(version.written_at for version in reading.versions)
    if choice < 0.90:
        return Operation("put", key, value, reading.context, saw, durable)
    return Operation("delete", key, None, reading.context, saw, durable)


def quiet_script(plan: Plan, members: Sequence[str]) -> Iterator[Operation]:
    """At the end: read every copy of each key, then read again, then list at each node."""
    for key in plan.key_names:
        yield Operation("get", key, r=min(plan.settings.n, len(members)))
    for key in plan.key_names:
        yield Operation("get", key)
    for name in members:
        yield Operation("list", "key", limit=2, at_node=name)


def work(world: World) -> None:
    """The clients among faults, then silence for all that was under way to come to rest."""
    ids, losses = count(1), Losses(world)
    faults = Faults(world, losses)
    operator = Operator(world, losses, count(OPERATOR_IDS))
    clients = [
        VirtualClient(name, world, ids, world.plan.pause_s) for name in world.plan.client_names
    ]
    for client in clients:
        client.follow(random_script(world.plan, client))
    clock, faults_last_s = world.clock, world.plan.faults_last_s
    clock.run(until=lambda: clock.now > faults_last_s)
    for client in clients:
        clock.run(until=client.has_ended)
    faults.end()
    clock.run(until=lambda: not operator.working, for_s=CHANGES_S)
    clock.run(for_s=REST_S)


def read_back(world: World) -> None:
    """The quiet end."""
    reader = VirtualClient("reader", world, count(READER_IDS), pause_s=0.0)
    reader.follow(quiet_script(world.plan, world.cluster.table.members))
    world.clock.run(until=reader.has_ended)
    world.clock.run(for_s=REPAIR_S)

"""Joins two inputs: orders with the users who placed them.

    mapreduce run examples/join.py -o out/ --set users=users.csv --set orders=orders.jsonl

Input: users, CSV with a header and the columns id, name and city; and orders, JSON lines with the
fields user, item and price. Output: CSV, a row for each order of a known user:

    user,name,city,item,price
    17,Ann,Oslo,lamp,19.5

Orders of unknown users go to the named output `unknown`: files unknown-r-00000.jsonl, ... beside
the others. Users without orders are counted.

Each input has a format and a mapper of its own. Both yield keys (user, kind); `group_key` makes all
keys of a user one group, in which the user comes before the orders, as keys are in order. So orders
stream through and are never held. (Reduce-side join with secondary sort: Lin & Dyer,
"Data-Intensive Text Processing with MapReduce", 2010, section 3.5.1.)
"""

from mapreduce import Input, Job, Mapper, Reducer

USER, ORDER = 0, 1  # in the order in which the reducer is to see them


class Users(Mapper):
    def map(self, key, value):
        yield (value["id"], USER), (value["name"], value["city"])


class Orders(Mapper):
    def map(self, key, value):
        yield (str(value["user"]), ORDER), value


def user_of(key):
    user, _ = key
    return user


class Joined(Reducer):
    def reduce(self, key, values):
        users, orders = [], 0
        for value in values:
            if isinstance(value, tuple):
                users.append(value)
                continue
            orders += 1
            for user in users:
                yield key, (*user, value["item"], value["price"])
            if not users:
                self.context.emit(key, value, to="unknown")
        if not orders:
            self.context.count("users without orders")


def job(users: str, orders: str, reducers: int = 1) -> Job:
    return Job(
        "join",
        inputs=[
            Input(users, format="csv:header=yes", mapper=Users),
            Input(orders, format="jsonlines", mapper=Orders),
        ],
        reducer=Joined,
        reducers=reducers,
        group_key=user_of,
        output_format="csv:header=user,name,city,item,price",
        outputs={"unknown": "jsonlines:keys=no"},
    )

"""The workloads in SQL, by DuckDB.

`python -m benchmarks.programs.with_duckdb words OUTPUT INPUT`
"""

import sys
from pathlib import Path

import duckdb

THREADS = 2
LINES = "read_csv('{}', columns={{'line': 'VARCHAR'}}, delim='\\x01', quote='', header=false)"
COLUMNS = "columns={{'key': 'VARCHAR', 'rest': 'VARCHAR'}}"
TABLE = f"read_csv('{{}}', {COLUMNS}, delim='\\t', quote='', header=false)"
WORDS = f"""
    SELECT word, count(*) FROM (SELECT unnest(string_split(line, ' ')) AS word FROM {LINES})
    GROUP BY word"""
SORT = f"SELECT key, rest FROM {TABLE} ORDER BY key"
INDEX = f"""
    SELECT word, string_agg(DISTINCT key, ' ' ORDER BY key)
    FROM (SELECT key, unnest(string_split(rest, ' ')) AS word FROM {TABLE})
    GROUP BY word"""
JOIN = f"""
    SELECT key, customers.rest, orders.rest
    FROM {TABLE} AS customers JOIN {TABLE} AS orders USING (key)"""
QUERIES = {"words": WORDS, "sort": SORT, "index": INDEX, "join": JOIN}


def run(name: str, output: str, *inputs: str) -> None:
    Path(output).mkdir()
    query = QUERIES[name].format(*inputs)
    with duckdb.connect(config={"threads": THREADS}) as database:
        database.execute(
            f"COPY ({query}) TO '{output}/part-0' (FORMAT csv, DELIMITER '\\t', HEADER false)"
        )


if __name__ == "__main__":
    run(*sys.argv[1:])

"""Inserts one series of orders and their changes by the sqlite3 library: SOURCE TARGET SERIES BATCH.

The tables have the shape and indexes of the source's, the connection its pragmas. Prints rows, seconds, CPU seconds.
"""

import sqlite3
import sys
import time

source_file, target_file, series, batch = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
source = sqlite3.connect(f"file:{source_file}?mode=ro", uri=True)
target = sqlite3.connect(target_file, isolation_level=None)
for pragma in (
    f"page_size = {source.execute('PRAGMA page_size').fetchone()[0]}",
    "journal_mode = wal",
    "synchronous = full",
    "foreign_keys = on",
    "temp_store = memory",
    "cache_size = -16384",
):
    target.execute(f"PRAGMA {pragma}")
if not target.execute("SELECT 1 FROM sqlite_master WHERE name = 'sales_order'").fetchone():
    shapes = source.execute(
        "SELECT sql FROM sqlite_master WHERE tbl_name IN ('sales_order', 'change') AND sql IS NOT NULL ORDER BY type DESC"
    )
    for (sql,) in shapes:
        target.execute(sql)

chosen = "key_source = 'shop' AND key_external LIKE ? || '-%'"
orders = source.execute(f"SELECT * FROM sales_order WHERE {chosen} ORDER BY position", (series,)).fetchall()
changes = source.execute(
    "SELECT c.* FROM change c JOIN sales_order o ON o.tenant = c.tenant AND o.id = c.record "
    f"WHERE {chosen} ORDER BY c.lane, c.position",
    (series,),
).fetchall()
source.close()
id_of = 1
chunks = []
for start in range(0, len(orders), batch):
    # As the service does it: orders by id, changes by position.
    chunks.append((sorted(orders[start : start + batch], key=lambda row: row[id_of]), changes[start : start + batch]))
into_order = f"INSERT INTO sales_order VALUES ({','.join('?' * len(orders[0]))})"
into_change = f"INSERT INTO change VALUES ({','.join('?' * len(changes[0]))})"

cpu, wall = time.process_time(), time.perf_counter()
for some_orders, some_changes in chunks:
    target.execute("BEGIN IMMEDIATE")
    target.executemany(into_order, some_orders)
    target.executemany(into_change, some_changes)
    target.execute("COMMIT")
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
print(len(orders), wall, cpu)

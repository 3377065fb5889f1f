"""Holds the medians of results.jsonl against the marks. Says what was not measured; exits 1 when a mark is missed."""
import json
import statistics
import sys

runs = {}
for line in open(sys.argv[1]):
    run = json.loads(line)
    gateway, mode, test = run["label"].split("|")
    runs.setdefault((gateway, mode, test.split()[0]), []).append(run)
missed = False


def median(gateway, test, *path, mode=None):
    values = []
    for (g, m, t), rs in runs.items():
        if g == gateway and t == test and mode in (None, m):
            for r in rs:
                for key in path:
                    r = r and r[key]
                values.append(r)
    values = [v for v in values if v is not None]
    return statistics.median(values) if values else None


def mark(what, value, bound, over=False):
    global missed
    if value is None or bound is None:
        print(f"- {what}: not measured in this run")
        return
    good = value >= bound if over else value <= bound
    missed |= not good
    print(f"- {what}: {value:g}, mark {'at least' if over else 'at most'} {bound:g}: {'met' if good else 'MISSED'}")


def server(mode):
    """The database server's CPU for 1,000 messages: runs and figures come in the same order."""
    cpu = [json.loads(line) for line in open(sys.argv[2])]
    cpu = [run["cpu_s"] for run in cpu if run["mode"] == mode]
    delivered = [r["accepted"] for (g, m, t), rs in runs.items() if (g, m) == ("ours_pg", mode) for r in rs]
    return sum(cpu) * 1000 / sum(delivered) if cpu and len(cpu) == len(delivered) else None


print("Marks:\n")
mark("delivered/s, against Kannel's file mode", median("ours", "throughput", "delivered_per_s"),
     median("kannel", "throughput", "delivered_per_s", mode="file"), over=True)
mark("CPU s per 1,000", median("ours", "throughput", "cpu_s_per_1000"), 0.20)
mark("accept p99 ms, paced at 1,000/s", next((median("ours", "paced", "accept_ms", "p99")
     for (g, _, t), rs in runs.items() if g == "ours" and t == "paced" and rs[0]["rate"] == 1000), None), 8)
if any(gateway == "ours_pg" for gateway, _, _ in runs):
    one, two = (median("ours_pg", "throughput", "delivered_per_s", mode=mode) for mode in ("pg1", "pg2"))
    mark("PostgreSQL: gateway CPU s per 1,000, against 1.3 x SQLite's", median("ours_pg", "throughput", "cpu_s_per_1000", mode="pg1"),
         1.3 * (median("ours", "throughput", "cpu_s_per_1000") or 0) or None)
    for mode in ("pg1", "pg2", "pg3"):
        mark(f"PostgreSQL: server CPU s per 1,000, {mode}", server(mode), 0.25)
    mark("PostgreSQL: delivered/s of two nodes, against 0.9 x one's on the same cores", two, one and 0.9 * one, over=True)
for (gateway, mode, test), rs in runs.items():
    if gateway in ("ours", "ours_pg"):
        test = f"{mode} {test}"
        mark(f"lost, {test}", sum(r["lost"] for r in rs), 0)
        if not test.endswith("kill"):
            mark(f"duplicated or refused, {test}", sum(r["duplicated"] + r["refused"] for r in rs), 0)
sys.exit(1 if missed else 0)

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


print("Marks:\n")
mark("delivered/s, against Kannel's file mode", median("ours", "throughput", "delivered_per_s"),
     median("kannel", "throughput", "delivered_per_s", mode="file"), over=True)
mark("CPU s per 1,000", median("ours", "throughput", "cpu_s_per_1000"), 0.20)
mark("accept p99 ms, paced at 1,000/s", next((median("ours", "paced", "accept_ms", "p99")
     for (g, _, t), rs in runs.items() if g == "ours" and t == "paced" and rs[0]["rate"] == 1000), None), 8)
for (gateway, mode, test), rs in runs.items():
    if gateway == "ours":
        mark(f"lost, {test}", sum(r["lost"] for r in rs), 0)
        if not test.endswith("kill"):
            mark(f"duplicated or refused, {test}", sum(r["duplicated"] + r["refused"] for r in rs), 0)
sys.exit(1 if missed else 0)

"""Holds alerts, dashboards and a running gateway's /metrics against the engine's table of metrics. Prints faults, exits 1
when there are any.

    metrics.py rules OUT           writes every PromQL expression of the dashboards as recording rules, for promtool
    metrics.py names               alerts.yml and the dashboards name only metrics and labels that exist; alerts are complete;
                                   the table has what the contract names
    metrics.py live FILE           a saved /metrics has the table's types and labels, no summary, nothing else
"""
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
DASHBOARDS = sorted((ROOT / "deploy/grafana").glob("*.json"))
ALERTS = ROOT / "deploy/prometheus/alerts.yml"
RUNBOOKS = ROOT / "deploy/prometheus/runbooks.md"
TABLE = ROOT / "crates/engine/src/telemetry/table.rs"
CONTRACT = ROOT / "tests/deploy/contract-metrics.txt"
ALWAYS = {"instance", "job", "le"}  # Prometheus adds the first two, histograms have the third
METRIC = re.compile(r"(?<![\w:])gateway_\w+")
faults = []


def fault(text):
    faults.append(text)
    print(f"  {text}")


def known():
    """name -> (type, labels), from the engine's declarations"""
    found = re.findall(r'(counter|gauge|histogram)\(\s*"(gateway_\w+)",\s*&\[([^\]]*)\]', TABLE.read_text())
    if not found:
        fault(f"{TABLE} declares no metric that can be read")
    return {name: (kind, set(re.findall(r"\w+", labels))) for kind, name, labels in found}


def base(name, metrics):
    """The metric a series name belongs to: histograms are queried by their parts."""
    stem = re.sub(r"_(bucket|count|sum)$", "", name)
    return stem if metrics.get(stem, ("", ()))[0] == "histogram" else name


def dashboard_exprs():
    """(where, PromQL) of every panel, annotation and variable."""
    for path in DASHBOARDS:
        board = json.loads(path.read_text())
        for key in ("uid", "title"):
            if not board.get(key):
                fault(f"{path.name}: no {key}")
        names = {v["name"] for v in board["templating"]["list"]}
        for name in {"datasource", "tenant", "provider", "country"} - names:
            fault(f"{path.name}: no variable {name}")
        for panel in board["panels"]:
            if panel["type"] != "row" and not panel.get("targets"):
                fault(f"{path.name}: panel {panel['title']!r} asks nothing")
            for target in panel.get("targets", []):
                yield f"{path.name}: {panel['title']}", target["expr"]
        for note in board["annotations"]["list"]:
            if "expr" in note:
                yield f"{path.name}: annotation {note['name']}", note["expr"]
        for variable in board["templating"]["list"]:
            asked = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable.get("definition", ""))
            if asked:
                yield f"{path.name}: variable {variable['name']}", f"count by ({asked[2]}) ({asked[1]})"


def plain(expr):
    """Grafana's own variables replaced by values, so that what remains is PromQL."""
    expr = expr.replace("$__rate_interval", "5m").replace("$__range", "6h")
    return re.sub(r"\$(tenant|provider|country)", ".*", expr)


def rules(out):
    lines = ["groups:", "- name: dashboards", "  rules:"]
    exprs = list(dashboard_exprs())
    for n, (where, expr) in enumerate(exprs):
        left = re.search(r"\$\w+", plain(expr))
        if left:
            fault(f"{where}: unknown variable {left[0]}")
        lines += [f"  # {where}", f"  - record: dashboard:expr{n}", f"    expr: {json.dumps(plain(expr))}"]
    pathlib.Path(out).write_text("\n".join(lines) + "\n")
    print(f"  {len(exprs)} expressions")


def check_expr(where, text, metrics, extra=frozenset()):
    labels = set(ALWAYS) | extra
    for found in METRIC.findall(text):
        name = base(found, metrics)
        if name not in metrics:
            fault(f"{where}: unknown metric {found}")
            continue
        labels |= metrics[name][1]
    for name, inside in re.findall(r"(?<![\w:])(gateway_\w+)\{([^}]*)\}", text):
        allowed = metrics.get(base(name, metrics), ("", set()))[1] | ALWAYS
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", inside):
            if label not in allowed:
                fault(f"{where}: {name} has no label {label}")
    for inside in re.findall(r"\b(?:by|on|ignoring|without)\s*\(([^)]*)\)", text):
        for label in filter(None, re.split(r"[\s,]+", inside)):
            if label not in labels:
                fault(f"{where}: nothing here has a label {label}")


def check_alerts(metrics):
    blocks = re.split(r"\n  - (?=alert:|record:)", ALERTS.read_text())
    runbooks = set(re.findall(r"^## (\w+)$", RUNBOOKS.read_text(), re.M))
    alerts = set()
    for block in blocks[1:]:
        name = block.split("\n")[0].split(": ")[1].strip()
        # Recorded series carry the labels in their level: `route:` is by provider or tenant, and country.
        check_expr(name, block, metrics, {"tenant", "provider", "country"} if ":gateway_" in block else frozenset())
        if not block.startswith("alert:"):
            continue
        alerts.add(name)
        for key in ("summary:", "description:", f'runbook_url: "https://example.invalid/runbooks/{name}"'):
            if key not in block:
                fault(f"{name}: no {key}")
        if not re.search(r"severity: (critical|warning|info)\b", block):
            fault(f"{name}: no severity")
    for name in alerts ^ runbooks:
        fault(f"{name}: stands in only one of alerts.yml and runbooks.md")
    print(f"  {len(alerts)} alerts")


def names():
    metrics = known()
    for where, expr in dashboard_exprs():
        check_expr(where, expr, metrics)
    check_alerts(metrics)
    for line in CONTRACT.read_text().splitlines():
        name, *labels = line.split() if not line.startswith("#") else [None]
        if name and name not in metrics:
            fault(f"{name} stands in the contract and not in the table")
        elif name and labels and set(labels) != metrics[name][1]:
            fault(f"{name} has labels {sorted(metrics[name][1])}, in the contract {sorted(labels)}")
    print(f"  {len(metrics)} metrics")


def live(path):
    metrics, types, labels = known(), {}, {}
    for line in pathlib.Path(path).read_text().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            types[name] = kind
        elif line and not line.startswith("#"):
            sample = re.match(r"(\w+)(?:\{(.*)\})? ", line)
            seen = set(re.findall(r'(\w+)="(?:[^"\\]|\\.)*"', sample[2] or ""))
            labels.setdefault(base(sample[1], metrics), set()).update(seen - ALWAYS)
    for name, kind in types.items():
        if kind == "summary":
            fault(f"{name} is a summary")
        if not name.startswith("gateway_"):
            continue
        if name not in metrics:
            fault(f"{name} is not in the table")
        elif (kind, labels.get(name, set())) != metrics[name]:
            fault(f"{name} is a {kind} of {sorted(labels.get(name, ()))}, in the table a {metrics[name][0]} of {sorted(metrics[name][1])}")
    print(f"  {len(types)} metrics; not seen yet: {', '.join(sorted(metrics.keys() - types.keys())) or 'none'}")


if __name__ == "__main__":
    {"rules": rules, "names": names, "live": live}[sys.argv[1]](*sys.argv[2:])
    sys.exit(1 if faults else 0)

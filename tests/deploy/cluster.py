"""Holds deploy/compose.cluster.yml against what it names: files, the balancer's servers, the variables that it asks for."""
import pathlib
import re
import sys

import yaml

path = pathlib.Path("deploy/compose.cluster.yml")
text = path.read_text()
compose = yaml.safe_load(text)
balancer = pathlib.Path("deploy/cluster/haproxy.cfg").read_text()
wrong = []

for name, service in compose["services"].items():
    if "image" not in service:
        wrong.append(f"service {name} has no image")
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith(".") and not (path.parent / source).is_file():
            wrong.append(f"service {name} mounts {source}, which is not there")
        if not source.startswith(".") and source not in compose["volumes"]:
            wrong.append(f"service {name} mounts the volume {source}, which is not declared")
    for other in service.get("depends_on", []):
        if other not in compose["services"]:
            wrong.append(f"service {name} depends on {other}, which is not there")

for server in re.findall(r"^\s+server \S+ (\S+):8080", balancer, re.M):
    if server not in compose["services"]:
        wrong.append(f"the balancer's server {server} is no service")

head = text[: text.index("\nname:")]
for variable in sorted(set(re.findall(r"\$\{(\w+):\?\}", text))):
    if variable not in head:
        wrong.append(f"the head of the file does not tell of {variable}")

print("\n".join(wrong) or f"  {len(compose['services'])} services")
sys.exit(1 if wrong else 0)

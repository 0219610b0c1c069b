"""Checks compose.yaml where no compose tool is at hand: every name that is used exists, every service is hardened, every
secret is a file. `--environment SERVICE` prints that service's variables instead, one a line."""

import os
import re
import sys

import yaml

path = sys.argv[1]
with open(path, encoding="utf-8") as file:
    document = yaml.safe_load(file)
services = document["services"]

if "--environment" in sys.argv:
    for name, value in services[sys.argv[-1]]["environment"].items():
        print(f"{name}={value}")
    sys.exit()

# The keys of the specification that are used; a mistyped one is found here.
TOP = {"name", "services", "networks", "volumes", "configs"}
SERVICE = {
    "image", "build", "user", "command", "entrypoint", "environment", "networks", "network_mode", "configs", "volumes", "tmpfs",
    "depends_on", "deploy", "ports", "healthcheck", "stop_grace_period", "restart", "read_only", "cap_drop", "cap_add",
    "security_opt", "logging", "shm_size", "profiles",
}
HEALTHCHECK = {"test", "interval", "timeout", "retries", "start_period"}
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}
CAPABILITIES = {"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "SETGID", "SETUID"}

wrong = []


def expect(holds, text):
    if not holds:
        wrong.append(text)


def listed(value):
    return list(value) if value else []


unknown = {key for key in document if not key.startswith("x-")} - TOP
expect(not unknown, f"unknown keys: {unknown}")
folder = os.path.dirname(os.path.abspath(path))
for name, config in document["configs"].items():
    expect(os.path.isfile(os.path.join(folder, config["file"])), f"config {name}: {config['file']} is missing")

ours = {name for name, service in services.items() if "build" in service}
SUITE = {"customer", "feedback", "scoring"}
expect(ours == SUITE | {"migrate", "operator"}, f"services of the suite: {ours}")
published = []
for name, service in services.items():
    expect(set(service) <= SERVICE, f"{name}: unknown keys: {set(service) - SERVICE}")
    expect(set(service.get("healthcheck", {})) <= HEALTHCHECK, f"{name}: healthcheck")
    # Hardened.
    expect(service.get("read_only") is True, f"{name}: its files can be written")
    expect(service.get("cap_drop") == ["ALL"], f"{name}: cap_drop")
    expect(set(listed(service.get("cap_add"))) <= CAPABILITIES, f"{name}: cap_add {service.get('cap_add')}")
    expect("no-new-privileges:true" in listed(service.get("security_opt")), f"{name}: no-new-privileges")
    expect(not service.get("privileged"), f"{name}: privileged")
    # A tag that says which version.
    image = service["image"]
    expect("build" in service or re.search(r":\d+\.\d+", image), f"{name}: {image} names no version")
    # Whatever it names exists.
    for network in listed(service.get("networks")):
        expect(network in document["networks"], f"{name}: network {network}")
    for volume in listed(service.get("volumes")):
        source, target = volume.split(":")[:2]
        expect(source in document["volumes"] and target.startswith("/"), f"{name}: volume {volume}")
    for config in listed(service.get("configs")):
        expect(config["source"] in document["configs"], f"{name}: config {config['source']}")
    for other, how in (service.get("depends_on") or {}).items():
        expect(other in services, f"{name}: depends on {other}")
        expect(how["condition"] in CONDITIONS, f"{name}: {how}")
        if how["condition"] == "service_healthy":
            expect("healthcheck" in services.get(other, {}), f"{name}: {other} tells no health")
        if how["condition"] == "service_completed_successfully":
            expect(services.get(other, {}).get("restart") == "no", f"{name}: {other} never completes")
    # Secrets stand in files.
    for variable, value in (service.get("environment") or {}).items():
        secret = re.search(r"PASSWORD|SECRET|TOKEN|(^|_)KEY$|_URL$", variable)
        expect(not secret or variable.endswith("_FILE"), f"{name}: {variable} is a secret in the environment")
        if variable.endswith("_FILE"):
            expect(str(value).startswith("/secrets/"), f"{name}: {variable}={value}")
    # What is secret to one is nobody else's; only what makes them sees all.
    mounted = [volume.split(":") for volume in listed(service.get("volumes")) if "/secrets" in volume]
    if name != "secrets":
        expect(mounted == [[f"secrets-{name}", "/secrets", "ro"]], f"{name}: secrets {mounted}")
    published += [(name, port) for port in listed(service.get("ports"))]
    if name in ours:
        expect(service["user"] == "65532:65532", f"{name}: user {service['user']}")
    if name in SUITE:
        expect("healthcheck" in service and service["healthcheck"]["test"][-1] == name, f"{name}: healthcheck")
        expect(service["command"] == ["serve", name], f"{name}: command {service['command']}")
        expect(service["environment"]["REGARD_SERVER__TLS__CERT_FILE"] == f"/secrets/{name}.pem", f"{name}: certificate")
        expect("outside" in service["networks"], f"{name}: not reached from outside")
    else:
        expect("outside" not in listed(service.get("networks")), f"{name}: reached from outside")
expect({name for name, _ in published} == SUITE, f"published: {published}")
expect(all(port.startswith("127.0.0.1:") for _, port in published), f"published to other machines: {published}")
expect(len({port.split(":")[1] for _, port in published}) == len(published), f"published twice: {published}")
expect(document["networks"]["inside"]["internal"] is True, "the inner network reaches outside")

for text in wrong:
    print(text, file=sys.stderr)
sys.exit(bool(wrong))

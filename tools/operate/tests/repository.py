"""What the tests read of the repository, each thing once."""

import json
import os
import pathlib
import re
import shutil
import subprocess

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
OPERATE = ROOT / "tools" / "operate"
K8S = ROOT / "k8s"
UPDATE = bool(os.environ.get("UPDATE"))


def run(*command, **more):
    """Run it, and fail with everything that it said."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **more)
    assert done.returncode == 0, f"{' '.join(map(str, command))}:\n{done.stdout}{done.stderr}"
    return done.stdout


def settings():
    """Every variable that the gateway knows, with its default; None for those that must be given."""
    found = {}
    for line in (ROOT / ".env.example").read_text().splitlines():
        if match := re.fullmatch(r"(# )?([A-Z][A-Z0-9_]*)=(.*)", line):
            found[match[2]] = match[3] if match[1] else None
    return found


def seconds(text):
    """A duration as settings write it: 90, 30s, 1m."""
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h|)", str(text)).groups()
    return int(number) * {"ms": 0.001, "s": 1, "": 1, "m": 60, "h": 3600}[unit]


def leaving(environment):
    """How long a replica with these settings may take to leave, in seconds."""
    known = settings()
    return sum(seconds(environment.get(name, known[name])) for name in ("DRAIN_DELAY", "SHUTDOWN_TIMEOUT"))


def served():
    """Every path that a gateway answers."""
    documented = json.loads((ROOT / "openapi" / "gateway.json").read_text())["paths"]
    # These are not REST: the document itself, live connections, and what machines ask for.
    return [*documented, "/openapi.json", "/socket.io", "/metrics"]


def documents(text):
    return [document for document in yaml.safe_load_all(text) if document]


def program(name, package):
    found = shutil.which(name)
    assert found, f"{name} is missing: .ci/manifests installs it, or `apt-get install {package}`"
    return found

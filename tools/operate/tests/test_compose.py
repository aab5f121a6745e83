"""Both compose files: their schema, that what they name exists, and that the gateway knows what it is told."""

import re
import unittest

import yaml

from repository import ROOT, leaving, run, seconds, served, settings

FILES = ["docker-compose.yml", "docker-compose.prod.yml"]
#: What the balancer's configuration reads.
BALANCER = set(re.findall(r"\$\{(\w+)\}|defined\((\w+)\)", (ROOT / "tools/operate/balancer/haproxy.cfg").read_text()))
BALANCER = {name for pair in BALANCER for name in pair if name}


def load(file):
    return yaml.safe_load((ROOT / file).read_text())


def each():
    return [(file, load(file)) for file in FILES]


def gateways(compose):
    return {name: service for name, service in compose["services"].items() if "messenger/gateway" in service["image"]}


def environment(service):
    """What the gateway is given, also in files."""
    return service["environment"] | {name.removesuffix("_FILE"): "" for name in service["environment"]}


class Compose(unittest.TestCase):
    def test_schema(self):
        run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", *[ROOT / file for file in FILES])

    def test_every_variable_is_one_that_the_gateway_knows(self):
        known = settings()
        for file, compose in each():
            self.assertEqual(set(gateways(compose)), {"gateway-1", "gateway-2", "migrate"}, file)
            for name, service in gateways(compose).items():
                given = environment(service)
                self.assertLessEqual(set(given), set(known), f"{file}, {name}: see .env.example")
                missing = {variable for variable, default in known.items() if default is None} - set(given)
                self.assertFalse(missing, f"{file}, {name}: these have no default")

    def test_every_variable_of_the_balancer_is_one_that_it_reads(self):
        for file, compose in each():
            balancers = [service for service in compose["services"].values() if service["image"].startswith("haproxy")]
            self.assertEqual(len(balancers), 1)
            for service in balancers:
                self.assertLessEqual(set(service["environment"]), BALANCER)

    def test_what_is_named_exists(self):
        for file, compose in each():
            for kind in ("secrets", "networks"):
                defined = set(compose.get(kind) or {}) | {"default"}
                for name, service in compose["services"].items():
                    named = service.get(kind, [])
                    named = {one["source"] if isinstance(one, dict) else one for one in named} if isinstance(named, list) else set(named)
                    self.assertLessEqual(named, defined, f"{file}, {name}: {kind}")
            for name, service in compose["services"].items():
                self.assertLessEqual(set(service.get("depends_on", {})), set(compose["services"]), name)
                for volume in service.get("volumes", []):
                    source = volume.split(":")[0]
                    if source.startswith("."):
                        self.assertTrue((ROOT / source).exists(), f"{file}, {name}: {source}")
                    else:
                        self.assertIn(source, compose["volumes"], name)
            used = {one["source"] if isinstance(one, dict) else one for s in compose["services"].values() for one in s.get("secrets", [])}
            self.assertEqual(used, set(compose.get("secrets", {})), "secrets that are defined and those that are used")

    def test_files_that_hold_settings_are_there(self):
        for file, compose in each():
            for name, service in gateways(compose).items():
                there = {f"/run/secrets/{secret}" for secret in service.get("secrets", [])}
                named = {value for variable, value in service["environment"].items() if variable.endswith("_FILE")}
                self.assertEqual(named, there, f"{file}, {name}")

    def test_make_secrets_makes_every_secret(self):
        made = (ROOT / "tools/operate/make-secrets").read_text()
        for name, secret in load("docker-compose.prod.yml")["secrets"].items():
            self.assertIn(secret["file"].removeprefix(".secrets/"), made, name)

    def test_who_waits_for_health_waits_for_something(self):
        for file, compose in each():
            for name, service in compose["services"].items():
                for other, how in service.get("depends_on", {}).items():
                    if how["condition"] == "service_healthy":
                        target = compose["services"][other]
                        # The gateway's image has a health check of its own.
                        self.assertTrue("healthcheck" in target or "messenger/gateway" in target["image"], f"{file}: {name} waits for {other}")

    def test_a_gateway_is_given_the_time_to_leave(self):
        for file, compose in each():
            for name in ("gateway-1", "gateway-2"):
                service = compose["services"][name]
                self.assertGreater(seconds(service["stop_grace_period"]), leaving(service["environment"]), f"{file}, {name}")

    def test_only_what_must_be_reachable_is(self):
        for file, compose in each():
            for name, service in compose["services"].items():
                for port in service.get("ports", []):
                    if not (file == "docker-compose.prod.yml" and name == "proxy"):
                        self.assertTrue(port.startswith("127.0.0.1:"), f"{file}, {name}: {port}")

    def test_restarting_is_said_in_words_that_docker_knows(self):
        """The schema takes any."""
        for file, compose in each():
            for name, service in compose["services"].items():
                self.assertRegex(service.get("restart", "no"), r"^(no|unless-stopped|on-failure(:\d+)?)$", f"{file}, {name}")

    def test_production_is_locked_down(self):
        compose = load("docker-compose.prod.yml")
        for name, service in compose["services"].items():
            if "profiles" not in service and service.get("network_mode") != "none":
                self.assertIn("no-new-privileges:true", service["security_opt"], name)
                self.assertIn("restart", service, name)
                if service["restart"] == "unless-stopped":
                    self.assertIn("limits", service["deploy"]["resources"], name)
            for variable, value in (service.get("environment") or {}).items():
                secret = re.search(r"PASSWORD|SECRET", variable) and not variable.endswith("_FILE")
                self.assertFalse(secret, f"{name}: {variable} belongs into a file")
        for name, service in gateways(compose).items():
            self.assertTrue(service["read_only"], name)
            self.assertEqual(service["cap_drop"], ["ALL"], name)
        # The proxy alone is believed about addresses, and it is where that is said.
        proxy = compose["services"]["proxy"]["networks"]["edge"]["ipv4_address"]
        for name, service in gateways(compose).items():
            self.assertEqual(service["environment"]["TRUSTED_PROXIES"], f"{proxy}/32", name)
        self.assertNotIn("inside", compose["services"]["proxy"]["networks"])

    def test_ports_and_paths_are_those_that_the_gateway_serves(self):
        known = settings()
        http, ops = (known[name].rsplit(":", 1)[1] for name in ("LISTEN", "OPS_LISTEN"))
        dockerfile = (ROOT / "gateway/Dockerfile").read_text()
        self.assertIn(f"LISTEN=0.0.0.0:{http} ", dockerfile)
        self.assertIn(f"OPS_LISTEN=0.0.0.0:{ops} ", dockerfile)
        # It asks where OPS_LISTEN says.
        self.assertIn('CMD ["gateway", "health"]', dockerfile)
        balancer = (ROOT / "tools/operate/balancer/haproxy.cfg").read_text()
        self.assertRegex(balancer, rf'"\$\{{GATEWAYS\}}:{http}" check port {ops}\b')
        self.assertIn(re.search(r"http-check send meth GET uri (\S+)", balancer)[1], served())


if __name__ == "__main__":
    unittest.main()

"""k8s/: rendered as kubectl renders it, held against the schemas, and against what the gateway serves and knows."""

import functools
import json
import os
import re
import unittest

from repository import K8S, documents, leaving, run, served, settings

OVERLAYS = sorted(path.name for path in (K8S / "overlays").iterdir())
#: The oldest that knows all that is used (preStop.sleep), and the newest that the validator knows.
VERSIONS = ["1.30", None]


@functools.cache
def rendered(overlay):
    return run("kubectl", "kustomize", K8S / "overlays" / overlay)


@functools.cache
def objects(overlay):
    return documents(rendered(overlay))


@functools.cache
def secrets():
    return run(K8S / "make-secrets")


def find(overlay, kind, name):
    found = [one for one in objects(overlay) if one["kind"] == kind and re.fullmatch(f"{name}(-[a-z0-9]{{10}})?", one["metadata"]["name"])]
    assert len(found) == 1, f"{overlay}: {len(found)} of {kind} {name}"
    return found[0]


def pods(overlay):
    for one in objects(overlay):
        if one["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield one["metadata"]["name"], one["spec"]["template"]


class Kubernetes(unittest.TestCase):
    def test_schemas(self):
        for overlay in OVERLAYS:
            for version in VERSIONS:
                options = ["--kubernetes-version", version] if version else []
                said = run("kubernetes-validate", "--strict", *options, "-", input=rendered(overlay) + "---\n" + secrets())
                # Those of the operator are not among Kubernetes' own: see test_the_operators_kinds.
                unknown = set(re.findall(r"Couldn't find schema for kind (\w+)", said))
                self.assertLessEqual(unknown, {"ServiceMonitor", "PrometheusRule"}, said)

    def test_the_operators_kinds(self):
        script = """
            import { readFileSync } from "node:fs";
            import * as kinds from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";
            for (const one of JSON.parse(readFileSync(0))) new kinds[one.kind](one).validate();
        """
        theirs = [one for one in objects("production") if one["apiVersion"] == "monitoring.coreos.com/v1"]
        self.assertEqual({one["kind"] for one in theirs}, {"ServiceMonitor", "PrometheusRule"})
        run("node", "--input-type=module", "-e", script, input=json.dumps(theirs), cwd=os.environ["NODE_PLACE"])

    def test_the_gateway_alone_can_be_applied(self):
        """Where all services are managed ones, no component is left."""
        kinds = {one["kind"] for one in documents(run("kubectl", "kustomize", K8S / "base"))}
        self.assertIn("Deployment", kinds)
        self.assertNotIn("StatefulSet", kinds)

    def test_every_variable_is_one_that_the_gateway_knows(self):
        known = settings()
        for overlay in OVERLAYS:
            given = set(find(overlay, "ConfigMap", "gateway")["data"])
            secret = next(one for one in documents(secrets()) if one["metadata"]["name"] == "gateway")["stringData"]
            self.assertLessEqual(given | set(secret), set(known), "see .env.example")
            missing = {name for name, default in known.items() if default is None} - given - set(secret)
            self.assertFalse(missing, "these have no default")
            self.assertFalse(given & set(secret), "what is secret is only in the Secret")

    def test_every_secret_that_is_asked_for_is_made(self):
        made = {one["metadata"]["name"]: set(one["stringData"]) for one in documents(secrets())}
        for overlay in OVERLAYS:
            for name, pod in pods(overlay):
                for container in pod["spec"]["containers"]:
                    for source in container.get("envFrom", []):
                        if "secretRef" in source:
                            self.assertIn(source["secretRef"]["name"], made, name)
                    for variable in container.get("env", []):
                        if key := variable.get("valueFrom", {}).get("secretKeyRef"):
                            self.assertIn(key["key"], made[key["name"]], name)

    def test_ports_and_paths_are_those_that_the_gateway_serves(self):
        paths = served()
        for overlay in OVERLAYS:
            config = find(overlay, "ConfigMap", "gateway")["data"]
            container = find(overlay, "Deployment", "gateway")["spec"]["template"]["spec"]["containers"][0]
            ports = {port["name"]: port["containerPort"] for port in container["ports"]}
            for name, variable in (("http", "LISTEN"), ("ops", "OPS_LISTEN")):
                self.assertEqual(config[variable], f"0.0.0.0:{ports[name]}")
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                asked = container[probe]["httpGet"]
                self.assertEqual(asked["port"], "ops")
                self.assertIn(asked["path"], paths)
            service = find(overlay, "Service", "gateway")["spec"]
            self.assertEqual({port["name"]: port["port"] for port in service["ports"]}, ports)
            for port in service["ports"]:
                self.assertIn(port["targetPort"], ports)
            for rule in find(overlay, "Ingress", "gateway")["spec"]["rules"]:
                routed = rule["http"]["paths"]
                for route in routed:
                    within = [path for path in paths if path == route["path"] or path.startswith(route["path"] + "/")]
                    self.assertTrue(within, f"nothing is served under {route['path']}")
                    self.assertEqual(route["backend"]["service"]["port"]["name"], "http")
                self.assertLessEqual({"/api", "/socket.io", "/media"}, {route["path"] for route in routed})
                self.assertFalse([route for route in routed if route["path"] in ("/metrics", "/", "/health/ready")], "is for machines")

    def test_a_replica_is_given_the_time_to_leave(self):
        for overlay in OVERLAYS:
            config = find(overlay, "ConfigMap", "gateway")["data"]
            pod = find(overlay, "Deployment", "gateway")["spec"]["template"]["spec"]
            needed = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"] + leaving(config)
            self.assertGreater(pod["terminationGracePeriodSeconds"], needed)

    def test_an_update_takes_no_replica_away_before_another_is_ready(self):
        for overlay in OVERLAYS:
            deployment = find(overlay, "Deployment", "gateway")["spec"]
            self.assertEqual(deployment["strategy"]["rollingUpdate"]["maxUnavailable"], 0)
            self.assertNotIn("replicas", deployment, "is the autoscaler's business: each apply would put it back")
            self.assertGreaterEqual(find(overlay, "HorizontalPodAutoscaler", "gateway")["spec"]["minReplicas"], 2)

    def test_selectors_select(self):
        for overlay in OVERLAYS:
            labels = [pod["metadata"]["labels"] for _, pod in pods(overlay)]

            def selects(wanted):
                return any(wanted.items() <= label.items() for label in labels)

            for one in objects(overlay):
                name = f"{one['kind']} {one['metadata']['name']}"
                if one["kind"] == "Service":
                    self.assertTrue(selects(one["spec"]["selector"]), name)
                if one["kind"] in ("Deployment", "StatefulSet", "PodDisruptionBudget"):
                    self.assertTrue(selects(one["spec"]["selector"]["matchLabels"]), name)
                if one["kind"] == "NetworkPolicy":
                    self.assertTrue(selects(one["spec"]["podSelector"].get("matchLabels", {})), name)
                if one["kind"] == "ServiceMonitor":
                    service = find(overlay, "Service", "gateway")
                    self.assertLessEqual(one["spec"]["selector"]["matchLabels"].items(), service["metadata"]["labels"].items())
                    ports = {port["name"] for port in service["spec"]["ports"]}
                    self.assertLessEqual({endpoint["port"] for endpoint in one["spec"]["endpoints"]}, ports)

    def test_pods_need_no_rights(self):
        """As the namespace's `restricted` demands, and a root that cannot be written to."""
        for overlay in OVERLAYS:
            self.assertEqual(find(overlay, "Namespace", ".*")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted")
            for name, pod in pods(overlay):
                self.assertFalse(pod["spec"]["automountServiceAccountToken"], name)
                self.assertTrue(pod["spec"]["securityContext"]["runAsNonRoot"], name)
                self.assertEqual(pod["spec"]["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", name)
                for container in pod["spec"]["containers"]:
                    context = container["securityContext"]
                    self.assertFalse(context["allowPrivilegeEscalation"], name)
                    self.assertTrue(context["readOnlyRootFilesystem"], name)
                    self.assertEqual(context["capabilities"]["drop"], ["ALL"], name)
                    self.assertIn("memory", container["resources"]["limits"], name)

    def test_deploy_begins_with_everything_but_the_gateway(self):
        for overlay in OVERLAYS:
            components = [(one["kind"], one["metadata"].get("labels", {}).get("app.kubernetes.io/component")) for one in objects(overlay)]
            labelled = {kind for kind, component in components if component == "gateway"}
            self.assertEqual(labelled, {"Deployment", "Service"})

    def test_postgres_takes_all_connections_there_may_be(self):
        for overlay in OVERLAYS:
            most = find(overlay, "HorizontalPodAutoscaler", "gateway")["spec"]["maxReplicas"] + 1
            each = find(overlay, "ConfigMap", "gateway")["data"].get("DATABASE_MAX_CONNECTIONS", settings()["DATABASE_MAX_CONNECTIONS"])
            args = find(overlay, "StatefulSet", "postgres")["spec"]["template"]["spec"]["containers"][0]["args"]
            allowed = next(int(arg.split("=")[1]) for arg in args if arg.startswith("-cmax_connections="))
            self.assertGreater(allowed, most * int(each))


if __name__ == "__main__":
    unittest.main()

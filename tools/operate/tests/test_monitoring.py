"""Alerts and dashboard: understood by Prometheus, and the same everywhere. That the metrics exist is asked of a running gateway by
gateway/tests/it/operate.rs."""

import json
import pathlib
import re
import tempfile
import unittest

import yaml

from repository import K8S, OPERATE, UPDATE, run

MONITORING = OPERATE / "monitoring"
ALERTS = MONITORING / "alerts.yml"
RULE = K8S / "components" / "monitoring" / "prometheus-rule.yaml"
DASHBOARD = K8S / "components" / "monitoring" / "dashboard.json"


def rule():
    """alerts.yml as the Prometheus operator wants it."""
    head = "# Written from tools/operate/monitoring/alerts.yml: UPDATE=1 .ci/manifests\n"
    shell = {"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule", "metadata": {"name": "gateway"}}
    return head + yaml.safe_dump(shell | {"spec": yaml.safe_load(ALERTS.read_text())}, sort_keys=False, width=130)


class Monitoring(unittest.TestCase):
    def test_prometheus_understands_its_configuration(self):
        run("promtool", "check", "config", MONITORING / "prometheus.yml")

    def test_alerts_fire_when_they_should_and_only_then(self):
        run("promtool", "test", "rules", "alerts.test.yml", cwd=MONITORING)

    def test_every_alert_is_seen_firing(self):
        rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
        tests = (MONITORING / "alerts.test.yml").read_text()
        self.assertEqual({rule["alert"] for rule in rules}, set(re.findall(r'ALERTS\{alertname="(\w+)"', tests)))
        for rule in rules:
            self.assertIn(rule["labels"]["severity"], ("critical", "warning"), rule["alert"])
            self.assertEqual(set(rule["annotations"]), {"summary", "description"}, rule["alert"])

    def test_kubernetes_has_the_same_alerts(self):
        if UPDATE:
            RULE.write_text(rule())
        self.assertEqual(RULE.read_text(), rule(), "run: UPDATE=1 .ci/manifests")

    def test_prometheus_understands_every_question_of_the_dashboard(self):
        panels = json.loads(DASHBOARD.read_text())["panels"]
        asked = [target["expr"] for panel in panels for target in panel.get("targets", [])]
        self.assertGreater(len(asked), 30)
        rules = []
        for number, expression in enumerate(asked):
            expression = expression.replace("$__rate_interval", "1m").replace("$instance", ".*")
            self.assertNotIn("$", expression, "a variable that the dashboard does not have")
            rules.append({"record": f"panel:{number}", "expr": expression})
        with tempfile.TemporaryDirectory() as place:
            file = pathlib.Path(place, "rules.yml")
            file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
            run("promtool", "check", "rules", file)

    def test_panels_are_told_apart(self):
        panels = json.loads(DASHBOARD.read_text())["panels"]
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
        self.assertEqual(len({panel["title"] for panel in panels}), len(panels))


if __name__ == "__main__":
    unittest.main()

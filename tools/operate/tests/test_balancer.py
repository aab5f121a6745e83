"""The balancer's one configuration, in each of the shapes in which it is used."""

import pathlib
import subprocess
import tempfile
import unittest

import yaml

from repository import K8S, OPERATE, program, run

CONFIGURATION = OPERATE / "balancer" / "haproxy.cfg"


class Balancer(unittest.TestCase):
    def check(self, **settings):
        run(program("haproxy", "haproxy"), "-c", "-q", "-dW", "-f", CONFIGURATION, env={"MAX_CONNECTIONS": "1000"} | settings)

    def test_in_front_of_fixed_replicas(self):
        replicas = {"REPLICA_1": "127.0.0.1:1", "REPLICA_1_OPS": "2", "REPLICA_2": "127.0.0.1:3", "REPLICA_2_OPS": "4"}
        self.check(LISTEN="127.0.0.1:3000,[::1]:3000", **replicas)

    def test_in_front_of_a_name(self):
        self.check(LISTEN=":8080", LISTEN_OPS=":8404", GATEWAYS="gateways")

    def test_with_tls(self):
        with tempfile.TemporaryDirectory() as place:
            key, certificate = pathlib.Path(place, "key"), pathlib.Path(place, "certificate")
            subprocess.run(
                ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
                + ["-subj", "/CN=localhost", "-keyout", key, "-out", certificate],
                check=True,
                capture_output=True,
            )
            both = pathlib.Path(place, "tls.pem")
            both.write_text(certificate.read_text() + key.read_text())
            self.check(LISTEN=":8080", LISTEN_TLS=":8443", LISTEN_OPS=":8404", CERTIFICATE=str(both), GATEWAYS="gateways")

    def test_kubernetes_sticks_in_the_same_way(self):
        lines = [line.strip() for line in CONFIGURATION.read_text().splitlines()]
        annotations = yaml.safe_load((K8S / "base/service.yaml").read_text())["metadata"]["annotations"]
        snippet = annotations["haproxy.org/backend-config-snippet"].splitlines()
        self.assertTrue(snippet)
        for line in snippet:
            self.assertIn(line, lines)
        self.assertIn(f"balance {annotations['haproxy.org/load-balance']}", lines)
        self.assertIn(f"timeout server {annotations['haproxy.org/timeout-server']}", lines)
        self.assertTrue(any(line.startswith(f"cookie {annotations['haproxy.org/cookie-persistence']} ") for line in lines))


if __name__ == "__main__":
    unittest.main()

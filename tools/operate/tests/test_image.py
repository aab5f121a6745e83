"""gateway/Dockerfile: what a linter knows, and that it is given what it copies."""

import fnmatch
import json
import re
import unittest

from repository import ROOT, run

DOCKERFILE = ROOT / "gateway" / "Dockerfile"


class Image(unittest.TestCase):
    def test_the_linter_has_nothing_to_say(self):
        self.assertEqual(run("hadolint", "--failure-threshold", "style", DOCKERFILE), "")

    def test_everything_it_copies_is_there_and_let_in(self):
        let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
        copied = []
        for line in DOCKERFILE.read_text().splitlines():
            if line.startswith("COPY ") and "--from" not in line:
                copied += line.split()[1:-1]
        self.assertIn("Cargo.lock", copied)
        for source in copied:
            self.assertTrue((ROOT / source).exists(), f"{source} is copied and does not exist")
            within = [path for path in let_in if source == path or source.startswith(f"{path}/")]
            self.assertTrue(within, f"{source} is copied, but .dockerignore keeps it out")
        for path in let_in:
            self.assertIn(path, copied, "let in by .dockerignore for nothing")

    def test_nothing_secret_is_let_in(self):
        let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
        for secret in (".env", ".secrets", ".git", ".dev"):
            self.assertFalse(any(fnmatch.fnmatch(secret, path) for path in let_in), secret)

    def test_the_gateway_itself_is_process_1(self):
        """A shell before it would not hand SIGTERM on."""
        text = DOCKERFILE.read_text()
        self.assertEqual(json.loads(re.search(r"^ENTRYPOINT (.*)$", text, re.M)[1]), ["gateway"])
        self.assertIn("\nFROM scratch\n", text, "a shell is what a burglar looks for first")
        self.assertNotRegex(text, r"(?m)^USER (root|0)\b")
        self.assertRegex(text, r"(?m)^USER \d+:\d+$")


if __name__ == "__main__":
    unittest.main()

"""Every script that operators run, as shellcheck reads it."""

import os
import unittest

from repository import K8S, OPERATE, ROOT, run


class Scripts(unittest.TestCase):
    def test_shellcheck_has_nothing_to_say(self):
        folders = [OPERATE, K8S, ROOT / ".ci", ROOT / "tools" / "contract"]
        files = [file for folder in folders for file in folder.rglob("*") if file.is_file() and "node_modules" not in file.parts]
        scripts = [file for file in files if file.read_bytes()[:2] == b"#!" and b"sh\n" in file.read_bytes()[:25]]
        self.assertGreater(len(scripts), 10)
        for script in scripts:
            self.assertTrue(os.access(script, os.X_OK), f"{script} cannot be run")
        run("shellcheck", *scripts)


if __name__ == "__main__":
    unittest.main()

"""What postgres/ backs up can be restored: to a moment before somebody's mistake, and to the last that was copied before the disk died.

With the PostgreSQL of this machine, on the loopback, in a directory of its own.
"""

import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

OPERATE = pathlib.Path(__file__).resolve().parent.parent
SCRIPTS = OPERATE / "postgres"
MIGRATIONS = OPERATE.parent.parent / "migrations"
DEADLINE = 120  # A copy is synced piece by piece, and others may use the disk.


class Restoring(unittest.TestCase):
    def setUp(self):
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="messenger-restore-", dir="/var/tmp"))
        self.addCleanup(shutil.rmtree, self.place)
        self.place.chmod(0o755)
        # The scripts may lie where PostgreSQL's user cannot look.
        scripts = shutil.copytree(SCRIPTS, self.place / "scripts")
        # It refuses to run as root.
        self.user = "postgres" if os.geteuid() == 0 else None
        if self.user:
            uid = pwd.getpwnam(self.user)
            for path in [self.place, *self.place.rglob("*")]:
                os.chown(path, uid.pw_uid, uid.pw_gid)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        bins = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        self.assertTrue(bins, "PostgreSQL is not installed: apt-get install postgresql")
        for name in ("DATABASE", "BACKUP"):
            (self.place / name).write_text(f"it's a {name.lower()}'s secret")
        self.env = {
            "PATH": f"{scripts}:{bins[-1]}:{os.environ['PATH']}",
            "PGDATA": str(self.place / "data"),
            "BACKUPS": str(self.place / "backups"),
            "PGPORT": str(self.port),
            "PGHOST": str(self.place),
            "PGUSER": "postgres",
            "PGCONNECT_TIMEOUT": "10",
            "DATABASE_PASSWORD_FILE": str(self.place / "DATABASE"),
            "BACKUP_PASSWORD_FILE": str(self.place / "BACKUP"),
            "LC_ALL": "C.UTF-8",
        }
        self.backup = {"PGHOST": "127.0.0.1", "PGUSER": "backup", "PGPASSWORD": "it's a backup's secret"}
        self.gateway = {
            "PGHOST": "127.0.0.1",
            "PGUSER": "messenger",
            "PGDATABASE": "messenger",
            "PGPASSWORD": "it's a database's secret",
        }

    def run_(self, *command, env=None, **more):
        done = subprocess.run(
            command, env=self.env | (env or {}), user=self.user, cwd=self.place, capture_output=True, text=True, timeout=DEADLINE, **more
        )
        self.assertEqual(done.returncode, 0, f"{command}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def ask(self, sql, role=None):
        return self.run_("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", sql, env=role or self.gateway)

    def start(self):
        settings = f"-p {self.port} -k {self.place} -c listen_addresses=127.0.0.1 -c fsync=off"
        # Its output goes to a file: it would hold our pipe open.
        log = self.place / "log"
        self.run_("pg_ctl", "start", "--silent", "--wait", "--log", str(log), "--options", settings)
        self.addCleanup(
            subprocess.run, ["pg_ctl", "stop", "--silent", "--mode=immediate"], env=self.env, user=self.user, stderr=subprocess.DEVNULL
        )
        self.until("select not pg_is_in_recovery()", "it has opened")

    def until(self, sql, what):
        deadline = time.monotonic() + DEADLINE
        while self.ask(sql, role={"PGDATABASE": "postgres"}) != "t":
            if time.monotonic() > deadline:
                log = self.place / "archive.log"
                self.fail(f"not in {DEADLINE} s: {what}; {log.read_text() if log.exists() else ''}")
            time.sleep(0.1)

    def archive(self):
        """archive-wal, started again when it ends, as the service is."""
        with open(self.place / "archive.log", "a") as log:
            archiver = subprocess.Popen(
                ["sh", "-c", "while :; do archive-wal; sleep 1; done"],
                env=self.env | self.backup,
                user=self.user,
                cwd=self.place,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.addCleanup(self.end, archiver)
        return archiver

    def end(self, archiver):
        if archiver.poll() is None:
            os.killpg(archiver.pid, signal.SIGTERM)
            archiver.wait(timeout=DEADLINE)

    def archived(self):
        now = self.ask("select pg_current_wal_lsn()", role={"PGDATABASE": "postgres"})
        self.until(f"select coalesce(bool_or(flush_lsn >= '{now}'), false) from pg_stat_replication", f"the archive reaches {now}")

    def crash(self, archiver):
        """The machine goes down, and its disk with it."""
        self.run_("pg_ctl", "stop", "--silent", "--mode=immediate")
        self.end(archiver)
        shutil.rmtree(self.env["PGDATA"])

    def test_back_to_a_moment_and_to_the_last(self):
        self.run_("initdb", "--no-sync", "--username=postgres", "--auth-local=trust", "--auth-host=scram-sha-256")
        self.start()
        self.run_("first-start.sh")
        self.run_("pg_ctl", "reload", "--silent")
        for migration in sorted(MIGRATIONS.glob("*.sql")):
            self.run_("psql", "-Xq", "-v", "ON_ERROR_STOP=1", env=self.gateway, input=migration.read_text())
        archiver = self.archive()
        self.ask("create table told (what text)")
        # The copy is behind while the backup is made, and must not lose what it is writing.
        wal = self.place / "backups" / "current" / "wal"
        self.until("select exists (select from pg_stat_replication)", "somebody copies the log")
        self.archived()
        self.assertTrue(list(wal.glob("*.partial")), "a piece of the log is being copied")
        os.killpg(archiver.pid, signal.SIGSTOP)
        self.run_("back-up-base", "once", env=self.backup)
        os.killpg(archiver.pid, signal.SIGCONT)

        self.ask("insert into told values ('after the backup')")
        # The restored moment is counted in whole seconds by whoever is called at night.
        time.sleep(1.1)
        moment = self.ask("select date_trunc('second', now())")
        self.ask("insert into told values ('by mistake')")
        self.ask("alter table told rename to gone")
        self.archived()
        self.assertNotIn("could not", (self.place / "archive.log").read_text())
        self.crash(archiver)

        self.run_("restore", moment)
        self.start()
        self.assertEqual(self.ask("select string_agg(what, ', ') from told"), "after the backup")
        self.assertEqual(self.ask("select count(*) from messages"), "0", "the gateway's own tables are there")

        # It was the wrong moment after all.
        self.run_("pg_ctl", "stop", "--silent", "--mode=fast")
        history = next(path.name for path in (self.place / "backups").glob("until-*"))
        self.run_("restore", "latest", env={"FROM": history})
        self.start()
        self.assertEqual(self.ask("select string_agg(what, ', ') from gone"), "after the backup, by mistake")

        # Life goes on in a new history, which can be restored like the first.
        archiver = self.archive()
        self.run_("back-up-base", "once", env=self.backup)
        self.ask("insert into gone values ('in the new history')")
        self.ask("select pg_switch_wal()", role={"PGDATABASE": "postgres"})
        self.archived()
        time.sleep(1.1)
        self.run_("back-up-base", "once", env=self.backup | {"BACKUPS_KEPT": "1"})
        current = self.place / "backups" / "current"
        self.assertEqual(len(list((current / "base").iterdir())), 1, "the older backup was dropped")
        self.ask("insert into gone values ('at the very end')")
        self.archived()
        self.crash(archiver)
        self.run_("restore", "latest")
        self.start()
        told = self.ask("select string_agg(what, ', ') from gone")
        self.assertTrue(told.endswith("in the new history, at the very end"), told)


if __name__ == "__main__":
    unittest.main()

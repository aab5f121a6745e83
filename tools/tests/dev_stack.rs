//! The dev stack's promises, kept by the real program with real services: it comes up from nothing, coming
//! up again changes nothing, and whatever is killed, deleted or taken away, the next `up` mends it.
//!
//! The stack of this test lives in a directory and on a port of its own, beside whatever else is running.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use serde_json::Value;

const SERVICES: [&str; 6] = ["postgres", "redis", "s3", "gateway-1", "gateway-2", "balancer"];

#[test]
fn the_stack_survives_what_happens_to_it() {
    let stack = Stack::new();
    let port = stack.port.to_string();

    step("it comes up from nothing, even from a half-made database");
    fs::create_dir_all(stack.dir.join("postgres/data/base")).expect("a half-made cluster");
    fs::write(stack.dir.join("postgres/data/PG_VERSION"), "15\n").expect("a half-made cluster");
    let told = stack.up();
    let first = stack.pids();
    assert!(told.contains(&stack.base()), "the address is told: {told}");
    assert!(stack.run(&["status"]).status.success(), "all is well");

    step("the commands work as pasted");
    let said = paste(&told);
    assert!(said.contains("accessToken"), "registered: {said}");
    assert!(said.contains("Hello, world"), "sent: {said}");

    step("coming up again changes nothing, also twice at once, and the commands are fresh");
    let other = stack.command(&["up"]).spawn().expect("starts");
    let told = stack.up();
    assert!(other.wait_with_output().expect("ends").status.success());
    assert_eq!(stack.pids(), first, "nothing was restarted");
    assert!(paste(&told).contains("Hello, world"));

    step("killed services are replaced, the others stay");
    for service in ["postgres", "redis", "gateway-2"] {
        kill(first[service]);
    }
    assert!(!stack.run(&["status"]).status.success(), "status says so");
    let diagnosis = text(&stack.run(&["doctor"]));
    assert!(
        diagnosis.contains("PostgreSQL ended without being asked to"),
        "{diagnosis}"
    );
    let told = stack.up();
    let second = stack.pids();
    for service in SERVICES {
        let expected = !["postgres", "redis", "gateway-2"].contains(&service);
        assert_eq!(first[service] == second[service], expected, "{service}");
    }
    assert!(paste(&told).contains("Hello, world"), "the data is still there");

    step("lost books are no loss");
    fs::remove_dir_all(stack.dir.join("run")).expect("pid files");
    fs::remove_file(stack.dir.join("state.json")).expect("ports and secrets");
    stack.up_with(&["--port", &port]);
    assert_eq!(
        stack.leaders(),
        stack.pids().into_values().collect::<Vec<_>>(),
        "no service runs twice"
    );

    step("a port that somebody else took meanwhile is left to him");
    assert!(stack.run(&["down"]).status.success());
    assert!(stack.leaders().is_empty(), "nothing is left running");
    let redis_port =
        u16::try_from(stack.state()["ports"]["redis"].as_u64().expect("remembered")).expect("a port");
    let taken = TcpListener::bind(("127.0.0.1", redis_port)).expect("free after down");
    stack.up();
    assert_ne!(stack.state()["ports"]["redis"], redis_port);
    drop(taken);

    step("`up` itself may be killed at any moment");
    for (verb, milliseconds) in [
        ("reset", 300),
        ("reset", 900),
        ("down", 100),
        ("down", 700),
        ("down", 1600),
    ] {
        assert!(stack.run(&[verb]).status.success());
        let mut up = stack.command(&["up", "--port", &port]).spawn().expect("starts");
        sleep(Duration::from_millis(milliseconds));
        up.kill().expect("ours");
        up.wait().expect("ended");
        stack.up_with(&["--port", &port]);
        assert_eq!(
            stack.leaders(),
            stack.pids().into_values().collect::<Vec<_>>(),
            "no service runs twice"
        );
    }

    step("a deleted directory is a fresh start");
    fs::remove_dir_all(&stack.dir).expect("deleted under its feet");
    let told = stack.up_with(&["--port", &port]);
    assert!(paste(&told).contains("Hello, world"));
    assert_eq!(
        stack.leaders(),
        stack.pids().into_values().collect::<Vec<_>>(),
        "the old one is gone"
    );

    step("two people talk in two terminals");
    let mut ann = Terminal::open(&stack, "ann");
    let mut ben = Terminal::open(&stack, "ben");
    ann.types("Is 1 < 2, Ben?");
    ben.shows("ann: Is 1 < 2, Ben?");
    ben.types("It is.");
    ann.shows("ben: It is.");
    ann.ends();
    ben.ends();

    step("the balancer serves official clients, by polling and by WebSocket");
    let served = stack
        .official_clients("tests/handshake.test.js")
        .env("ONLY", "balancer")
        .status();
    assert!(served.expect("starts").success(), "see above");

    step("replacing the replicas one by one costs nobody a request or a message");
    let before = stack.pids();
    let replaced = AtomicBool::new(false);
    let asked = thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut asked = 0;
            while !replaced.load(Ordering::Relaxed) {
                assert_eq!(status(stack.port), "200", "request {asked}");
                asked += 1;
                sleep(Duration::from_millis(10));
            }
            asked
        });
        // Another setting, so that they are started anew.
        let talked = stack
            .official_clients("tests/rolling.test.js")
            .env("ROLL", stack.pasted("up"))
            .env("BCRYPT_COST", "4")
            .env("DRAIN_DELAY", "3s")
            .status();
        replaced.store(true, Ordering::Relaxed);
        assert!(talked.expect("starts").success(), "see above");
        asking.join().expect("all were answered")
    });
    for replica in ["gateway-1", "gateway-2"] {
        assert_ne!(stack.pids()[replica], before[replica], "{replica} was replaced");
    }
    println!("{asked} requests");

    step("down means down");
    assert!(stack.run(&["down"]).status.success());
    assert!(stack.leaders().is_empty(), "nothing is left running");
    assert!(stack.run(&["down"]).status.success(), "and once more is harmless");
}

/// Words for the log, by which a failure is easier to place.
fn step(what: &str) {
    println!("--- {what}");
}

/// A stack of its own. It is gone when this is dropped, also when the test fails.
struct Stack {
    dir: PathBuf,
    port: u16,
}

impl Stack {
    fn new() -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("dev-stack-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a place for it");
        let port = TcpListener::bind("127.0.0.1:0")
            .expect("a free port")
            .local_addr()
            .expect("bound")
            .port();
        let stack = Self { dir, port };
        // Told once, remembered from then on.
        fs::write(stack.dir.join("state.json"), format!("{{\"asked_port\":{port}}}")).expect("writable");
        stack
    }

    fn base(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dev-stack"));
        command.arg("--dir").arg(&self.dir).args(args);
        // Hashing at its real cost would be most of the time spent here.
        command.env("BCRYPT_COST", "4").env("DRAIN_DELAY", "1s");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// A verb, for a shell.
    fn pasted(&self, verb: &str) -> String {
        format!(
            "'{}' --dir '{}' {verb}",
            env!("CARGO_BIN_EXE_dev-stack"),
            self.dir.display()
        )
    }

    /// Tests of the contract, through the balancer.
    fn official_clients(&self, tests: &str) -> Command {
        let gateway = |name: &str| format!("http://127.0.0.1:{}", self.state()["ports"][name]);
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("contract/run"));
        command.arg(tests).env("BALANCER", self.base()).env(
            "REPLICAS",
            format!("{},{}", gateway("gateway-1"), gateway("gateway-2")),
        );
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the program starts")
    }

    /// What `up` prints for people to read.
    fn up(&self) -> String {
        self.up_with(&[])
    }

    fn up_with(&self, args: &[&str]) -> String {
        let began = Instant::now();
        let output = self.run(&[&["up"], args].concat());
        assert!(output.status.success(), "up failed: {}", text(&output));
        println!("up took {:.1} s", began.elapsed().as_secs_f32());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn state(&self) -> Value {
        let json = fs::read(self.dir.join("state.json")).expect("the stack's state");
        serde_json::from_slice(&json).expect("JSON")
    }

    /// Service → pid, from the books.
    fn pids(&self) -> BTreeMap<&'static str, i32> {
        let pid = |service: &str| -> i32 {
            let json = fs::read(self.dir.join(format!("run/{service}.pid"))).expect("a pid file");
            let book: Value = serde_json::from_slice(&json).expect("JSON");
            i32::try_from(book["pid"].as_i64().expect("a pid")).expect("a pid")
        };
        SERVICES.map(|service| (service, pid(service))).into()
    }

    /// The pids of what really runs, in the order of their services' names: processes that carry the
    /// stack's mark and whose parents do not.
    fn leaders(&self) -> Vec<i32> {
        let prefix = format!("MESSENGER_DEV_STACK={}:", self.dir.display());
        let mut marked: BTreeMap<i32, (String, i32)> = BTreeMap::new();
        for entry in fs::read_dir("/proc").expect("Linux").flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse() else {
                continue;
            };
            let environ = fs::read(entry.path().join("environ")).unwrap_or_default();
            let environ = String::from_utf8_lossy(&environ).into_owned();
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let parent = stat
                .rsplit(')')
                .next()
                .and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
            if let Some(service) = environ
                .split('\0')
                .find_map(|variable| variable.strip_prefix(&prefix))
            {
                marked.insert(pid, (service.to_owned(), parent.unwrap_or(0)));
            }
        }
        let leaders = marked
            .iter()
            .filter(|(_, (_, parent))| !marked.contains_key(parent));
        let by_name: BTreeMap<(&str, i32), i32> = leaders
            .map(|(pid, (service, _))| ((service.as_str(), *pid), *pid))
            .collect();
        by_name.into_values().collect()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let ended = self.run(&["reset"]);
        if ended.status.success() {
            let _ = fs::remove_dir_all(&self.dir);
        } else {
            eprintln!(
                "the stack in {} is still there: {}",
                self.dir.display(),
                text(&ended)
            );
        }
    }
}

/// Somebody at `cargo dev chat`.
struct Terminal {
    program: Child,
    shown: Receiver<String>,
}

impl Terminal {
    fn open(stack: &Stack, name: &str) -> Self {
        let mut command = stack.command(&["chat", name]);
        let mut program = command
            .stdin(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("starts");
        let output = BufReader::new(program.stdout.take().expect("piped"));
        let (tells, shown) = channel();
        thread::spawn(move || {
            output
                .lines()
                .map_while(Result::ok)
                .all(|line| tells.send(line).is_ok())
        });
        let mut terminal = Self { program, shown };
        terminal.shows(&format!("You are {name}."));
        terminal
    }

    fn types(&mut self, line: &str) {
        let stdin = self.program.stdin.as_mut().expect("piped");
        writeln!(stdin, "{line}").expect("it listens");
    }

    fn shows(&mut self, text: &str) {
        let mut others = Vec::new();
        while let Ok(line) = self.shown.recv_timeout(Duration::from_secs(20)) {
            if line.contains(text) {
                return;
            }
            others.push(line);
        }
        panic!("expected {text:?}, but it showed {others:?}");
    }

    fn ends(mut self) {
        drop(self.program.stdin.take());
        assert!(self.program.wait().expect("ended").success());
    }
}

/// Run what `up` offers for pasting, as it stands, in the plainest of shells.
fn paste(told: &str) -> String {
    let commands = told.split_once("\n# 1.").expect("the commands").1;
    let commands = format!("# 1.{}", commands.split("\nMore:").next().expect("their end"));
    text(
        &Command::new("sh")
            .arg("-c")
            .arg(&commands)
            .output()
            .expect("a shell"),
    )
}

/// How the balancer on this port answers.
fn status(port: u16) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the balancer accepts");
    let request = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("it listens");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer.split(' ').nth(1).unwrap_or("nothing").to_owned()
}

fn kill(pid: i32) {
    let status = Command::new("kill")
        .args(["-9", &pid.to_string()])
        .status()
        .expect("kill");
    assert!(status.success(), "{pid} was running");
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

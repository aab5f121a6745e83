//! Every number of this process: its name, its help, its labels. Recorded at the borders, never inside a use case.

use std::{fmt::Write, time::Duration};

use chrono::{DateTime, Utc};
use prometheus_client::{
    collector::Collector,
    encoding::{
        DescriptorEncoder, EncodeLabelSet, EncodeLabelValue, EncodeMetric, LabelValueEncoder, text::encode,
    },
    metrics::{
        counter::{ConstCounter, Counter},
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
        info::Info,
    },
    registry::{Registry, Unit},
};
use serde::Serialize;
use shared::problem::Problem;

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    pub requests: Family<RequestLabels, Counter>,
    pub request_seconds: Histograms<RouteLabels>,
    pub problems: Family<ProblemLabels, Counter>,
    pub requests_under_way: Gauge,
    pub log_ins: Family<OutcomeLabels, Counter>,
    pub passwords_waiting: Family<LaneLabels, Gauge>,
    pub password_wait_seconds: Histograms<LaneLabels>,
    pub images_waiting: Gauge,
    pub image_seconds: Histogram,
    pub limited: Family<LimitLabels, Counter>,
    pub limit_fallbacks: Counter,
    pub session_checks: Family<OutcomeLabels, Counter>,
    pub panics: Counter,
    pub service_up: Family<ServiceLabels, Gauge>,
    pub events_recorded: Counter,
    pub commit_seconds: Histogram,
    pub lane_waiting: Gauge,
    pub lane_together: Histogram,
    pub lane_refused: Family<ReasonLabels, Counter>,
    pub events_unpublished: Counter,
    pub bus_garbage: Counter,
    pub link_up: Gauge,
    pub link_losses: Counter,
    pub link_seconds: Histogram,
    pub bus_waiting: Gauge,
    pub bus_seconds: Histogram,
    pub events_told: Counter,
    pub delivery_seconds: Histogram,
    pub gaps_filled: Counter,
    pub people: Gauge,
    pub connections: Gauge,
    pub connections_closed: Family<ReasonLabels, Counter>,
    pub commands: Family<CommandLabels, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RequestLabels {
    pub method: Method,
    /// The pattern, not the path: a path would make a time series of each id.
    pub route: String,
    pub status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RouteLabels {
    pub method: Method,
    pub route: String,
}

/// A method as a label: those that somebody invents are all `other`, or they would fill the memory.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub struct Method(&'static str);

impl From<&http::Method> for Method {
    fn from(method: &http::Method) -> Self {
        Self(match method.as_str() {
            "GET" => "GET",
            "HEAD" => "HEAD",
            "POST" => "POST",
            "PUT" => "PUT",
            "PATCH" => "PATCH",
            "DELETE" => "DELETE",
            "OPTIONS" => "OPTIONS",
            _ => "other",
        })
    }
}

impl EncodeLabelValue for Method {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        encoder.write_str(self.0)
    }
}

/// What somebody was told who did not get what they asked for.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ProblemLabels {
    code: String,
    reason: String,
}

impl From<&Problem> for ProblemLabels {
    fn from(problem: &Problem) -> Self {
        Self {
            code: word(&problem.code),
            reason: problem.reason.as_ref().map(word).unwrap_or_default(),
        }
    }
}

/// A code as programs read it.
fn word(code: &impl Serialize) -> String {
    let word = serde_json::to_value(code).unwrap_or_default();
    word.as_str().unwrap_or_default().to_owned()
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ServiceLabels {
    pub service: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct OutcomeLabels {
    pub outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ReasonLabels {
    pub reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct CommandLabels {
    pub command: &'static str,
    pub outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct LaneLabels {
    pub lane: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct LimitLabels {
    pub limit: &'static str,
}

/// From a cached answer to the goal of the load test and on to what a person gives up on.
const REQUEST_BUCKETS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.3, 0.5, 1.0, 5.0, 30.0,
];
/// From what nobody can tell from at once to what people call lost.
const LATE_BUCKETS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];
/// A hash takes a quarter second; a queue of sixteen takes four.
const PASSWORD_BUCKETS: [f64; 8] = [0.01, 0.1, 0.25, 0.5, 1.0, 4.0, 15.0, 120.0];

/// From alone, when the system is idle, to as many as may share a transaction.
const TOGETHER_BUCKETS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

fn request_histogram() -> Histogram {
    Histogram::new(REQUEST_BUCKETS)
}

fn password_histogram() -> Histogram {
    Histogram::new(PASSWORD_BUCKETS)
}

impl Metrics {
    /// All metrics, at zero. `at_scrape` adds what is only counted when somebody looks, such as pools.
    pub fn new(at_scrape: Vec<Box<dyn Collector>>) -> Self {
        let mut registry = Registry::with_prefix("messenger");
        let requests = Family::default();
        let request_seconds = Histograms::new_with_constructor(request_histogram as fn() -> Histogram);
        let problems = Family::default();
        let requests_under_way = Gauge::default();
        let log_ins = Family::default();
        let passwords_waiting = Family::default();
        let password_wait_seconds = Histograms::new_with_constructor(password_histogram as fn() -> Histogram);
        let images_waiting = Gauge::default();
        let image_seconds = password_histogram();
        let limited = Family::default();
        let limit_fallbacks = Counter::default();
        let session_checks = Family::default();
        let panics = Counter::default();
        let service_up = Family::default();
        let events_recorded = Counter::default();
        let commit_seconds = request_histogram();
        let lane_waiting = Gauge::default();
        let lane_together = Histogram::new(TOGETHER_BUCKETS);
        let lane_refused = Family::default();
        let events_unpublished = Counter::default();
        let bus_garbage = Counter::default();
        let link_up = Gauge::default();
        let link_losses = Counter::default();
        let link_seconds = request_histogram();
        let bus_waiting = Gauge::default();
        let bus_seconds = Histogram::new(LATE_BUCKETS);
        let events_told = Counter::default();
        let delivery_seconds = Histogram::new(LATE_BUCKETS);
        let gaps_filled = Counter::default();
        let people = Gauge::default();
        let connections = Gauge::default();
        let connections_closed = Family::default();
        let commands = Family::default();

        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register_with_unit(
            "http_request_duration",
            "From the request's head to the answer's head",
            Unit::Seconds,
            request_seconds.clone(),
        );
        registry.register(
            "problems",
            "Requests and commands that were refused or failed, by what they were told",
            problems.clone(),
        );
        registry.register(
            "http_requests_under_way",
            "Requests being worked on",
            requests_under_way.clone(),
        );
        registry.register("log_ins", "Log-ins by outcome", log_ins.clone());
        registry.register(
            "passwords_waiting",
            "Password hashes waiting for a thread",
            passwords_waiting.clone(),
        );
        registry.register_with_unit(
            "password_duration",
            "From asking for a password hash to having it",
            Unit::Seconds,
            password_wait_seconds.clone(),
        );
        registry.register(
            "images_waiting",
            "Images waiting for a thread to be drawn on",
            images_waiting.clone(),
        );
        registry.register_with_unit(
            "image_duration",
            "From asking for an image's versions to having them",
            Unit::Seconds,
            image_seconds.clone(),
        );
        registry.register("limited", "Requests refused by a limit", limited.clone());
        registry.register(
            "limit_fallbacks",
            "Limits decided by this replica alone because Redis did not answer",
            limit_fallbacks.clone(),
        );
        registry.register(
            "session_checks",
            "Session checks by where the answer came from",
            session_checks.clone(),
        );
        registry.register("panics", "Requests that ended in a panic", panics.clone());
        registry.register(
            "service_up",
            "Whether the services behind answered when somebody last asked about health",
            service_up.clone(),
        );
        registry.register(
            "events_recorded",
            "Events appended to the log",
            events_recorded.clone(),
        );
        registry.register_with_unit(
            "commit_duration",
            "Commits that record events",
            Unit::Seconds,
            commit_seconds.clone(),
        );
        registry.register(
            "lane_waiting",
            "Messages that wait to be written",
            lane_waiting.clone(),
        );
        registry.register(
            "lane_together",
            "Messages that shared a transaction",
            lane_together.clone(),
        );
        registry.register(
            "lane_refused",
            "Messages that were not written because too many wait (full) or they waited too long (late)",
            lane_refused.clone(),
        );
        registry.register(
            "events_unpublished",
            "Events that Redis did not take: other replicas read them from the log",
            events_unpublished.clone(),
        );
        registry.register(
            "bus_garbage",
            "Messages on our channels that are not ours, or of a version to come",
            bus_garbage.clone(),
        );
        registry.register(
            "link_up",
            "Whether this replica hears the others",
            link_up.clone(),
        );
        registry.register(
            "link_losses",
            "Times the link to Redis was lost",
            link_losses.clone(),
        );
        registry.register_with_unit(
            "link_round_trip",
            "From asking Redis on the link to its answer",
            Unit::Seconds,
            link_seconds.clone(),
        );
        registry.register(
            "bus_waiting",
            "Events that wait to be published to Redis",
            bus_waiting.clone(),
        );
        registry.register_with_unit(
            "bus_delay",
            "From telling of an event on one replica to hearing of it on this one, as far as their clocks agree",
            Unit::Seconds,
            bus_seconds.clone(),
        );
        registry.register(
            "deliveries",
            "Events offered to live connections",
            events_told.clone(),
        );
        registry.register_with_unit(
            "delivery_delay",
            "From the commit of an event to writing it to a socket: the oldest of each write",
            Unit::Seconds,
            delivery_seconds.clone(),
        );
        registry.register(
            "gaps_filled",
            "Events that did not arrive by themselves and were read from the log",
            gaps_filled.clone(),
        );
        registry.register(
            "people",
            "People with a live connection to this replica",
            people.clone(),
        );
        registry.register("connections", "Live connections", connections.clone());
        registry.register(
            "connections_closed",
            "Live connections that ended, by reason",
            connections_closed.clone(),
        );
        registry.register(
            "commands",
            "What live connections asked for, by outcome",
            commands.clone(),
        );
        registry.register(
            "build",
            "What is running",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        registry.register_collector(Box::new(Process));
        for collector in at_scrape {
            registry.register_collector(collector);
        }
        Self {
            registry,
            requests,
            request_seconds,
            problems,
            requests_under_way,
            log_ins,
            passwords_waiting,
            password_wait_seconds,
            images_waiting,
            image_seconds,
            limited,
            limit_fallbacks,
            session_checks,
            panics,
            service_up,
            events_recorded,
            commit_seconds,
            lane_waiting,
            lane_together,
            lane_refused,
            events_unpublished,
            bus_garbage,
            link_up,
            link_losses,
            link_seconds,
            bus_waiting,
            bus_seconds,
            events_told,
            delivery_seconds,
            gaps_filled,
            people,
            connections,
            connections_closed,
            commands,
        }
    }

    /// The text that Prometheus reads.
    pub fn render(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string cannot fail");
        text
    }
}

/// Memory, processor time and open files of this process, read when somebody looks.
#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<i64>().ok())
            .map_or(0, |kib| kib * 1024);
        gauge(
            &mut encoder,
            "process_resident_memory_bytes",
            "Resident memory",
            resident,
        )?;
        let used = cpu_time().unwrap_or_default().as_secs_f64();
        let counter = ConstCounter::new(used);
        let metric = encoder.encode_descriptor(
            "process_cpu_seconds",
            "Processor time",
            None,
            counter.metric_type(),
        )?;
        counter.encode(metric)?;
        let files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        gauge(
            &mut encoder,
            "process_open_fds",
            "Open files and sockets",
            i64::try_from(files).unwrap_or(i64::MAX),
        )
    }
}

/// User and system time, from the fields 14 and 15 of `/proc/self/stat`, counted behind the name (which may hold anything).
fn cpu_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(
        ticks * 1_000 / rustix::param::clock_ticks_per_second().max(1),
    ))
}

/// Nothing, if clocks that differ say that it is less.
pub fn seconds_between(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    (to - from).as_seconds_f64().max(0.0)
}

/// One gauge read at scrape time.
pub fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: i64) -> std::fmt::Result {
    let gauge = ConstGauge::new(value);
    let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
    gauge.encode(metric)
}

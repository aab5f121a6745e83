//! `cargo dev`: the dev stack's command line. What the commands do is in `tools::dev_stack`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use tools::dev_stack::place::Place;
use tools::dev_stack::{
    chat, compare, doctor, down, env, load, logs, reset, s3, seed, sqlx, status, test, up,
};
use tools::faults;

/// The whole messenger on this machine: PostgreSQL, Redis, S3, two gateways and a sticky balancer.
#[derive(Debug, Parser)]
#[command(name = "cargo dev", bin_name = "cargo dev")]
struct Cli {
    /// Keep the stack in this directory instead of `.dev/`.
    #[arg(long, global = true, env = "DEV_STACK_DIR", value_name = "PATH")]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Start whatever is not running yet, building and installing what that takes.
    Up(Up),
    /// Stop everything; the data stays.
    Down(Scope),
    /// What runs, where, and whether it works.
    Status,
    /// What the services wrote.
    Logs(Logs),
    /// Stop everything and delete its data.
    Reset(Scope),
    /// What is wrong, and how to mend it.
    Doctor,
    /// People, contacts, groups and history to play with.
    Seed,
    /// Talk from this terminal: whoever does so in another one is in the same group.
    Chat {
        /// Who you are, such as alice. Somebody new is registered.
        name: String,
    },
    /// Everything that CI runs, or only the steps named: lint, unit, manifests, network, contract, faults, deps.
    Test {
        /// All of them, if none is named.
        steps: Vec<String>,
    },
    /// Break a system of its own in every way, under traffic, and judge what its clients were told.
    Faults(Faults),
    /// Let many people write to each other, and measure when everybody has heard it: `cargo dev load --help`.
    #[command(disable_help_flag = true)]
    Load {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// The same load on our gateway and on the server that a Node team would write, in turn.
    Compare(Compare),
    /// Refresh the committed query data in `.sqlx/` after a change of SQL or schema.
    Sqlx {
        /// Change nothing, and fail when there is something to change.
        #[arg(long)]
        check: bool,
    },
    /// Print the running stack's settings for a shell: eval "$(cargo dev env)".
    Env,
    #[command(hide = true)]
    ServeS3(ServeS3),
}

#[derive(Args, Debug)]
struct Up {
    /// The balancer's port; remembered until another one is given. [default: 3000]
    #[arg(long, value_name = "NUMBER")]
    port: Option<u16>,
    /// Build the gateway with optimisation.
    #[arg(long)]
    release: bool,
}

#[derive(Args, Debug)]
struct Scope {
    /// The tests' own PostgreSQL and Redis as well.
    #[arg(long)]
    all: bool,
}

#[derive(Args, Debug)]
struct Logs {
    /// Which services (`gateway` means both); all if none is given.
    services: Vec<String>,
    /// How many of the last lines of each.
    #[arg(short = 'n', long, default_value_t = 40, value_name = "NUMBER")]
    lines: usize,
    /// Go on printing what comes.
    #[arg(short, long)]
    follow: bool,
}

#[derive(Args, Debug)]
struct Faults {
    /// What is broken when follows from it. [default: another one each time]
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// How many episodes.
    #[arg(long, default_value_t = 15, value_name = "NUMBER")]
    episodes: u64,
    /// Only the episode of this number.
    #[arg(long, conflicts_with = "episodes", value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    episode: Option<u64>,
    /// As many episodes as fit into this time: `1h`, `90s`.
    #[arg(long = "for", conflicts_with_all = ["episodes", "episode"], value_parser = humantime::parse_duration, value_name = "TIME")]
    time: Option<Duration>,
    /// How many gateways.
    #[arg(long, default_value_t = 3, value_name = "NUMBER")]
    replicas: usize,
    /// How many people talk.
    #[arg(long, default_value_t = 24, value_name = "NUMBER")]
    people: usize,
    /// How late a message may be that is promised at once.
    #[arg(long, default_value = "2500ms", value_parser = humantime::parse_duration, value_name = "TIME")]
    patience: Duration,
    /// Write a page about it.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Build the gateway with optimisation.
    #[arg(long)]
    release: bool,
}

impl Faults {
    fn options(self) -> faults::Options {
        let length = match (self.time, self.episode) {
            (Some(time), _) => faults::Length::For(time),
            (None, Some(number)) => faults::Length::Episode(number),
            (None, None) => faults::Length::Episodes(self.episodes),
        };
        let by_the_clock = || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            u64::from(now.unwrap_or_default().subsec_micros())
        };
        faults::Options {
            seed: self.seed.unwrap_or_else(by_the_clock),
            length,
            replicas: self.replicas,
            people: self.people,
            patience: self.patience,
            report: self.report,
            release: self.release,
        }
    }
}

#[derive(Args, Debug)]
struct Compare {
    /// How often everything is measured. [default: 3]
    #[arg(long, value_name = "NUMBER")]
    rounds: Option<usize>,
    /// How long each time. [default: 20s]
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
    duration: Option<Duration>,
    /// One round of five seconds each, and fewer people: whether it works, rather than how fast.
    #[arg(long)]
    quick: bool,
    /// Only rows that contain these words.
    #[arg(long, value_name = "WORDS")]
    only: Option<String>,
    /// Write all figures to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a page with pictures to this file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct ServeS3 {
    #[arg(long)]
    port: u16,
    #[arg(long)]
    root: PathBuf,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    if let Verb::ServeS3(ServeS3 { port, root }) = cli.verb {
        return s3::serve_forever(port, &root);
    }
    let place = Place::find(cli.dir)?;
    match cli.verb {
        Verb::Up(Up { port, release }) => up::run(&place, &up::Options { port, release }),
        Verb::Down(Scope { all }) => down::run(&place, all),
        Verb::Status => status::run(&place),
        Verb::Logs(Logs {
            services,
            lines,
            follow,
        }) => logs::run(
            &place,
            &logs::Options {
                services,
                lines,
                follow,
            },
        ),
        Verb::Reset(Scope { all }) => reset::run(&place, all),
        Verb::Doctor => doctor::run(&place),
        Verb::Seed => seed::run(&place),
        Verb::Chat { name } => chat::run(&place, &name),
        Verb::Test { steps } => test::run(&place, &steps),
        Verb::Faults(asked) => faults::run(&place, &asked.options()),
        Verb::Load { options } => load::run(&place, &options),
        Verb::Compare(Compare {
            rounds,
            duration,
            quick,
            only,
            json,
            html,
        }) => compare::run(
            &place,
            &compare::Options {
                rounds: rounds.unwrap_or(if quick { 1 } else { 3 }),
                duration: duration.unwrap_or(Duration::from_secs(if quick { 5 } else { 20 })),
                only,
                quick,
                json,
                html,
            },
        ),
        Verb::Sqlx { check } => sqlx::run(&place, check),
        Verb::Env => env::run(&place),
        Verb::ServeS3(_) => Ok(()),
    }
}

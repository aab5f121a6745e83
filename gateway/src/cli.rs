//! What can be asked of the program: `gateway serve | migrate | openapi | check-config`.

use std::{env, fmt::Write, path::PathBuf};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::config::{self, Config};

/// One replica of the messenger: REST and live connections in front of PostgreSQL, Redis and S3.
#[derive(Debug, Parser)]
#[command(version, about, long_about = None)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// What the command line and the environment ask for. Exits with an explanation if that makes no sense.
    ///
    /// A variable that is set to nothing counts as not set: that is what `NAME=${NAME:-}` in a compose file means.
    pub fn read() -> Self {
        let mut cli = Self::command();
        let names: Vec<String> = cli
            .get_subcommands()
            .map(|command| command.get_name().to_owned())
            .collect();
        for name in names {
            cli = cli.mut_subcommand(name, |command| {
                command.mut_args(|arg| {
                    let is_empty = arg
                        .get_env()
                        .and_then(env::var_os)
                        .is_some_and(|value| value.is_empty());
                    if is_empty { arg.env(None::<&str>) } else { arg }
                })
            });
        }
        Self::from_arg_matches(&cli.get_matches()).unwrap_or_else(|error| error.exit())
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve clients until SIGTERM; a second one stops at once.
    Serve(Box<Config>),
    /// Bring the database up to date and exit.
    Migrate(Migrate),
    /// Write the API documents that clients are made from.
    Openapi {
        /// The folder they go to.
        #[arg(long, default_value = "openapi", value_name = "FOLDER")]
        out: PathBuf,
    },
    /// Show the settings as they would be used, and warn of risky ones.
    CheckConfig(Box<Config>),
}

#[derive(Debug, clap::Args)]
pub struct Migrate {
    #[command(flatten)]
    pub database: config::Database,
    #[command(flatten)]
    pub telemetry: config::Telemetry,
}

/// `.env.example`, written from the definition of the settings.
pub fn env_example() -> String {
    let mut text = String::from(
        "# Every setting of the gateway. What is commented out shows its default and may stay so.\n\
         # Written from the definition: UPDATE=1 cargo test -p gateway --test it configuration\n",
    );
    let mut cli = Cli::command();
    cli.build();
    let serve = cli.find_subcommand("serve").expect("there is a serve command");
    let mut heading = None;
    for arg in serve.get_arguments() {
        let Some(name) = arg.get_env() else { continue };
        if arg.get_help_heading() != heading {
            heading = arg.get_help_heading();
            let _ = write!(text, "\n# ---- {} ----\n", heading.unwrap_or("General"));
        }
        let mut help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let defaults: Vec<_> = arg
            .get_default_values()
            .iter()
            .map(|value| value.to_string_lossy())
            .collect();
        let sample = arg
            .get_value_names()
            .map(|names| names.join(" "))
            .unwrap_or_default();
        let setting = match (arg.is_required_set(), defaults.is_empty()) {
            (true, _) => format!("{env}={sample}", env = name.to_string_lossy()),
            (false, false) => format!("# {env}={}", defaults.join(","), env = name.to_string_lossy()),
            (false, true) => {
                let _ = write!(help, "; unset, or such as {sample}");
                format!("# {env}=", env = name.to_string_lossy())
            }
        };
        let _ = writeln!(text, "\n# {help}\n{setting}");
    }
    text
}

//! What can be asked of the program: `gateway serve | migrate | openapi | check-config`.

use std::{fmt::Write, path::PathBuf};

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::{self, Config};

/// One replica of the messenger: REST and live connections in front of PostgreSQL, Redis and S3.
#[derive(Debug, Parser)]
#[command(version, about, long_about = None)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
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
        let Some(env) = arg.get_env() else { continue };
        if arg.get_help_heading() != heading {
            heading = arg.get_help_heading();
            let _ = write!(text, "\n# ---- {} ----\n", heading.unwrap_or("General"));
        }
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let _ = writeln!(text, "\n# {}", help.replace('\n', "\n# "));
        let defaults: Vec<_> = arg
            .get_default_values()
            .iter()
            .map(|value| value.to_string_lossy())
            .collect();
        let sample = arg
            .get_value_names()
            .map(|names| names.join(" "))
            .unwrap_or_default();
        let env = env.to_string_lossy();
        let _ = match (arg.is_required_set(), defaults.is_empty()) {
            (true, _) => writeln!(text, "{env}={sample}"),
            (false, false) => writeln!(text, "# {env}={}", defaults.join(",")),
            (false, true) => writeln!(text, "# {env}=   ({sample})"),
        };
    }
    text
}

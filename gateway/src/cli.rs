//! What can be asked of the program: `gateway serve | migrate | health | openapi | check-config`.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt::Write,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process,
};

use clap::{
    Arg, CommandFactory, FromArgMatches, Parser, Subcommand,
    error::{ContextKind, ContextValue, ErrorKind},
};

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
    /// A variable that is set to nothing counts as not set: that is what `NAME=${NAME:-}` in a compose file means. What is secret may
    /// be in a file that `NAME_FILE` names.
    pub fn read() -> Self {
        let mut cli = Self::command();
        let names: Vec<String> = cli
            .get_subcommands()
            .map(|command| command.get_name().to_owned())
            .collect();
        let mut problems = Vec::new();
        for name in names {
            cli = cli.mut_subcommand(name, |command| {
                command.mut_args(|arg| provided(arg, &mut problems))
            });
        }
        if let Some(problem) = problems.first() {
            cli.error(ErrorKind::ValueValidation, problem).exit();
        }
        let matches = cli.try_get_matches_from_mut(env::args_os());
        let matches = matches.unwrap_or_else(|error| match missing(&cli, &error) {
            Some(explanation) => {
                eprint!("{explanation}");
                process::exit(error.exit_code())
            }
            None => error.exit(),
        });
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// The argument with what its variable says, or the file that its other variable names.
fn provided(arg: Arg, problems: &mut Vec<String>) -> Arg {
    let Some(name) = arg.get_env().map(OsStr::to_owned) else {
        return arg;
    };
    let variable = file_variable(&name);
    let file = if is_secret(&arg) { given(&variable) } else { None };
    let (name, variable) = (name.display(), variable.display());
    match (env::var_os(name.to_string()), file) {
        (Some(value), None) if value.is_empty() => arg.env(None::<&str>),
        (_, None) => arg,
        (Some(value), Some(_)) if !value.is_empty() => {
            problems.push(format!("{name} and {variable} are both set: keep one of them"));
            arg
        }
        (_, Some(file)) => match secret_in(Path::new(&file)) {
            Ok(secret) if secret.is_empty() => arg.env(None::<&str>),
            Ok(secret) => arg
                .env(None::<&str>)
                .required(false)
                .default_value(secret)
                .hide_default_value(true),
            Err(error) => {
                problems.push(format!(
                    "{variable}={}: {error}; it must name a file that the user of this process may read",
                    file.display()
                ));
                arg
            }
        },
    }
}

/// Editors and `echo` end files with a line break, which no secret ends with.
fn secret_in(file: &Path) -> io::Result<String> {
    Ok(fs::read_to_string(file)?
        .trim_end_matches(['\r', '\n'])
        .to_owned())
}

/// Only what is not to be shown may come from a file.
fn is_secret(arg: &Arg) -> bool {
    arg.is_hide_env_values_set()
}

fn file_variable(name: &OsStr) -> OsString {
    let mut name = name.to_owned();
    name.push("_FILE");
    name
}

fn given(name: &OsStr) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// Which settings are missing, by the names that people set them by, and where to find them.
fn missing(cli: &clap::Command, error: &clap::Error) -> Option<String> {
    if error.kind() != ErrorKind::MissingRequiredArgument {
        return None;
    }
    let ContextValue::Strings(missing) = error.get(ContextKind::InvalidArg)? else {
        return None;
    };
    let mut text =
        String::from("error: these settings are missing; set them as environment variables or as flags:\n\n");
    let settings = cli.find_subcommand("serve")?.get_arguments();
    for setting in settings.filter(|setting| missing.iter().any(|flag| *flag == setting.to_string())) {
        let (name, help) = (setting.get_env()?.to_string_lossy(), setting.get_help()?);
        let _ = writeln!(text, "  {name:<21} {help}\n{:24}{setting}", "");
    }
    text.push_str(
        "\nAll settings: `gateway serve --help`, or the file .env.example.\n\
         Another gateway beside a dev stack (`cargo dev up`): eval \"$(cargo dev env)\", and LISTEN and OPS_LISTEN that are free.\n",
    );
    Some(text)
}

/// Under the settings of each command.
const HOW_TO_SET: &str = "Each setting is a flag or the environment variable named beside it; a flag wins. \
    `gateway check-config` shows what is in force.";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve clients until SIGTERM; a second one stops at once.
    #[command(override_usage = "gateway serve [SETTINGS]", after_help = HOW_TO_SET)]
    Serve(Box<Config>),
    /// Bring the database up to date and exit.
    #[command(override_usage = "gateway migrate [SETTINGS]", after_help = HOW_TO_SET)]
    Migrate(Migrate),
    /// Ask the replica on this machine whether it is ready, and exit with success if it is.
    Health {
        /// Where it serves machines.
        #[arg(long, env = "OPS_LISTEN", default_value = config::OPS_LISTEN, value_name = "ADDRESS")]
        ops_listen: SocketAddr,
    },
    /// Write the API documents that clients are made from.
    Openapi {
        /// The folder they go to.
        #[arg(long, default_value = "openapi", value_name = "FOLDER")]
        out: PathBuf,
    },
    /// Show the settings as they would be used, and warn of risky ones.
    #[command(override_usage = "gateway check-config [SETTINGS]", after_help = HOW_TO_SET)]
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
        let secret_file = if is_secret(arg) {
            let variable = file_variable(name).display().to_string();
            let _ = write!(help, "; {variable} may name a file with it instead");
            let name = name.display().to_string().to_lowercase();
            format!("\n# {variable}=/run/secrets/{name}")
        } else {
            String::new()
        };
        let setting = match (arg.is_required_set(), defaults.is_empty()) {
            (true, _) => format!("{env}={sample}", env = name.to_string_lossy()),
            (false, false) => format!("# {env}={}", defaults.join(","), env = name.to_string_lossy()),
            (false, true) => {
                help.push_str("; not set unless you do");
                format!("# {env}={sample}", env = name.to_string_lossy())
            }
        };
        let _ = writeln!(text, "\n# {help}\n{setting}{secret_file}");
    }
    text
}

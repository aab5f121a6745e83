use clap::{Args, ValueEnum};

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Logs")]
pub struct Telemetry {
    /// What is logged, as in `info` or `gateway=debug,sqlx=warn`.
    #[arg(long, env = "LOG_LEVEL", default_value = "info", value_name = "FILTER")]
    pub log_level: String,

    /// How it is written. Without a value: text on a terminal, else JSON.
    #[arg(long, env = "LOG_FORMAT", value_name = "text|json")]
    pub log_format: Option<LogFormat>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

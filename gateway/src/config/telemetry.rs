use clap::{Args, ValueEnum};

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Logs and traces")]
pub struct Telemetry {
    /// What is logged, as in `info` or `gateway=debug,sqlx=warn`.
    #[arg(long, env = "LOG_LEVEL", default_value = "info", value_name = "FILTER")]
    pub log_level: String,

    /// How it is written. Without a value: text on a terminal, else JSON.
    #[arg(long, env = "LOG_FORMAT", value_name = "text|json")]
    pub log_format: Option<LogFormat>,

    /// Where traces are sent, as OTLP over HTTP; `/v1/traces` is added. Without it there are none. OTEL_TRACES_SAMPLER and the other
    /// variables of OpenTelemetry are heeded.
    #[arg(
        long,
        env = "OTEL_EXPORTER_OTLP_ENDPOINT",
        value_name = "http://collector:4318"
    )]
    pub otlp_endpoint: Option<String>,

    /// What traces call this program.
    #[arg(
        long,
        env = "OTEL_SERVICE_NAME",
        default_value = "gateway",
        value_name = "NAME"
    )]
    pub otlp_service_name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

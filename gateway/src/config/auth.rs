use std::time::Duration;

use clap::Args;
use shared::secret::Secret;

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Accounts")]
pub struct Auth {
    /// Signs access tokens; at least 32 bytes, the same on every replica.
    #[arg(long, env = "JWT_SECRET", hide_env_values = true, value_parser = signing_key, value_name = "SECRET")]
    pub jwt_secret: Secret<String>,

    /// A second key that is accepted but does not sign: the next one while it is rolled out, then the previous one until its
    /// last access token has expired.
    #[arg(long, env = "JWT_SECRET_PREVIOUS", hide_env_values = true, value_parser = signing_key, value_name = "SECRET")]
    pub jwt_secret_previous: Option<Secret<String>>,

    /// How long an access token is good for. Sessions are checked on every request, so a long time stays revocable.
    #[arg(long, env = "ACCESS_TOKEN_TTL", default_value = "15m", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub access_token_ttl: Duration,

    /// How long a login session lasts after it was last refreshed.
    #[arg(long, env = "REFRESH_TOKEN_TTL", default_value = "7d", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub refresh_token_ttl: Duration,

    /// The work a password hash costs: one more doubles it. 4 is for tests and benchmarks only.
    #[arg(long, env = "BCRYPT_COST", default_value_t = 12, value_parser = clap::value_parser!(u32).range(4..=16), value_name = "NUMBER")]
    pub bcrypt_cost: u32,

    /// Threads that hash passwords, at low priority. 0: half the cores.
    #[arg(long, env = "PASSWORD_THREADS", default_value_t = 0, value_name = "NUMBER")]
    pub password_threads: usize,

    /// How long a log-in may have to wait for such a thread; when the queue is longer, the next is told to come back.
    #[arg(long, env = "LOGIN_MAX_WAIT", default_value = "4s", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub login_max_wait: Duration,

    /// Registrations that may wait for such a thread.
    #[arg(
        long,
        env = "REGISTRATION_QUEUE",
        default_value_t = 5_000,
        value_name = "NUMBER"
    )]
    pub registration_queue: usize,
}

fn signing_key(text: &str) -> Result<Secret<String>, &'static str> {
    if text.len() < 32 {
        return Err("must have at least 32 bytes; `openssl rand -base64 48` makes a good one");
    }
    Ok(Secret::new(text.to_owned()))
}

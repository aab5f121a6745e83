use std::{fmt, num::NonZeroU32, str::FromStr, time::Duration};

use clap::{Args, ValueEnum};

use crate::limits::Limited;

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// `off` is for load tests: every limit is off.
    #[arg(long, env = "RATE_LIMITS", default_value = "on", value_name = "on|off")]
    pub rate_limits: Switch,

    /// How many people a group may have.
    #[arg(long, env = "GROUP_MAX_MEMBERS", default_value_t = 300, value_name = "NUMBER")]
    pub group_max_members: usize,

    /// Other rates than the built-in ones, each as NAME=COUNT/TIME: register=5000/5m,general=300/1m.
    #[arg(long, env = "RATE_LIMIT_OVERRIDES", value_delimiter = ',', value_parser = override_of, value_name = "RATES")]
    pub rate_limit_overrides: Vec<(Limited, Rate)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    On,
    Off,
}

/// So many at once, and as many again spread over each period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub count: NonZeroU32,
    pub per: Duration,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (count, per) = text
            .split_once('/')
            .ok_or("write it as COUNT/TIME, such as 100/1m")?;
        let count = count
            .parse()
            .map_err(|_| format!("`{count}` is not a count of at least 1"))?;
        let per = humantime::parse_duration(per).map_err(|e| format!("`{per}`: {e}"))?;
        if per.is_zero() {
            return Err("the time must not be zero".to_owned());
        }
        Ok(Self { count, per })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, humantime::format_duration(self.per))
    }
}

fn override_of(text: &str) -> Result<(Limited, Rate), String> {
    let (name, rate) = text.split_once('=').ok_or("write it as NAME=COUNT/TIME")?;
    let limited = Limited::ALL
        .into_iter()
        .find(|limited| limited.name() == name)
        .ok_or_else(|| {
            let known: Vec<_> = Limited::ALL.iter().map(|limited| limited.name()).collect();
            format!(
                "there is no limit called `{name}`; there are {}",
                known.join(", ")
            )
        })?;
    Ok((limited, rate.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides() {
        let (limited, rate) = override_of("general=300/1m").unwrap();
        assert_eq!((limited, rate.to_string().as_str()), (Limited::General, "300/1m"));
        for wrong in [
            "general",
            "general=",
            "general=0/1m",
            "general=1/0s",
            "nonsense=1/1s",
        ] {
            assert!(override_of(wrong).is_err(), "{wrong}");
        }
    }
}

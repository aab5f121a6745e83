//! How long lists are cut.

use serde::{Deserialize, Serialize};

/// How many entries are wanted: 1 to `MAX`, and `MAX` for whoever asks for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "i64")]
pub struct Limit<const DEFAULT: u16, const MAX: u16>(u16);

impl<const DEFAULT: u16, const MAX: u16> Limit<DEFAULT, MAX> {
    pub fn get(self) -> usize {
        usize::from(self.0)
    }

    pub fn sql(self) -> i64 {
        i64::from(self.0)
    }
}

impl<const DEFAULT: u16, const MAX: u16> Default for Limit<DEFAULT, MAX> {
    fn default() -> Self {
        Self(DEFAULT)
    }
}

impl<const DEFAULT: u16, const MAX: u16> TryFrom<i64> for Limit<DEFAULT, MAX> {
    type Error = &'static str;

    fn try_from(wanted: i64) -> Result<Self, Self::Error> {
        if wanted < 1 {
            return Err("must be at least 1");
        }
        Ok(Self(u16::try_from(wanted).unwrap_or(MAX).min(MAX)))
    }
}

impl<const DEFAULT: u16, const MAX: u16> utoipa::PartialSchema for Limit<DEFAULT, MAX> {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::Integer)
            .minimum(Some(1))
            .default(Some(DEFAULT.into()))
            .description(Some(format!("More than {MAX} is taken as {MAX}.")))
            .into()
    }
}

impl<const DEFAULT: u16, const MAX: u16> utoipa::ToSchema for Limit<DEFAULT, MAX> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        type L = Limit<20, 50>;
        assert_eq!(L::default().get(), 20);
        assert_eq!(L::try_from(7).map(L::get), Ok(7));
        assert_eq!(L::try_from(1_000_000).map(L::get), Ok(50));
        assert!(L::try_from(0).is_err() && L::try_from(-3).is_err());
    }
}

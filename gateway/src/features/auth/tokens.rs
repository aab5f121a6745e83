//! What a client carries: access tokens (signed, short-lived, name a session) and refresh tokens (random, kept as digests).

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header, encode};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use shared::{SessionId, UserId, problem::Reason, secret::Secret};
use uuid::Uuid;

use crate::{
    config,
    error::{Error, Result},
};

/// What an access token says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    #[serde(rename = "sub")]
    pub user: UserId,
    /// The login session: while it lives, the token is good until `exp`, and for opening a socket even longer.
    #[serde(rename = "sid")]
    pub session: SessionId,
    #[serde(rename = "type")]
    kind: Kind,
    /// No two tokens are equal, not even within a second.
    jti: Uuid,
    iat: i64,
    exp: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Access,
}

impl Claims {
    pub fn has_expired(&self, now: DateTime<Utc>) -> bool {
        self.exp <= now.timestamp()
    }
}

/// Signs access tokens and reads them. Each token names its key, so that two keys can be in use while one replaces the other.
pub struct AccessTokens {
    key_id: String,
    signing: EncodingKey,
    reading: Vec<(String, DecodingKey)>,
    rules: Validation,
    pub lifetime: Duration,
}

impl AccessTokens {
    pub fn new(config: &config::Auth) -> Self {
        let secrets = std::iter::once(&config.jwt_secret).chain(&config.jwt_secret_previous);
        let reading = secrets.map(|secret| {
            (
                key_id(secret),
                DecodingKey::from_secret(secret.expose().as_bytes()),
            )
        });
        let mut rules = Validation::new(Algorithm::HS256);
        // We look at the time ourselves: a socket may be opened with a token that is past it.
        rules.validate_exp = false;
        rules.required_spec_claims.clear();
        Self {
            key_id: key_id(&config.jwt_secret),
            signing: EncodingKey::from_secret(config.jwt_secret.expose().as_bytes()),
            reading: reading.collect(),
            rules,
            lifetime: config.access_token_ttl,
        }
    }

    pub fn issue(&self, user: UserId, session: SessionId, now: DateTime<Utc>) -> Result<String> {
        let header = Header {
            kid: Some(self.key_id.clone()),
            ..Header::new(Algorithm::HS256)
        };
        let lifetime = i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX);
        let iat = now.timestamp();
        let claims = Claims {
            user,
            session,
            kind: Kind::Access,
            jti: Uuid::new_v4(),
            iat,
            exp: iat.saturating_add(lifetime),
        };
        encode(&header, &claims, &self.signing).map_err(Error::internal)
    }

    /// What the token says, if one of our keys signed it. Whether its time is over is for the caller to ask.
    pub fn read(&self, token: &str) -> Result<Claims> {
        let invalid = || Error::Unauthenticated(Reason::TokenInvalid);
        let header = decode_header(token).map_err(|_| invalid())?;
        let key = self
            .reading
            .iter()
            .find(|(id, _)| header.kid.as_ref() == Some(id))
            .ok_or_else(invalid)?;
        decode::<Claims>(token, &key.1, &self.rules)
            .map(|data| data.claims)
            .map_err(|_| invalid())
    }
}

impl std::fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessTokens")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

/// The public name of a key, derived from it: replicas agree without a setting, and nobody learns the key.
fn key_id(secret: &Secret<String>) -> String {
    let digest = Sha256::new()
        .chain_update("messenger key id: ")
        .chain_update(secret.expose())
        .finalize();
    URL_SAFE_NO_PAD.encode(&digest[..6])
}

/// 32 random bytes that renew a session, once.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken([u8; 32]);

impl RefreshToken {
    pub fn random() -> Self {
        let mut bytes = [0; 32];
        rand::rng().fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// What the client holds; nothing if that cannot be one of ours.
    pub fn parse(text: &Secret<String>) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text.expose()).ok()?;
        bytes.try_into().ok().map(Self)
    }

    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// What the database holds.
    pub fn digest(&self) -> [u8; 32] {
        self.derive("digest")
    }

    /// Hide `successor` so that only whoever holds this token can find it again.
    ///
    /// A one-time pad: this token is 256 random bits, gives one pad, and is replaced once.
    pub fn seal(&self, successor: &Self) -> [u8; 32] {
        let mut sealed = self.derive("seal");
        sealed
            .iter_mut()
            .zip(successor.0)
            .for_each(|(pad, byte)| *pad ^= byte);
        sealed
    }

    /// The successor that was sealed with this token.
    pub fn unseal(&self, sealed: &[u8]) -> Option<Self> {
        let sealed = Self(sealed.try_into().ok()?);
        Some(Self(self.seal(&sealed)))
    }

    fn derive(&self, purpose: &str) -> [u8; 32] {
        Sha256::new()
            .chain_update("messenger refresh token ")
            .chain_update(purpose)
            .chain_update(self.0)
            .finalize()
            .into()
    }
}

impl std::fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RefreshToken([secret])")
    }
}

#[cfg(test)]
mod tests {
    use shared::samples;

    use super::*;

    const OLD: &str = "the old key, which has 32 bytes or more";
    const NEW: &str = "the new key, which has 32 bytes or more";

    fn keys(current: &str, previous: Option<&str>) -> AccessTokens {
        AccessTokens::new(&config::Auth {
            jwt_secret: Secret::new(current.to_owned()),
            jwt_secret_previous: previous.map(|key| Secret::new(key.to_owned())),
            access_token_ttl: Duration::from_secs(60),
            refresh_token_ttl: Duration::from_secs(600),
            bcrypt_cost: 4,
            password_threads: 1,
            login_max_wait: Duration::from_secs(1),
            registration_queue: 1,
        })
    }

    #[test]
    fn keys_are_rotated_without_a_gap() {
        let session = SessionId::new();
        let issue = |keys: &AccessTokens| keys.issue(samples::alice().id, session, samples::noon()).unwrap();
        // One step after the other, while replicas of two neighbouring steps run side by side.
        let steps = [
            keys(OLD, None),
            keys(OLD, Some(NEW)),
            keys(NEW, Some(OLD)),
            keys(NEW, None),
        ];
        for pair in steps.windows(2).take(2) {
            for (writer, reader) in [(&pair[0], &pair[1]), (&pair[1], &pair[0])] {
                assert_eq!(reader.read(&issue(writer)).unwrap().session, session);
            }
        }
        assert!(
            steps[3].read(&issue(&steps[0])).is_err(),
            "the old key is out at the end"
        );
    }

    #[test]
    fn foreign_and_doctored_tokens_are_refused() {
        let keys = keys(NEW, None);
        let token = keys
            .issue(samples::alice().id, SessionId::new(), samples::noon())
            .unwrap();
        let claims = serde_json::json!({"sub": samples::alice().id, "sid": SessionId::new(), "type": "access",
            "jti": Uuid::nil(), "iat": 0, "exp": i64::MAX});
        let forge =
            |header: &Header, key: &[u8]| encode(header, &claims, &EncodingKey::from_secret(key)).unwrap();
        let kid = Some(keys.key_id.clone());
        let mut parts: Vec<_> = token.split('.').collect();
        let unsigned = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"none","kid":"{}"}}"#, keys.key_id));
        parts[0] = &unsigned;
        let forged = [
            String::new(),
            "a.b.c".to_owned(),
            token[..token.len() - 2].to_owned(),
            parts.join("."),
            format!("{}.{}.", parts[0], parts[1]),
            forge(
                &Header {
                    kid: kid.clone(),
                    ..Header::default()
                },
                b"some other key",
            ),
            forge(
                &Header {
                    kid: kid.clone(),
                    ..Header::new(Algorithm::HS512)
                },
                NEW.as_bytes(),
            ),
            forge(&Header::default(), NEW.as_bytes()),
        ];
        for token in forged {
            assert!(keys.read(&token).is_err(), "{token}");
        }
        assert!(
            keys.read(&forge(
                &Header {
                    kid,
                    ..Header::default()
                },
                NEW.as_bytes()
            ))
            .is_ok()
        );
    }

    #[test]
    fn a_token_expires_to_the_second() {
        let keys = keys(NEW, None);
        let token = keys
            .issue(samples::alice().id, SessionId::new(), samples::noon())
            .unwrap();
        let claims = keys.read(&token).unwrap();
        assert!(!claims.has_expired(samples::noon() + Duration::from_secs(59)));
        assert!(claims.has_expired(samples::noon() + Duration::from_secs(60)));
    }

    #[test]
    fn only_the_predecessor_opens_the_seal() {
        let [old, new, other] = [(); 3].map(|()| RefreshToken::random());
        let sealed = old.seal(&new);
        assert_eq!(old.unseal(&sealed).as_ref(), Some(&new));
        assert_ne!(other.unseal(&sealed).as_ref(), Some(&new));
        assert_ne!(sealed, new.0);
        assert_eq!(RefreshToken::parse(&Secret::new(new.text())).as_ref(), Some(&new));
        for wrong in ["", "short", "not base64 !", &format!("{}A", new.text())] {
            assert!(
                RefreshToken::parse(&Secret::new(wrong.to_owned())).is_none(),
                "{wrong}"
            );
        }
    }
}

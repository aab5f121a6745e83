//! Access tokens as the gateway makes them, for people who were not asked for a password.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Longer than anything that is measured.
const LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What a gateway with this `JWT_SECRET` takes for the token of `user`, as long as the login session lives.
pub(super) fn access_token(secret: &str, user: Uuid, session: Uuid) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let header = json!({"alg": "HS256", "typ": "JWT", "kid": key_id(secret)});
    let claims = json!({
        "sub": user,
        "sid": session,
        "type": "access",
        "jti": Uuid::new_v4(),
        "iat": now.as_secs(),
        "exp": (now + LIFETIME).as_secs(),
    });
    let said = format!("{}.{}", part(&header), part(&claims));
    let signature = signature(secret.as_bytes(), said.as_bytes());
    format!("{said}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn signature(secret: &[u8], text: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(text);
    mac.finalize().into_bytes().into()
}

/// The gateway finds the key of a token by this name (`gateway/src/features/auth/tokens.rs`).
fn key_id(secret: &str) -> String {
    let digest = Sha256::new()
        .chain_update("messenger key id: ")
        .chain_update(secret)
        .finalize();
    URL_SAFE_NO_PAD.encode(&digest[..6])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_rfc_4231() {
        let signature = signature(b"Jefe", b"what do ya want for nothing?");
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let hex: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
    }
}

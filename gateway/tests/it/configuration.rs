//! `.env.example` equals the definition of the settings.

use std::{env, fs, path::Path};

use gateway::cli::env_example;

use crate::cluster::{JWT_SECRET, parse};

#[test]
fn env_example_is_up_to_date() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.env.example");
    if env::var_os("UPDATE").is_some() {
        fs::write(&file, env_example()).unwrap();
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(
        committed,
        env_example(),
        "run: UPDATE=1 cargo test -p gateway --test it configuration"
    );
}

fn flags<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let usual = [
        ("database-url", "postgres://user:hunter2@db/messenger"),
        ("redis-url", "redis://:hunter2@redis"),
        ("s3-endpoint", "http://s3:9000"),
        ("s3-access-key-id", "key"),
        ("s3-secret-access-key", "hunter2"),
        ("jwt-secret", JWT_SECRET),
    ];
    usual.into_iter().chain(more.iter().copied()).collect()
}

#[test]
fn secrets_are_not_shown() {
    let shown = format!("{:#?}", parse(&flags(&[("jwt-secret-previous", JWT_SECRET)])));
    assert!(
        !shown.contains("hunter2") && !shown.contains(JWT_SECRET),
        "{shown}"
    );
}

#[test]
fn risky_settings_are_pointed_out() {
    assert_eq!(
        parse(&flags(&[])).warnings(),
        Vec::<String>::new(),
        "the defaults are safe"
    );
    let risky = [
        ("rate-limits", "off"),
        ("bcrypt-cost", "4"),
        ("trusted-proxies", "0.0.0.0/0"),
        ("cors-origins", "*"),
    ];
    assert_eq!(parse(&flags(&risky)).warnings().len(), risky.len());
}

#[test]
#[should_panic(expected = "at least 32 bytes")]
fn a_short_signing_key_is_refused() {
    parse(&[("jwt-secret", "short")]);
}

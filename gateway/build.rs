//! Migrations are built in: a change there must rebuild.

fn main() {
    println!("cargo:rerun-if-changed=../migrations");
    println!("cargo:rerun-if-changed=sqlx.toml");
}

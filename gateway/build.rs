//! Migrations are built in: a change there must rebuild. And so is the page at `/docs`, of which two files are needed.

use std::{
    env,
    fs::File,
    io::{self, Cursor},
    path::Path,
};

use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::ZipArchive;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=../migrations");
    println!("cargo:rerun-if-changed=sqlx.toml");

    let mut archive = ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED))?;
    let out = env::var("OUT_DIR")?;
    for name in ["swagger-ui-bundle.js", "swagger-ui.css"] {
        let mut file = archive.by_name(&format!("swagger-ui-5.32.6/dist/{name}"))?;
        io::copy(&mut file, &mut File::create(Path::new(&out).join(name))?)?;
    }
    Ok(())
}

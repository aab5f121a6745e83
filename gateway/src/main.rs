//! Parse, dispatch, exit code.

use std::{fs, process::ExitCode};

use anyhow::{Context, Result};
use clap::Parser;
use gateway::{
    app::{App, Listeners},
    cli::{Cli, Command},
    clock::Clock,
    config::Config,
    db,
    doors::rest::openapi,
    lifecycle, telemetry,
};

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<()> {
    match command {
        Command::Serve(config) => {
            telemetry::start(&config.telemetry)?;
            lifecycle::allow_many_connections();
            let app = App::start(&config, Listeners::bind(&config.http)?, Clock::default()).await?;
            app.tasks.obey_signals()?;
            app.run().await;
            Ok(())
        }
        Command::Migrate(settings) => {
            telemetry::start(&settings.telemetry)?;
            db::migrate(&settings.database).await
        }
        Command::Openapi { out } => {
            let file = out.join("gateway.json");
            fs::create_dir_all(&out)?;
            fs::write(&file, openapi::document().to_pretty_json()? + "\n")
                .with_context(|| format!("cannot write {}", file.display()))
        }
        Command::CheckConfig(config) => {
            check_config(&config);
            Ok(())
        }
    }
}

/// The settings as they would be used; secrets show as such.
fn check_config(config: &Config) {
    println!("{config:#?}");
    for warning in config.warnings() {
        println!("warning: {warning}");
    }
}

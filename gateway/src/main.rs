//! Parse, dispatch, exit code.

use std::{fs, process::ExitCode};

use anyhow::{Context, Result};
use gateway::{
    app::{App, Listeners},
    cli::{Cli, Command},
    clock::Clock,
    config::Config,
    db,
    doors::{docs, ops},
    lifecycle::{self, Tasks},
    telemetry,
};

/// Each connection begins with large things that are soon forgotten, and goes on with small ones that last. The system's allocator lets
/// those lie between each other, and keeps twice as much memory for a silent connection as it uses.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let command = Cli::read().command;
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("gateway: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let result = runtime.block_on(run(command));
    // A picture that is being decoded does not hold up the end.
    runtime.shutdown_background();
    match result {
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
            // From the first moment on: whoever asks to stop while we still wait for the database is heard.
            let tasks = Tasks::default();
            tasks.obey_signals()?;
            let start = App::start(
                &config,
                Listeners::bind(&config.http)?,
                Clock::default(),
                tasks.clone(),
            );
            tokio::select! {
                app = start => app?.run().await,
                () = tasks.draining() => {}
            }
            Ok(())
        }
        Command::Migrate(settings) => {
            telemetry::start(&settings.telemetry)?;
            db::migrate(&settings.database).await
        }
        Command::Health { ops_listen } => ops::ask_whether_ready(ops_listen).await,
        Command::Openapi { out } => {
            fs::create_dir_all(&out)?;
            for (name, document) in docs::documents() {
                let file = out.join(name);
                fs::write(&file, document).with_context(|| format!("cannot write {}", file.display()))?;
            }
            Ok(())
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

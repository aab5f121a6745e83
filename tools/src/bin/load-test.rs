//! The load test by itself, against any servers. `cargo dev load` runs it against the dev stack.

use std::process::ExitCode;

use clap::Parser;
use tools::load::{self, Options, Target};

/// Let many people write to each other, and measure when everybody has heard it.
#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    options: Options,
}

fn main() -> ExitCode {
    let outcome = if std::env::args().nth(1).as_deref() == Some(load::WORK) {
        load::work().map(|()| true)
    } else {
        let cli = Cli::parse();
        load::main(&cli.target, &cli.options)
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::from(2)
        }
    }
}

//! The load test: many people with live connections say something at a given pace, and it is measured when everybody hears it.
//!
//! - *Open loop*: messages are due at fixed times, whether or not the servers keep up, and latency counts from then on. A server
//!   that stalls for a second shows that second for everybody who had to wait (no coordinated omission).
//! - *Closed loop* (`--saturate`): so many messages are under way at all times. That tells how much the servers take, and nothing
//!   about how long people wait.
//!
//! Who gives the orders (`run`) lets other processes speak and listen (`crew`, `worker`), one or several. Each has its share of the
//! chats (`share`), so their figures are simply added up.
//!
//! Every delivery is accounted for: lost, told twice, or in another order than others were told (`verdict`).

mod crew;
mod gathering;
mod line;
mod live;
mod mark;
mod meter;
mod options;
pub(crate) mod picture;
mod report;
mod run;
mod share;
mod tally;
mod verdict;
mod worker;

use anyhow::Result;
use tokio::task::AbortHandle;

use crate::dev_stack::process;

pub use self::{
    crew::WORK,
    options::{Options, Target},
};

/// Run it, show it, and say whether the goals were met.
pub fn main(target: &Target, options: &Options) -> Result<bool> {
    let outcome = runtime()?.block_on(run::run(target, options))?;
    print!("{}", report::text(&outcome));
    report::write(options, &outcome)?;
    Ok(outcome.meets_goals())
}

/// Be one of the processes that load.
pub fn work() -> Result<()> {
    runtime()?.block_on(worker::work())
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    process::raise_file_limit();
    Ok(tokio::runtime::Runtime::new()?)
}

/// Work that ends with the run.
#[expect(clippy::disallowed_methods, reason = "tasks of the load test end with it")]
fn spawn(work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
    tokio::spawn(work).abort_handle()
}

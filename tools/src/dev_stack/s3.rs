//! An S3-compatible server: s3s in front of a directory. It checks signatures, expiry and lengths as the
//! real thing does, which is why the gateway's S3 code needs no second face for development.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use hyper_util::rt::TokioIo;
use rustix::process::Signal;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::http_probe;
use super::place::Place;
use super::ports;
use super::process::{self, Farewell, Job, Running};
use super::state::State;

/// The keys of every development server. They open nothing but loopback ports.
pub const ACCESS_KEY_ID: &str = "messenger-dev";
pub const SECRET_ACCESS_KEY: &str = "messenger-dev-secret";
/// Where the messenger keeps its images; the gateway creates it.
pub const BUCKET: &str = "messenger";
pub const REGION: &str = "us-east-1";

/// Serve the directory `root` on `listener` until the future is dropped, which also ends the connections.
pub async fn serve(listener: TcpListener, root: &Path) -> Result<()> {
    fs::create_dir_all(root).with_context(|| format!("cannot create {}", root.display()))?;
    let files = FileSystem::new(root)
        .map_err(|error| anyhow::anyhow!("cannot keep objects in {}: {error:?}", root.display()))?;
    let service = {
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY_ID, SECRET_ACCESS_KEY));
        builder.build()
    };
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A connection that was gone before we took it is nobody's problem.
                let Ok((stream, _)) = accepted else { continue };
                let service = service.clone();
                connections.spawn(async move {
                    let http = hyper::server::conn::http1::Builder::new();
                    http.serve_connection(TokioIo::new(stream), service).await
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

pub(crate) const SERVICE: &str = "s3";
pub(crate) const FAREWELL: Farewell = &[(Signal::TERM, Duration::from_secs(3))];

/// Make sure that it runs: this very program, called again as `serve-s3`. Returns its port.
pub(crate) fn ensure(place: &Place, state: &mut State) -> Result<u16> {
    let root = place.dir.join("s3");
    let program = place.dir.join("bin/serve-s3");
    fs::create_dir_all(&root)?;
    let job = |port: u16| {
        let mut job =
            Job::new(SERVICE, &program, &root).args(["serve-s3", "--port", &port.to_string(), "--root"]);
        job = job.args([root.as_os_str()]);
        job.also = env!("CARGO_PKG_VERSION").to_owned();
        job
    };
    if let (Some(port), Some(running)) = (state.ports.get(SERVICE).copied(), Running::find(place, SERVICE))
        && running.follows(&job(port))
        && is_ready(port)
    {
        return Ok(port);
    }
    process::stop(place, SERVICE, FAREWELL)?;
    // A copy, so that the next build of the tools does not write where a program runs.
    let new = program.with_extension("new");
    fs::create_dir_all(place.dir.join("bin"))?;
    fs::copy("/proc/self/exe", &new).context("cannot copy this program")?;
    fs::rename(&new, &program)?;
    let port = ports::for_service(place, state, SERVICE)?;
    let running = job(port).start(place)?;
    running.wait_until(place, SERVICE, Duration::from_secs(20), || is_ready(port))?;
    Ok(port)
}

/// It answers; that it refuses to answer more to somebody without a signature is right.
pub(crate) fn is_ready(port: u16) -> bool {
    http_probe::get(port, "/").is_some()
}

/// What the process does.
pub fn serve_forever(port: u16, root: &Path) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .with_context(|| format!("cannot listen on port {port}"))?;
        serve(listener, root).await
    })
}

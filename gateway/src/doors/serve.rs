//! Accepting connections, and letting go of them.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use axum::{Router, extract::Request};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;
use tracing::{debug, warn};

use super::{
    line::{Line, Wire},
    tls::Tls,
};
use crate::lifecycle::Tasks;

/// The address at the other end of the connection: a client, or the proxy in front.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Whoever opens a connection has this long to say what they want, each time. Longer than proxies keep an idle connection, so that
/// it is they who close it and no request meets a closing door.
const HEAD_TIMEOUT: Duration = Duration::from_secs(90);
/// A peer that acknowledges nothing for so long is gone, even if it never says so.
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);
/// Whoever wants TLS has this long to agree on it.
const AGREEMENT: Duration = Duration::from_secs(10);
/// After a failed accept (out of file descriptors, mostly) others get a chance to finish first.
const PAUSE: Duration = Duration::from_millis(50);

/// Serve `router` on `listener` until the replica closes; requests under way are finished.
pub async fn serve(listener: TcpListener, tls: Option<Tls>, router: Router, tasks: Tasks) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = tasks.closing() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                tune(&stream);
                let (peer, router) = (Peer(peer), router.clone());
                match &tls {
                    None => {
                        let line = Line::default();
                        let wire = Wire::new(stream, &line);
                        tasks.spawn("connection", connection(wire, line, peer, router, tasks.clone()));
                    }
                    Some(tls) => {
                        let sealed = sealed(tls.acceptor(), stream, peer, router, tasks.clone());
                        tasks.spawn("connection", sealed);
                    }
                }
            }
            Err(error) => {
                warn!(%error, "Cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// A connection over TLS, once both sides have agreed on it.
async fn sealed(acceptor: TlsAcceptor, stream: TcpStream, peer: Peer, router: Router, tasks: Tasks) {
    let line = Line::sealed();
    let wire = Wire::new(stream, &line);
    // Put aside while it happens: it takes more room than all that follows.
    match Box::pin(timeout(AGREEMENT, acceptor.accept(wire))).await {
        Ok(Ok(stream)) => Box::pin(connection(stream, line, peer, router, tasks)).await,
        Ok(Err(error)) => debug!(%error, peer = %peer.0, "No agreement about TLS"),
        Err(late) => debug!(error = %late, peer = %peer.0, "No agreement about TLS"),
    }
}

async fn connection<S>(stream: S, line: Line, peer: Peer, router: Router, tasks: Tasks)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (router, line) = (router.clone(), line.clone());
        async move {
            let mut request: Request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(line);
            Ok::<_, Infallible>(
                router
                    .oneshot(request)
                    .await
                    .unwrap_or_else(|never| match never {}),
            )
        }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = tasks.closing() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, peer = %peer.0, "A connection broke");
    }
}

fn tune(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let tuned = socket
        .set_tcp_nodelay(true)
        .and_then(|()| socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED)));
    if let Err(error) = tuned {
        debug!(%error, "Cannot tune a connection");
    }
}

//! A wire that can be cut, frozen and mended: between a replica and what it relies on.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    Fine,
    /// Connections break, and new ones break at once: the service is down.
    Cut,
    /// Connections stay and nothing moves: the service hangs.
    Frozen,
    /// New connections work, and those of before stay silent for ever: the service moved, and its old machine vanished without a word.
    Moved,
}

pub struct Wire {
    pub address: SocketAddr,
    weather: Arc<watch::Sender<Weather>>,
}

impl Wire {
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let weather = Arc::new(watch::Sender::new(Weather::Fine));
        let changes = weather.clone();
        spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let mut weather = changes.subscribe();
                spawn(async move {
                    let met = *weather.borrow_and_update();
                    if met == Weather::Cut {
                        return;
                    }
                    let Ok(far) = TcpStream::connect(target).await else {
                        return;
                    };
                    let (near_in, near_out) = near.into_split();
                    let (far_in, far_out) = far.into_split();
                    let there = pass(near_in, far_out, met, weather.clone());
                    let back = pass(far_in, near_out, met, weather.clone());
                    tokio::select! {
                        () = there => {}
                        () = back => {}
                        _ = weather.wait_for(|now| *now == Weather::Cut) => {}
                    }
                });
            }
        });
        Self { address, weather }
    }

    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    met: Weather,
    mut weather: watch::Receiver<Weather>,
) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let passes = |now: &Weather| *now == Weather::Fine || *now == met && met == Weather::Moved;
        let _ = weather.wait_for(passes).await;
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the wire is not part of the gateway and ends with the test"
)]
fn spawn(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(work);
}

/// The host and port of a URL like `redis://127.0.0.1:6379`, and the URL with another host and port.
pub fn through(url: &str, other: SocketAddr) -> String {
    url.replacen(&target_of(url).to_string(), &other.to_string(), 1)
}

pub fn target_of(url: &str) -> SocketAddr {
    let authority = url.split("://").nth(1).unwrap().split('/').next().unwrap();
    authority.rsplit('@').next().unwrap().parse().unwrap()
}

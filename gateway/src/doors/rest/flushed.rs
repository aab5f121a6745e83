//! Do something when an answer has left.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tracing::warn;

use crate::{error::Result, lifecycle::Tasks};

/// What has been written still has to travel, and over another connection than whatever may follow now.
const TRAVEL: Duration = Duration::from_millis(80);

/// Do `act` a moment after the answer has been written, or when the client hung up before.
pub fn then(answer: Response, tasks: &Tasks, act: impl FnOnce() -> Result<()> + Send + 'static) -> Response {
    let guard = Guard {
        tasks: tasks.clone(),
        act: Some(Box::new(act)),
    };
    answer.map(|body| Body::new(Guarded { body, _guard: guard }))
}

/// A body that is dropped when it has been written.
struct Guarded {
    body: Body,
    _guard: Guard,
}

struct Guard {
    tasks: Tasks,
    act: Option<Box<dyn FnOnce() -> Result<()> + Send>>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Some(act) = self.act.take() else { return };
        self.tasks.spawn("follow an answer", async move {
            tokio::time::sleep(TRAVEL).await;
            if let Err(error) = act() {
                warn!(?error, "Cannot do what follows an answer");
            }
        });
    }
}

impl http_body::Body for Guarded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

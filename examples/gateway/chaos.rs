//! What the embedded upstream can be told to do wrong.

use crate::problem::Problem;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How requests fare at the moment; one value for all of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chaos(Arc<watch::Sender<Mode>>);

/// The body of `POST /chaos`, for example `{"mode": "fail", "status": 500}`.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Mode {
    /// Requests are answered as they should be.
    #[default]
    Ok,
    /// Requests fail at once.
    Fail {
        #[serde(default = "unavailable")]
        status: u16,
        /// Whole seconds for `Retry-After`.
        retry_after: Option<u64>,
    },
    /// Requests wait until the mode changes.
    Stall,
}

impl Chaos {
    pub(crate) const MODES: [&str; 3] = ["ok", "fail", "stall"];

    /// The present mode, as a place in [`Chaos::MODES`].
    pub(crate) fn mode(&self) -> usize {
        match *self.0.borrow() {
            Mode::Ok => 0,
            Mode::Fail { .. } => 1,
            Mode::Stall => 2,
        }
    }

    /// How many requests wait for the mode to change.
    pub(crate) fn stalled(&self) -> usize {
        self.0.receiver_count()
    }

    /// Puts everything right, and lets go of what was stalled.
    pub(crate) fn recover(&self) {
        self.0.send_replace(Mode::Ok);
    }
}

/// `POST /chaos`.
pub(crate) async fn set(
    State(chaos): State<Chaos>,
    mode: Result<Json<Mode>, JsonRejection>,
) -> Result<Json<Mode>, Problem> {
    let Json(mode) = mode?;
    match mode {
        Mode::Fail { status, .. } if !(400..=599).contains(&status) => {
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "`status` must be from 400 to 599"))
        }
        _ => {
            chaos.0.send_replace(mode);
            Ok(Json(mode))
        }
    }
}

/// Lets a request through, fails it or keeps it, as the mode says.
pub(crate) async fn meddle(State(chaos): State<Chaos>, request: Request, next: Next) -> Response {
    let mut mode = *chaos.0.borrow();
    if matches!(mode, Mode::Stall) {
        let mut changes = chaos.0.subscribe(); // counted by `stalled` while it lives
        // It fails when the sender is gone, and `chaos` holds it.
        mode = changes.wait_for(|mode| !matches!(mode, Mode::Stall)).await.map_or(Mode::Ok, |mode| *mode);
    }
    let Mode::Fail { status, retry_after } = mode else { return next.run(request).await };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    Problem::new(status, "told to fail").retry_after(retry_after.map(Duration::from_secs)).into_response()
}

fn unavailable() -> u16 {
    StatusCode::SERVICE_UNAVAILABLE.as_u16()
}

//! A body that can be taken back as long as nobody has looked at it: what was not sent may be sent elsewhere.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

/// The lender's end.
pub(crate) struct Lender(Arc<Mutex<Slot>>);

/// The body as it is sent.
pub(crate) struct Lent(Arc<Mutex<Slot>>);

struct Slot {
    body: Body,
    touched: bool,
}

pub(crate) fn lend(body: Body) -> Lender {
    Lender(Arc::new(Mutex::new(Slot {
        body,
        touched: false,
    })))
}

impl Lender {
    /// The body, to be sent.
    pub(crate) fn body(&self) -> Body {
        Body::new(Lent(Arc::clone(&self.0)))
    }

    /// Whether it can be sent once more.
    pub(crate) fn whole(&self) -> bool {
        !slot(&self.0).touched
    }
}

fn slot(slot: &Mutex<Slot>) -> MutexGuard<'_, Slot> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut slot = slot(&self.0);
        slot.touched = true;
        Pin::new(&mut slot.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        slot(&self.0).body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        slot(&self.0).body.size_hint()
    }
}

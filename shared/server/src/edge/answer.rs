//! The body of an answer, watched to its end: its code is counted, its error set right, its panics caught; a stream
//! ends at its caller's deadline and when the server stops.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::body::Body;
use tonic::{Code, Status};

use super::meter::Flight;
use super::request_id::RequestId;
use super::{STATUS, failed, late, panicked, published};
use crate::serve::Unread;
use crate::status::bare;

pub(crate) struct Answer {
    /// None once it has ended: what it holds (a transaction, a watch) is let go at once.
    body: Option<Body>,
    request_id: RequestId,
    deadline: Option<Pin<Box<Sleep>>>,
    stop: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    /// From the head or a frame until the next is asked for.
    unread: Option<Unread>,
    flight: Flight,
}

impl Answer {
    pub(crate) fn new(
        body: Body,
        request_id: RequestId,
        deadline: Option<Instant>,
        stop: Option<CancellationToken>,
        flight: Flight,
    ) -> Self {
        Self {
            body: Some(body),
            request_id,
            deadline: deadline.map(|deadline| Box::pin(tokio::time::sleep_until(deadline.into()))),
            stop: stop.map(|stop| Box::pin(stop.cancelled_owned())),
            unread: Some(flight.unread()),
            flight,
        }
    }

    /// Ends with an error in the trailers.
    fn fail(&mut self, failure: Status) -> Frame<Bytes> {
        self.body = None;
        let failure = published(failure, &self.request_id.text);
        self.flight.finish(failure.code());
        let mut trailers = HeaderMap::new();
        if failure.add_header(&mut trailers).is_err() {
            trailers.insert(STATUS, i32::from(Code::Internal).into());
        }
        Frame::trailers(trailers)
    }

    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        if self.body.is_none() {
            return Poll::Ready(None);
        }
        // First: a stream that always has something to send ends, too.
        if let Some(failure) = self.over(cx) {
            return Poll::Ready(Some(self.fail(failure)));
        }
        let Some(body) = self.body.as_mut() else {
            return Poll::Ready(None);
        };
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| Pin::new(body).poll_frame(cx)));
        match polled {
            Err(panic) => {
                let failure = panicked(panic.as_ref(), self.flight.method());
                Poll::Ready(Some(self.fail(failure)))
            }
            Ok(Poll::Ready(Some(Ok(frame)))) => {
                Poll::Ready(Some(match frame.trailers_ref().map(failed) {
                    None => frame,
                    Some(None) => {
                        self.flight.finish(Code::Ok);
                        self.body = None;
                        frame
                    }
                    Some(Some(failure)) => self.fail(failure),
                }))
            }
            Ok(Poll::Ready(Some(Err(failure)))) => Poll::Ready(Some(self.fail(failure))),
            Ok(Poll::Ready(None)) => {
                self.flight.finish(Code::Ok);
                self.body = None;
                Poll::Ready(None)
            }
            Ok(Poll::Pending) => Poll::Pending,
        }
    }

    /// Why it must end now: its time is up, or the server's.
    fn over(&mut self, cx: &mut Context<'_>) -> Option<Status> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Some(late(self.flight.started().elapsed()));
        }
        if let Some(stop) = &mut self.stop
            && stop.as_mut().poll(cx).is_ready()
        {
            let text = "the server stops; open the stream again, it will be served elsewhere";
            return Some(bare(Code::Unavailable, "BUSY", text, &[]));
        }
        None
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let _inside = this.flight.inside();
        this.unread = None;
        let next = this.next(cx);
        if matches!(next, Poll::Ready(Some(_))) {
            this.unread = Some(this.flight.unread());
        }
        next.map(|frame| frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map(http_body::Body::size_hint)
            .unwrap_or_default()
    }
}

//! What the work in hand belongs to: the call or the change that caused it. Log lines and outgoing calls read it; nothing
//! is decided by it. It holds for a thread while a future is polled, so that no library has to hand it on.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use crate::Trace;

/// Who asked, and which trace it is part of. Whatever is not known is empty or none.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// The request's id.
    pub request_id: Arc<str>,
    /// The tenant's name.
    pub tenant: Arc<str>,
    /// The caller's name.
    pub caller: Arc<str>,
    /// The position in a trace: the span that is open now.
    pub trace: Option<Trace>,
    /// What other systems noted about the trace: the header `tracestate`, handed on as it came.
    pub trace_state: Option<Arc<str>>,
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<Scope>>> = const { RefCell::new(None) };
}

/// The scope holds until this is dropped, on this thread.
#[must_use]
#[derive(Debug)]
pub struct Entered {
    before: Option<Arc<Scope>>,
    /// It must be dropped on the thread where it was made.
    _here: std::marker::PhantomData<*const ()>,
}

impl Scope {
    /// The scope of the work in hand, if there is one.
    #[must_use]
    pub fn current() -> Option<Arc<Self>> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// The trace of the work in hand, if its spans are kept.
    #[must_use]
    pub fn sampled() -> Option<Trace> {
        CURRENT.with_borrow(|scope| scope.as_ref()?.trace.filter(|trace| trace.sampled()))
    }

    /// Reads the scope of the work in hand without a clone.
    pub fn with<T>(read: impl FnOnce(Option<&Self>) -> T) -> T {
        CURRENT.with_borrow(|scope| read(scope.as_deref()))
    }

    /// What this thread does from now on belongs to the scope.
    pub fn enter(self: &Arc<Self>) -> Entered {
        Entered {
            before: CURRENT.replace(Some(Arc::clone(self))),
            _here: std::marker::PhantomData,
        }
    }

    /// Work that belongs to the scope wherever it is polled.
    pub async fn run<F: Future>(self: Arc<Self>, work: F) -> F::Output {
        let mut work = pin!(work);
        poll_fn(|cx| {
            let _inside = self.enter();
            work.as_mut().poll(cx)
        })
        .await
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        // A thread that ends may have let its values go already.
        let _ = CURRENT.try_with(|current| current.replace(self.before.take()));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::task::{Context, Poll, Waker};

    use super::*;

    fn named(id: &str) -> Arc<Scope> {
        Arc::new(Scope {
            request_id: id.into(),
            ..Scope::default()
        })
    }

    fn current() -> Option<String> {
        Scope::with(|scope| scope.map(|scope| scope.request_id.to_string()))
    }

    #[test]
    fn scopes_nest_and_end() {
        assert_eq!(current(), None);
        let outer = named("outer");
        let inside = outer.enter();
        {
            let inner = named("inner");
            let _inside = inner.enter();
            assert_eq!(current().as_deref(), Some("inner"));
        }
        assert_eq!(current().as_deref(), Some("outer"));
        drop(inside);
        assert_eq!(current(), None);
    }

    #[test]
    fn a_future_has_its_scope_at_every_poll_and_nobody_else_has_it() {
        let mut polls = 0;
        let work = poll_fn(move |_| {
            assert_eq!(current().as_deref(), Some("call"));
            polls += 1;
            if polls == 2 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        let mut call = pin!(named("call").run(work));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(call.as_mut().poll(&mut cx).is_pending());
        assert_eq!(current(), None);
        assert!(call.as_mut().poll(&mut cx).is_ready());
        assert_eq!(current(), None);
    }

    #[test]
    fn only_a_sampled_trace_is_told_of() {
        let trace = |flags| Trace::parse(&format!("00-{:032x}-{:016x}-{flags:02x}", 7, 9));
        for (flags, expected) in [(0, false), (1, true)] {
            let scope = Arc::new(Scope {
                trace: trace(flags),
                ..Scope::default()
            });
            let _inside = scope.enter();
            assert_eq!(Scope::sampled().is_some(), expected);
        }
    }
}

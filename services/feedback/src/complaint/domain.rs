//! What a complaint is and which steps it may take.

use regard_types::{Channel, CustomerId, Micros, RecordId, SourceKey};

use crate::content::Content;

/// Where a complaint stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Received, not resolved yet.
    Received,
    /// Resolved.
    Resolved,
}

/// A step that somebody takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Resolves it.
    Resolve,
}

impl State {
    /// All states.
    pub const ALL: [Self; 2] = [Self::Received, Self::Resolved];

    /// Short name, as stored and as measured.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Resolved => "resolved",
        }
    }

    /// Reads the short name; None for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// The state after a step; None where the step is not allowed. No `_` arm: a new state must be thought through.
    #[must_use]
    pub const fn next(self, step: Step) -> Option<Self> {
        match (self, step) {
            (Self::Received, Step::Resolve) => Some(Self::Resolved),
            (Self::Resolved, Step::Resolve) => None,
        }
    }
}

/// A complaint to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewComplaint {
    /// Its key at its source.
    pub key: Option<SourceKey>,
    /// Who complains; None if anonymous.
    pub customer: Option<CustomerId>,
    /// What is complained of; personal.
    pub text: String,
    /// The reason's code.
    pub reason: String,
    /// How grave, 1 (slight) to 5 (grave).
    pub severity: i32,
    /// How it reached us.
    pub channel: Option<Channel>,
    /// When it was raised.
    pub opened: Micros,
}

impl NewComplaint {
    /// Whether what is sent again says what is stored here. A text that is kept no longer may have been any.
    #[must_use]
    pub(crate) fn is_resent_as(&self, sent: &Self) -> bool {
        let text = if self.text.is_empty() { "" } else { &sent.text };
        *self
            == Self {
                text: text.to_owned(),
                ..sent.clone()
            }
    }
}

/// How a complaint ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// When, not before it was raised.
    pub at: Micros,
    /// How; personal.
    pub text: String,
}

/// A stored complaint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// Id.
    pub id: RecordId,
    /// Version, from 1.
    pub version: i64,
    /// When first recorded.
    pub created: Micros,
    /// When last changed.
    pub updated: Micros,
    /// What was opened.
    pub content: NewComplaint,
    /// Where it stands.
    pub state: State,
    /// How it ended; present exactly when it is resolved.
    pub resolution: Option<Resolution>,
}

/// Why a complaint cannot be resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Its state does not allow it.
    #[error("a complaint that is {} cannot be resolved", .0.as_str())]
    WrongState(State),
    /// It would end before it began.
    #[error("must not be before the complaint was raised")]
    BeforeOpened,
}

impl Complaint {
    /// Content, state and resolution as bytes, for digests.
    #[must_use]
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let NewComplaint {
            key,
            customer,
            text,
            reason,
            severity,
            channel,
            opened,
        } = &self.content;
        let mut bytes = Content::default();
        bytes
            .key(key.as_ref())
            .id(customer.map(|c| c.0))
            .text(text)
            .text(reason)
            .number((*severity).into());
        bytes
            .text(channel.map_or("", Channel::as_str))
            .number(opened.0)
            .text(self.state.as_str());
        if let Some(Resolution { at, text }) = &self.resolution {
            bytes.number(at.0).text(text);
        }
        bytes.into_bytes()
    }

    /// The complaint as resolved, one version on.
    ///
    /// # Errors
    /// [`ResolveError`] if its state does not allow it or the time is before it was raised.
    pub fn resolve(mut self, resolution: Resolution, now: Micros) -> Result<Self, ResolveError> {
        let at = self.state;
        self.state = at.next(Step::Resolve).ok_or(ResolveError::WrongState(at))?;
        if resolution.at < self.content.opened {
            return Err(ResolveError::BeforeOpened);
        }
        self.resolution = Some(resolution);
        self.version += 1;
        self.updated = now;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn complaint(opened: i64) -> Complaint {
        Complaint {
            id: RecordId(regard_types::Uuid::nil()),
            version: 1,
            created: Micros(0),
            updated: Micros(0),
            content: NewComplaint {
                key: None,
                customer: None,
                text: "late again".to_owned(),
                reason: "late_delivery".to_owned(),
                severity: 3,
                channel: None,
                opened: Micros(opened),
            },
            state: State::Received,
            resolution: None,
        }
    }

    fn resolution(at: i64) -> Resolution {
        Resolution {
            at: Micros(at),
            text: "refunded".to_owned(),
        }
    }

    #[test]
    fn states_are_named_once_and_read_back() {
        for state in State::ALL {
            assert_eq!(State::parse(state.as_str()), Some(state));
        }
        assert_eq!(State::parse("open"), None);
    }

    #[test]
    fn resolved_is_final() {
        assert_eq!(State::Received.next(Step::Resolve), Some(State::Resolved));
        assert_eq!(State::Resolved.next(Step::Resolve), None);
        let resolved = complaint(10).resolve(resolution(20), Micros(30)).unwrap();
        assert_eq!(
            resolved.resolve(resolution(40), Micros(50)),
            Err(ResolveError::WrongState(State::Resolved))
        );
    }

    proptest::proptest! {
        #[test]
        fn never_resolved_before_it_was_raised(opened: i64, at: i64, now: i64) {
            match complaint(opened).resolve(resolution(at), Micros(now)) {
                Ok(resolved) => {
                    assert!(at >= opened);
                    assert_eq!((resolved.version, resolved.updated), (2, Micros(now)));
                    assert_eq!(resolved.resolution.unwrap().at, Micros(at));
                }
                Err(error) => {
                    assert!(at < opened);
                    assert_eq!(error, ResolveError::BeforeOpened);
                }
            }
        }
    }
}

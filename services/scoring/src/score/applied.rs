//! How far the feeds are applied, and whether that covers a change token.

use std::time::Instant;

use regard_cache::{Mark, Vector};
use regard_database::{StoreError, Tx};
use regard_types::{ChangeToken, Fault, Service, TokenPart, Uuid};

use crate::event::store::Loads;
use crate::follow;
use crate::follow::store::Followed;

/// What the store said of the feeds at one moment.
#[derive(Debug)]
pub struct Applied {
    /// The loads whose events count.
    pub loads: Loads,
    /// All positions applied, of the active loads.
    pub vector: Vector,
    /// No older than this.
    pub at: Instant,
    feeds: Vec<Known>,
    places: Vec<TokenPart>,
}

#[derive(Debug)]
struct Known {
    feed: Service,
    epoch: Uuid,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Loading,
    Active,
    Old,
}

/// What a token means to a reader.
#[derive(Debug)]
pub enum Coverage {
    /// All that it names is applied.
    Covered,
    /// Something of it is still to come.
    Wait,
    /// It names an epoch that scoring has never heard of: of a new feed, or of one long gone.
    Strange(Fault),
    /// It names an epoch that is gone.
    Gone(Fault),
}

/// Reads how far the feeds are applied.
///
/// # Errors
/// What the engine answers.
pub async fn read(tx: &Tx, at: Instant) -> Result<Applied, StoreError> {
    let mut out = Applied {
        loads: Loads {
            customer: -1,
            feedback: -1,
        },
        vector: Vector::default(),
        at,
        feeds: Vec::new(),
        places: Vec::new(),
    };
    for followed in follow::store::followed(tx).await? {
        take(&mut out, &followed)?;
    }
    out.vector = Vector::new(out.places.iter().map(Mark::from));
    Ok(out)
}

fn take(out: &mut Applied, followed: &Followed) -> Result<(), StoreError> {
    let (service, epoch) = (followed.feed, followed.epoch);
    let state = match followed.state.as_str() {
        "active" => State::Active,
        "loading" => State::Loading,
        _ => State::Old,
    };
    if !out
        .feeds
        .iter()
        .any(|k| k.feed == service && k.epoch == epoch && k.state == state)
    {
        out.feeds.push(Known {
            feed: service,
            epoch,
            state,
        });
    }
    if state != State::Active {
        return Ok(());
    }
    match service {
        Service::Customer => out.loads.customer = followed.load,
        Service::Feedback => out.loads.feedback = followed.load,
        Service::Scoring => return Err(StoreError::corrupt("a load of scoring's own feed")),
    }
    out.places.extend(followed.place);
    Ok(())
}

impl Applied {
    /// Whether all that a token names of the other services' feeds is applied.
    #[must_use]
    pub fn coverage(&self, token: &ChangeToken) -> Coverage {
        let mut out = Coverage::Covered;
        for part in token.0.iter().filter(|p| p.service != Service::Scoring) {
            let active = self
                .feeds
                .iter()
                .find(|k| k.feed == part.service && k.state == State::Active && !k.epoch.is_nil());
            let Some(active) = active else {
                out = Coverage::Wait;
                continue;
            };
            if active.epoch != part.epoch {
                let known = self
                    .feeds
                    .iter()
                    .find(|k| k.feed == part.service && k.epoch == part.epoch);
                match known.map(|k| k.state) {
                    Some(State::Old) => return Coverage::Gone(gone(active.epoch)),
                    Some(_) => out = Coverage::Wait,
                    None => return Coverage::Strange(gone(active.epoch)),
                }
                continue;
            }
            let place = self.places.iter().find(|p| {
                p.service == part.service && p.epoch == part.epoch && p.lane == part.lane
            });
            match place {
                // The same place of another history: the feed was restored, and scoring is about to learn it.
                Some(at) if at.position == part.position && at.nonce != part.nonce => {
                    return Coverage::Gone(gone(active.epoch));
                }
                Some(at) if at.position >= part.position => {}
                _ if part.position == 0 => {}
                _ => out = Coverage::Wait,
            }
        }
        out
    }
}

/// What an entry must cover so that it may answer for a token.
#[must_use]
pub fn need(token: &ChangeToken) -> Option<Vector> {
    let parts: Vec<Mark> = token
        .0
        .iter()
        .filter(|p| p.service != Service::Scoring)
        .map(Mark::from)
        .collect();
    (!parts.is_empty()).then(|| Vector::new(parts))
}

fn gone(epoch: Uuid) -> Fault {
    let message = "the service was restored from a backup since this change token was given; read without it and send the writes again";
    Fault::refused("TOKEN_EPOCH_GONE", message).meta("epoch", epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(epoch: u128, lane: u16, position: u64, nonce: u64) -> TokenPart {
        TokenPart {
            service: Service::Customer,
            epoch: Uuid::from_u128(epoch),
            lane,
            position,
            nonce,
        }
    }

    fn applied() -> Applied {
        let known = |epoch, state| Known {
            feed: Service::Customer,
            epoch: Uuid::from_u128(epoch),
            state,
        };
        Applied {
            loads: Loads {
                customer: 2,
                feedback: -1,
            },
            vector: Vector::default(),
            at: Instant::now(),
            feeds: vec![
                known(1, State::Old),
                known(2, State::Active),
                known(3, State::Loading),
            ],
            places: vec![part(2, 0, 7, 70), part(2, 1, 3, 30)],
        }
    }

    #[test]
    fn a_token_is_covered_waited_for_or_gone() {
        let a = applied();
        let of = |p| a.coverage(&ChangeToken::one(p));
        assert!(matches!(of(part(2, 0, 7, 70)), Coverage::Covered));
        assert!(matches!(of(part(2, 0, 6, 1)), Coverage::Covered));
        assert!(matches!(of(part(2, 0, 8, 80)), Coverage::Wait));
        assert!(matches!(of(part(2, 5, 1, 80)), Coverage::Wait));
        assert!(
            matches!(of(part(3, 0, 1, 1)), Coverage::Wait),
            "a snapshot of its epoch is on its way"
        );
        assert!(matches!(of(part(1, 0, 1, 1)), Coverage::Gone(_)));
        assert!(
            matches!(of(part(2, 0, 7, 71)), Coverage::Gone(_)),
            "the same place of another history"
        );
        assert!(matches!(of(part(9, 0, 1, 1)), Coverage::Strange(_)));
        let feedback = TokenPart {
            service: Service::Feedback,
            ..part(2, 0, 1, 1)
        };
        assert!(
            matches!(of(feedback), Coverage::Wait),
            "feedback was not followed yet"
        );
        let own = TokenPart {
            service: Service::Scoring,
            ..part(9, 0, 1, 1)
        };
        assert!(matches!(of(own), Coverage::Covered));
        assert!(need(&ChangeToken::one(own)).is_none());
    }
}

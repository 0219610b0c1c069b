//! What a run of messages of a feed amounts to: ranges of lanes, and events by tenant.

use std::collections::BTreeMap;

use regard_types::{TenantId, Trace, Uuid};

use crate::erasure::Erased;
use crate::event::Event;
use crate::event::wire::{BadChange, TenantChange, Told};

/// The range (from, to] of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// After this position.
    pub from: u64,
    /// Up to this one.
    pub to: u64,
    /// The mark of the transaction at `to`.
    pub nonce: u64,
}

/// Messages that are applied together.
#[derive(Debug, Default)]
pub struct Gathered {
    /// By lane.
    pub lanes: BTreeMap<u16, Range>,
    /// By tenant.
    pub events: BTreeMap<TenantId, Vec<Event>>,
    /// Changes of tenant records, with their versions.
    pub tenants: Vec<(TenantId, TenantChange, i64)>,
    /// Ids that were replaced.
    pub erased: Vec<(TenantId, Erased)>,
    /// Changes taken.
    pub changes: usize,
    /// The traces that changes belong to, each once; the first ones where they are many.
    pub traces: Vec<Trace>,
}

/// Traces that a batch remembers at most.
const TRACES: usize = 64;

/// A message that does not follow the ones before it.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    /// A change that cannot be read.
    #[error(transparent)]
    Change(#[from] BadChange),
    /// Positions are missing: never apply past them.
    #[error("lane {lane} jumps from position {have} to {found}")]
    Gap {
        /// The lane.
        lane: u16,
        /// Where we are.
        have: u64,
        /// Where the message begins.
        found: u64,
    },
}

impl Gathered {
    /// Takes the range of a message.
    ///
    /// # Errors
    /// [`GatherError::Gap`] if it does not begin where the lane stands.
    pub fn range(&mut self, lane: u16, range: Range) -> Result<(), GatherError> {
        match self.lanes.get_mut(&lane) {
            Some(have) if have.to == range.from => {
                have.to = range.to;
                have.nonce = range.nonce;
            }
            Some(have) => {
                return Err(GatherError::Gap {
                    lane,
                    have: have.to,
                    found: range.from,
                });
            }
            None => {
                self.lanes.insert(lane, range);
            }
        }
        Ok(())
    }

    /// Takes the traces of a message.
    pub fn caused_by(&mut self, traces: Vec<Trace>) {
        for trace in traces {
            if self.traces.len() < TRACES && !self.traces.contains(&trace) {
                self.traces.push(trace);
            }
        }
    }

    /// Takes a change.
    pub fn told(&mut self, tenant: Uuid, told: Told) {
        self.changes += 1;
        let tenant = TenantId(tenant);
        match told {
            Told::Events(events) => self.events.entry(tenant).or_default().extend(events),
            Told::Tenant(change, version) => self.tenants.push((tenant, change, version)),
            Told::Erased(erased) => self.erased.push((tenant, erased)),
            Told::Nothing => {}
        }
    }

    /// True when nothing was gathered.
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }
}

//! Customers' scores from the tables: as they lie there where they still hold, else computed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use regard_cache::Vector;
use regard_database::{StoreError, Tx};
use regard_erasure::customer_erased;
use regard_types::{Caller, Day, Fault, Uuid};

use super::applied::{self, Applied};
use super::domain::{ScoreSet, Serving, absent, score_all};
use super::{store, view};
use crate::core::Core;
use crate::erasure;
use crate::group;
use crate::summary::app::{events, members};
use crate::summary::store::{self as summaries, SummaryRow};
use crate::summary::{Summary, fold};
use crate::tenant::TenantState;

/// Further customers that an error names.
const NAMED: usize = 20;

/// A customer as found.
#[derive(Debug, Clone)]
pub struct Found {
    /// The customer after merges.
    pub customer: Uuid,
    /// False if scoring has not heard of it.
    pub known: bool,
    /// What the scores rest on, as of their day.
    pub summary: Summary,
    /// The scores.
    pub set: ScoreSet,
}

/// All that was found in one snapshot.
#[derive(Debug)]
pub struct Finding {
    /// How far the feeds were applied in it.
    pub vector: Vector,
    /// The tenant in it.
    pub state: TenantState,
    /// The models in it.
    pub serving: Arc<Serving>,
    found: HashMap<Uuid, Arc<Found>>,
    of_arrival: HashMap<Uuid, Uuid>,
    erased: Vec<Uuid>,
}

impl Finding {
    /// As [`Finding::of`], where one customer alone was asked for.
    ///
    /// # Errors
    /// `CUSTOMER_ERASED`.
    pub fn one(&self, arrival: Uuid) -> Result<Arc<Found>, Fault> {
        if self.erased.contains(&arrival) {
            return Err(erasure::gone(arrival));
        }
        Ok(self.of(arrival)?)
    }

    /// Refuses where some of the customers that were asked for, in this order, were erased; the first of them are named.
    ///
    /// # Errors
    /// `CUSTOMER_ERASED`.
    pub fn all_there(&self, arrivals: &[Uuid]) -> Result<(), Fault> {
        let gone = arrivals.iter().enumerate();
        let mut gone = gone.filter(|(_, arrival)| self.erased.contains(arrival));
        let Some((at, arrival)) = gone.next() else {
            return Ok(());
        };
        let fault = customer_erased(&format!("customers[{at}]"), arrival);
        let also = "names a customer that was erased; drop it";
        Err(gone.take(NAMED).fold(fault, |fault, (at, _)| {
            fault.and_invalid(format!("customers[{at}]"), also)
        }))
    }

    /// What was found for an arrival id that was asked for.
    ///
    /// # Errors
    /// A fault of ours for one that was not.
    pub fn of(&self, arrival: Uuid) -> Result<Arc<Found>, StoreError> {
        let found = self
            .of_arrival
            .get(&arrival)
            .and_then(|customer| self.found.get(customer));
        found
            .cloned()
            .ok_or_else(|| StoreError::corrupt("a customer that was not looked for"))
    }
}

/// Finds customers in one snapshot of the store, as of a day, or of the tenant's today.
///
/// # Errors
/// What the engine answers.
pub async fn find(
    core: &Core,
    caller: &Caller,
    arrivals: &[Uuid],
    asked: Option<Day>,
) -> Result<Finding, Fault> {
    let at = Instant::now();
    let tx = core.db.read(caller).await?;
    let applied = applied::read(&tx, at).await?;
    let state = view::state(&tx, caller.tenant).await?;
    let serving = core.serving(&tx, &state).await?;
    let canonical = group::store::canonical_of(&tx, caller.tenant, arrivals).await?;
    let customers: HashSet<Uuid> = canonical.values().copied().collect();
    let rows = summaries::get(
        &tx,
        caller.tenant,
        &customers.into_iter().collect::<Vec<_>>(),
    )
    .await?;
    let today = state.today(core.clock());
    let asked = asked.filter(|day| *day != today);
    let mut search = Search {
        core,
        tx: &tx,
        applied: &applied,
        state: &state,
        serving: &serving,
        today,
        asked,
        notes: Vec::new(),
        late: Vec::new(),
    };
    search.notes().await?;
    let mut found = search.rows(rows).await?;
    let mut of_arrival = HashMap::with_capacity(arrivals.len());
    for arrival in arrivals {
        let customer = canonical.get(arrival).copied().unwrap_or(*arrival);
        of_arrival.insert(*arrival, customer);
        found
            .entry(customer)
            .or_insert_with(|| Arc::new(search.unknown(customer)));
    }
    let strange: Vec<Uuid> = arrivals
        .iter()
        .copied()
        .filter(|arrival| !canonical.contains_key(arrival))
        .collect();
    let ids = core.db.ids(caller.tenant);
    let erased = erasure::among(&tx, caller.tenant, &ids, &strange).await?;
    drop(tx);
    Ok(Finding {
        erased,
        vector: applied.vector,
        state,
        serving,
        found,
        of_arrival,
    })
}

struct Search<'a> {
    core: &'a Core,
    tx: &'a Tx,
    applied: &'a Applied,
    state: &'a TenantState,
    serving: &'a Serving,
    today: Day,
    /// Another day than today.
    asked: Option<Day>,
    notes: Vec<String>,
    /// Models that know more than the asked day did.
    late: Vec<(Uuid, Day)>,
}

impl Search<'_> {
    async fn notes(&mut self) -> Result<(), StoreError> {
        let Some(day) = self.asked else { return Ok(()) };
        if day > self.today {
            self.notes.push(format!(
                "{day} lies after the tenant's today, {}: as if nothing more happened until then",
                self.today
            ));
        } else {
            self.late = store::models_after(self.tx, self.state.tenant, day).await?;
        }
        Ok(())
    }

    /// The day that a row is to be about.
    fn day(&self, row: &SummaryRow) -> Day {
        self.asked.unwrap_or(match row.as_of {
            // Within a stamp the day never falls, whatever a replica's clock says.
            Some(before) if row.stamp == self.state.stamp => self.today.max(before),
            _ => self.today,
        })
    }

    async fn rows(&self, rows: Vec<SummaryRow>) -> Result<HashMap<Uuid, Arc<Found>>, StoreError> {
        let due: Vec<Uuid> = rows
            .iter()
            .filter(|row| self.is_due(row))
            .map(|row| row.customer)
            .collect();
        let mut events = if due.is_empty() {
            HashMap::new()
        } else {
            let members = members(self.tx, self.state.tenant, &due).await?;
            events(
                self.tx,
                self.state.tenant,
                self.applied.loads,
                &members,
                &due,
            )
            .await?
        };
        let mut out = HashMap::with_capacity(rows.len());
        for row in rows {
            let day = self.day(&row);
            let summary = match events.remove(&row.customer) {
                Some(events) => fold(&events, &self.state.zone, day),
                None => row.summary.clone(),
            };
            let found = self.found(&row, summary, day)?;
            out.insert(row.customer, Arc::new(found));
        }
        Ok(out)
    }

    /// Whether the row's summary is not that of the day.
    fn is_due(&self, row: &SummaryRow) -> bool {
        let Some(as_of) = row.as_of else { return true };
        let day = self.day(row);
        // Up to `next_day` a later day has the same summary.
        row.stamp != self.state.stamp
            || day < as_of
            || row.summary.next_day.is_some_and(|next| next <= day)
    }

    fn found(&self, row: &SummaryRow, summary: Summary, day: Day) -> Result<Found, StoreError> {
        if row.stamp == self.state.stamp
            && row.as_of == Some(day)
            && let Some((customer, set)) = store::decode(&self.core.book, &row.scores)?
        {
            return Ok(Found {
                customer,
                known: true,
                summary,
                set,
            });
        }
        let set = ScoreSet {
            version: row.version,
            as_of: day,
            day_version: self.state.stamp,
            valid_until: if self.asked.is_some() {
                None
            } else {
                self.state.valid_until(day)
            },
            values: score_all(
                &self.core.book,
                &summary,
                self.state.basis(day),
                self.serving,
            ),
        };
        Ok(self.noted(Found {
            customer: row.customer,
            known: true,
            summary,
            set,
        }))
    }

    fn unknown(&self, customer: Uuid) -> Found {
        let day = self.asked.unwrap_or(self.today);
        let set = unknown(self.core, self.state, day, self.asked.is_none());
        Found {
            customer,
            known: false,
            summary: Summary::default(),
            set,
        }
    }

    fn noted(&self, mut found: Found) -> Found {
        let Some(asked) = self.asked else {
            return found;
        };
        for value in &mut found.set.values {
            if value.value.is_none() {
                continue;
            }
            value.reasons.extend(self.notes.iter().cloned());
            if let Some((_, day)) = self.late.iter().find(|(id, _)| Some(*id) == value.model) {
                value.reasons.push(format!("the model was fitted on data up to {day}, later than {asked}: nobody could have known it then"));
            }
        }
        found
    }
}

/// The scores of a customer that scoring has not heard of: each absent, and why.
#[must_use]
pub fn unknown(core: &Core, state: &TenantState, day: Day, current: bool) -> ScoreSet {
    ScoreSet {
        version: 0,
        as_of: day,
        day_version: state.stamp,
        valid_until: if current {
            state.valid_until(day)
        } else {
            None
        },
        values: (0..core.book.scores.len())
            .map(|place| absent(place, "scoring has not heard of this customer"))
            .collect(),
    }
}

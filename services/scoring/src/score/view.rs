//! A tenant as readers see it: its settings and how far the feeds were applied when they were read. Kept for a moment, so
//! that a hit in the cache asks the store nothing.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use regard_cache::Vector;
use regard_database::{StoreError, Tx};
use regard_types::{Caller, ChangeToken, Clock, Currency, Fault, TenantId, Zone};
use tokio::sync::Mutex;

use super::applied::{self, Applied, Coverage, need};
use crate::core::Core;
use crate::tenant::{self, TenantState};

/// How old a view may be that a read without a token uses.
const STALE: Duration = Duration::from_secs(1);
/// How often the store is asked for positions that another replica applies.
const POLL: Duration = Duration::from_millis(20);
/// How long a read waits for its token if the caller has no deadline.
const WAIT: Duration = Duration::from_secs(10);
/// The longest that any read waits.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How long scoring may take to hear of a feed's new epoch.
const STRANGE: Duration = Duration::from_secs(1);

/// What was read at one moment.
#[derive(Debug)]
pub struct View {
    /// The tenant.
    pub state: TenantState,
    /// How far the feeds were applied then.
    pub applied: Applied,
    /// How many batches this process had applied before.
    batches: u64,
}

/// The views of all tenants that were asked for.
#[derive(Debug, Default)]
pub struct Views {
    tenants: RwLock<HashMap<TenantId, Arc<Place>>>,
    progress: Mutex<Option<Arc<Applied>>>,
}

#[derive(Debug, Default)]
struct Place {
    view: RwLock<Option<Arc<View>>>,
    /// One reads, the others wait for it.
    turn: Mutex<()>,
}

/// A tenant that scoring has not heard of: UTC, US dollars, the clock's day, no models.
fn unheard(tenant: TenantId) -> Result<TenantState, StoreError> {
    Ok(TenantState {
        tenant,
        zone: Zone::utc(),
        currency: Currency::parse("USD").map_err(StoreError::corrupt)?,
        pinned_day: None,
        history_start: None,
        minimum_group_size: 0,
        record_version: 0,
        stamp: 0,
        models: 0,
        rolled: (None, 0, -1),
    })
}

/// The tenant's settings as a transaction sees them.
///
/// # Errors
/// What the engine answers.
pub async fn state(tx: &Tx, tenant: TenantId) -> Result<TenantState, StoreError> {
    match tenant::store::get(tx, tenant).await? {
        Some(state) => Ok(state),
        None => unheard(tenant),
    }
}

impl Views {
    /// The view, if one is at hand that is new enough for a read without a token.
    #[must_use]
    pub fn at_hand(&self, core: &Core, tenant: TenantId) -> Option<Arc<View>> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        let view = tenants
            .get(&tenant)?
            .view
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let view = view.as_ref()?;
        let fresh = view.batches == *core.applied.borrow() && view.applied.at.elapsed() < STALE;
        fresh.then(|| view.clone())
    }

    /// A view for a read without a token.
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn recent(&self, core: &Core, caller: &Caller) -> Result<Arc<View>, Fault> {
        match self.at_hand(core, caller.tenant) {
            Some(view) => Ok(view),
            None => self.since(core, caller, Instant::now()).await,
        }
    }

    /// A view that covers a token, waited for within the caller's deadline; and what entries must cover.
    ///
    /// # Errors
    /// `TOKEN_EPOCH_GONE`, `DEADLINE_EXCEEDED`, and what the engine answers.
    pub async fn covering(
        &self,
        core: &Core,
        caller: &Caller,
        token: &ChangeToken,
    ) -> Result<(Arc<View>, Option<Vector>), Fault> {
        if token.is_empty() {
            return Ok((self.recent(core, caller).await?, None));
        }
        core.db.feed().check_token(token).await?;
        let need = need(token);
        if need.is_none() {
            // Its own changes are in its own store.
            return Ok((self.since(core, caller, Instant::now()).await?, None));
        }
        if let Some(view) = self.at_hand(core, caller.tenant)
            && matches!(view.applied.coverage(token), Coverage::Covered)
        {
            return Ok((view, need));
        }
        let reached = self.wait(core, caller, token).await?;
        Ok((self.since(core, caller, reached).await?, need))
    }

    /// Waits until the ranking is at the tenant's day, stamp and models: a token may name what moved one of them.
    ///
    /// # Errors
    /// `DEADLINE_EXCEEDED`, and what the engine answers.
    pub async fn rolled(&self, core: &Core, caller: &Caller) -> Result<(), Fault> {
        let begun = Instant::now();
        let until = caller
            .deadline
            .unwrap_or(begun + WAIT)
            .min(begun + WAIT_MAX);
        loop {
            let tx = core.db.glance(caller).await?;
            let state = tenant::store::get(&tx, caller.tenant).await?;
            drop(tx);
            let current = state.is_none_or(|state| {
                state.rolled == (Some(state.today(core.clock())), state.stamp, state.models)
            });
            if current {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(Fault::late());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until the feeds are applied as far as a token says; the moment from which reads are new enough.
    async fn wait(
        &self,
        core: &Core,
        caller: &Caller,
        token: &ChangeToken,
    ) -> Result<Instant, Fault> {
        let begun = Instant::now();
        let until = caller
            .deadline
            .unwrap_or(begun + WAIT)
            .min(begun + WAIT_MAX);
        let mut batches = core.applied.subscribe();
        loop {
            batches.borrow_and_update();
            let asked = Instant::now();
            match self.progress(core, asked).await?.coverage(token) {
                Coverage::Covered => return Ok(asked),
                Coverage::Gone(fault) => return Err(fault),
                Coverage::Strange(fault) if begun.elapsed() >= STRANGE => return Err(fault),
                Coverage::Strange(_) | Coverage::Wait => {}
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let mut fault = Fault::late();
                "the data of the change token did not arrive within the time limit of the call"
                    .clone_into(&mut fault.message);
                return Err(fault);
            }
            // Either is only a reason to look again.
            let _ = tokio::time::timeout(left.min(POLL), batches.changed()).await;
        }
    }

    /// How far the feeds are applied, no older than `since`: whoever waits together asks once.
    async fn progress(&self, core: &Core, since: Instant) -> Result<Arc<Applied>, Fault> {
        let mut last = self.progress.lock().await;
        if let Some(applied) = last.as_ref().filter(|a| a.at >= since) {
            return Ok(applied.clone());
        }
        let at = Instant::now();
        let tx = core.db.read_system().await?;
        let applied = Arc::new(applied::read(&tx, at).await?);
        *last = Some(applied.clone());
        Ok(applied)
    }

    /// A view no older than `since`.
    async fn since(
        &self,
        core: &Core,
        caller: &Caller,
        since: Instant,
    ) -> Result<Arc<View>, Fault> {
        let place = self.place(caller.tenant);
        let _turn = place.turn.lock().await;
        let known = place
            .view
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(view) = known.filter(|v| v.applied.at >= since) {
            return Ok(view);
        }
        let (at, batches) = (Instant::now(), *core.applied.borrow());
        let tx = core.db.read(caller).await?;
        let applied = applied::read(&tx, at).await?;
        let view = Arc::new(View {
            state: state(&tx, caller.tenant).await?,
            applied,
            batches,
        });
        *place.view.write().unwrap_or_else(PoisonError::into_inner) = Some(view.clone());
        Ok(view)
    }

    fn place(&self, tenant: TenantId) -> Arc<Place> {
        if let Some(place) = self
            .tenants
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&tenant)
        {
            return place.clone();
        }
        self.tenants
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(tenant)
            .or_default()
            .clone()
    }
}

impl View {
    /// Whether a set that was scored under this stamp still holds.
    #[must_use]
    pub fn holds(&self, set: &super::domain::ScoreSet, clock: &Clock) -> bool {
        set.day_version == self.state.stamp
            && match set.valid_until {
                Some(until) => until > clock.now(),
                None => self.state.pinned_day == Some(set.as_of),
            }
    }
}

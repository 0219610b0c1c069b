//! Customers by one score.

use std::collections::HashMap;

use regard_server::{KeyPart, Page, page::invalid};
use regard_types::{Caller, ChangeToken, Day, Fault, Uuid};

use super::domain::{ScoreSet, ScoreValue, absent};
use super::read::Scores;
use super::store;

/// One row of a list.
#[derive(Debug, Clone)]
pub struct Listed {
    /// The customer.
    pub customer: Uuid,
    /// Its scores, with only the one asked for.
    pub set: ScoreSet,
}

impl Scores {
    /// A page of customers by one score, the highest first; and the token of the next page, empty at the end.
    ///
    /// # Errors
    /// As [`Scores::get`].
    pub async fn list(
        &self,
        caller: &Caller,
        place: usize,
        range: (Option<f64>, Option<f64>),
        as_of: Option<Day>,
        page: &Page,
        token: &ChangeToken,
    ) -> Result<(Vec<Listed>, String), Fault> {
        let after = match page.after.as_deref() {
            None => None,
            Some([value, customer]) => Some((
                value.f64().ok_or_else(invalid)?,
                customer.uuid().ok_or_else(invalid)?,
            )),
            Some(_) => return Err(invalid()),
        };
        // Waits where it must; the rows themselves are read below.
        let (view, _) = self.views.covering(&self.core, caller, token).await?;
        let today = view.state.today(self.core.clock());
        if as_of.is_some_and(|day| day != today) {
            let why = format!(
                "must be the tenant's today, {today}: the ranking is kept for no other day; ask GetScores"
            );
            return Err(Fault::invalid("as_of", why));
        }
        if !token.is_empty() {
            self.views.rolled(&self.core, caller).await?;
        }
        let core = &*self.core;
        let Some(definition) = core.book.scores.get(place) else {
            return Err(Fault::bug("a score that is not in the book"));
        };
        let limit = i64::try_from(page.size + 1).unwrap_or(i64::MAX);
        let tx = core.db.read(caller).await?;
        let mut ranked =
            store::ranking(&tx, caller.tenant, &definition.name, range, after, limit).await?;
        let more = ranked.len() > page.size;
        ranked.truncate(page.size);
        let customers: Vec<Uuid> = ranked.iter().map(|(customer, _)| *customer).collect();
        let mut sets = HashMap::with_capacity(customers.len());
        for row in store::of_customers(&tx, caller.tenant, &customers).await? {
            if let Some((customer, set)) = store::decode(&core.book, &row.scores)? {
                sets.insert(customer, set);
            }
        }
        drop(tx);
        let next = match ranked.last() {
            Some((customer, value)) if more => {
                page.next(&[KeyPart::F64(*value), KeyPart::Uuid(*customer)])
            }
            _ => String::new(),
        };
        let listed = ranked.into_iter().map(|(customer, value)| Listed {
            customer,
            set: one(sets.remove(&customer), place, value),
        });
        Ok((listed.collect(), next))
    }
}

/// The set with one score only. A row of other definitions than today's waits for its rescoring: the ranking has its value.
fn one(set: Option<ScoreSet>, place: usize, value: f64) -> ScoreSet {
    match set {
        Some(mut set) => {
            set.values.retain(|v| v.definition == place);
            set
        }
        None => ScoreSet {
            version: 0,
            as_of: Day(0),
            day_version: 0,
            valid_until: None,
            values: vec![ScoreValue {
                value: Some(value),
                ..absent(
                    place,
                    "scored by an earlier version of the definitions; a new one is under way",
                )
            }],
        },
    }
}

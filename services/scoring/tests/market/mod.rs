//! A tenant with data, straight in the stores.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use regard_database::DatabaseSettings;
use regard_scoring::core::Core;
use regard_scoring::event::domain::pack_scale;
use regard_scoring::event::store::Loads;
use regard_scoring::event::{Event, Kind};
use regard_scoring::metric::domain::Value;
use regard_scoring::{Settings, event, follow, group, open_core, summary, tenant};
use regard_server::Shared;
use regard_testkit::TestStore;
use regard_types::{Caller, Clock, IdSecret, Service, Uuid};

use super::common::{event as happened, id, noon};

pub struct Market {
    pub core: Arc<Core>,
    pub caller: Caller,
    pub secret: IdSecret,
    pub loads: Loads,
}

pub fn data(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/data")
        .join(name);
    std::fs::read_to_string(path).unwrap()
}

pub fn value_of(v: &Value, part: &str) -> f64 {
    v.parts
        .iter()
        .find(|(name, _)| *name == part)
        .unwrap_or_else(|| panic!("no part {part} in {:?}", v.parts))
        .1
}

pub async fn core(store: &TestStore) -> Arc<Core> {
    let settings = Settings::new(DatabaseSettings {
        acquire_ms: 20_000,
        migrate_url: store.migrate_url.clone(),
        ..DatabaseSettings::new(&store.url)
    });
    open_core(
        &settings,
        Shared {
            clock: Clock::System,
            ids: IdSecret([7; 32]),
        },
    )
    .await
    .unwrap()
}

impl Market {
    pub async fn open(store: &TestStore, pinned: Option<&str>) -> Self {
        let core = core(store).await;
        let secret = IdSecret([7; 32]);
        let caller = Caller::new(secret.tenant_id("default"), "default", "tester");
        let tx = core.db.system().await.unwrap();
        tenant::store::ensure(&tx, caller.tenant).await.unwrap();
        let customer = follow::store::begin(&tx, Service::Customer, false, 1)
            .await
            .unwrap()
            .no;
        let feedback = follow::store::begin(&tx, Service::Feedback, false, 1)
            .await
            .unwrap()
            .no;
        tx.commit().await.unwrap();
        let market = Self {
            core,
            caller,
            secret,
            loads: Loads { customer, feedback },
        };
        if let Some(day) = pinned {
            market.pin(day).await;
        }
        market
    }

    pub async fn run(&self, sql: &'static str, number: i64) {
        let tx = self.core.db.system().await.unwrap();
        tx.run(sql, vec![self.caller.tenant.0.into(), number.into()])
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    pub async fn pin(&self, day: &str) {
        let day = super::common::day(day).0;
        self.run(
            "UPDATE tenant_state SET pinned_day = $2, stamp = stamp + 1 WHERE tenant = $1",
            day.into(),
        )
        .await;
    }

    pub async fn minimum(&self, people: i64) {
        self.run(
            "UPDATE tenant_state SET minimum_group_size = $2 WHERE tenant = $1",
            people,
        )
        .await;
    }

    pub async fn put(&self, events: &[Event]) {
        let tenant = self.caller.tenant;
        for part in events.chunks(5_000) {
            let tx = self.core.db.system().await.unwrap();
            let (said, bought): (Vec<Event>, Vec<Event>) =
                part.iter().cloned().partition(|e| e.kind.number() >= 5);
            event::store::insert(&tx, tenant, self.loads.customer, &bought)
                .await
                .unwrap();
            event::store::insert(&tx, tenant, self.loads.feedback, &said)
                .await
                .unwrap();
            let who: BTreeSet<Uuid> = part
                .iter()
                .filter(|e| !e.anonymous)
                .map(|e| e.customer.0)
                .collect();
            let who: Vec<Uuid> = who.into_iter().collect();
            group::store::ensure(&tx, tenant, &who).await.unwrap();
            summary::store::ensure(&tx, tenant, &who).await.unwrap();
            tx.commit().await.unwrap();
        }
    }

    pub async fn merge(&self, from: u128, into: u128) {
        let tx = self.core.db.system().await.unwrap();
        group::store::set(
            &tx,
            self.caller.tenant,
            &BTreeMap::from([(id(from), id(into))]),
        )
        .await
        .unwrap();
        tx.commit().await.unwrap();
    }

    /// The real purchases of CDNOW; amounts in cents.
    pub async fn cdnow(&self) {
        let mut events = Vec::new();
        for (n, line) in (1_000_000..).zip(data("CDNOW_sample.txt").lines()) {
            let parts: Vec<&str> = line.split_whitespace().collect();
            let [_, customer, date, units, value] = parts[..] else {
                continue;
            };
            let on = format!("{}-{}-{}", &date[..4], &date[4..6], &date[6..]);
            let cents = (value.parse::<f64>().unwrap() * 100.0).round();
            events.push(Event {
                value: cents as i64,
                aux: units.parse().unwrap(),
                ..happened(Kind::Order, customer.parse::<u128>().unwrap(), n, noon(&on))
            });
        }
        self.put(&events).await;
    }

    /// The real answers of ECSI: overall satisfaction and readiness to recommend, both of 1 to 10.
    pub async fn ecsi(&self) {
        let text = data("ecsi_mobi.csv");
        let mut lines = text.lines();
        let names: Vec<String> = lines
            .next()
            .unwrap()
            .split(',')
            .map(|n| n.trim_matches('"').to_owned())
            .collect();
        let mut events = Vec::new();
        for (n, line) in (1_u128..).zip(lines) {
            for (part, (name, value)) in (0..).zip(names.iter().zip(line.split(','))) {
                let (metric, dimension) = match name.as_str() {
                    "CUSA1" => ("csat", "overall"),
                    "CUSL3" => ("recommend_1_10", "loyalty"),
                    _ => continue,
                };
                events.push(Event {
                    part,
                    value: value.parse().unwrap(),
                    aux: pack_scale(1, 10),
                    link: Some(id(77)),
                    metric: metric.into(),
                    dimension: dimension.into(),
                    question: name.to_lowercase(),
                    ..happened(Kind::Answer, n, 10_000 + n, noon("2005-06-01"))
                });
            }
        }
        self.put(&events).await;
    }

    pub async fn close(&self) {
        self.core.db.close().await;
    }
}

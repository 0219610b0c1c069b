//! What the feed tells of each kind of record: ids, times, numbers and codes, never names or texts.

use prost::Message as _;
use regard_database::feed::ChangeRow;
use regard_database::{Place, StoreError};
use regard_proto::customer::v1::{
    CustomerMeasures, Measures, MergeMeasures, OrderMeasures, RefundMeasures, TenantMeasures,
    measures::Record,
};
use regard_server::wire;
use regard_types::{CustomerId, Micros, RecordId, TenantId};

use crate::customer::{Customer, CustomerKind};
use crate::merge::Edge;
use crate::order::Order;
use crate::refund::Refund;
use crate::tenant::Tenant;

/// A record as the feed sees it.
pub trait Measured {
    /// The kind in the feed.
    const KIND: &'static str;
    /// Its id and version.
    fn version(&self) -> (RecordId, i64);
    /// The customer as first written with it.
    fn customer(&self) -> Option<CustomerId>;
    /// When it happened.
    fn occurred_at(&self) -> Micros;
    /// When this version was recorded.
    fn recorded_at(&self) -> Micros;
    /// Its measures.
    fn record(&self) -> Record;

    /// A keyed digest of what the record holds besides: names and contact points never go to the feed.
    fn content(&self) -> &[u8] {
        &[]
    }

    /// The measures as the feed keeps them.
    fn measures(&self) -> Vec<u8> {
        let measures = Measures {
            record: Some(self.record()),
        };
        measures.encode_to_vec()
    }
}

impl Measured for Customer {
    const KIND: &'static str = "customer";

    fn content(&self) -> &[u8] {
        &self.content
    }

    fn version(&self) -> (RecordId, i64) {
        (self.id.into(), self.head.version)
    }

    fn customer(&self) -> Option<CustomerId> {
        Some(self.id)
    }

    fn occurred_at(&self) -> Micros {
        self.head.updated
    }

    fn recorded_at(&self) -> Micros {
        self.head.updated
    }

    fn record(&self) -> Record {
        Record::Customer(CustomerMeasures {
            organisation: self.profile.kind == CustomerKind::Organisation,
            attributes: self.profile.attributes.clone().into_iter().collect(),
            since_day: self.profile.since.map(|day| day.0),
        })
    }
}

impl Measured for Order {
    const KIND: &'static str = "order";

    fn version(&self) -> (RecordId, i64) {
        (self.id, self.head.version)
    }

    fn customer(&self) -> Option<CustomerId> {
        Some(self.customer)
    }

    fn occurred_at(&self) -> Micros {
        self.terms.order_time
    }

    fn recorded_at(&self) -> Micros {
        self.head.updated
    }

    fn record(&self) -> Record {
        Record::Order(OrderMeasures {
            gross_minor: self.terms.gross,
            units: self.terms.units,
            channel: wire::to_channel(self.terms.channel),
            voided: self.voided,
        })
    }
}

impl Measured for Refund {
    const KIND: &'static str = "refund";

    fn version(&self) -> (RecordId, i64) {
        (self.id, self.head.version)
    }

    fn customer(&self) -> Option<CustomerId> {
        Some(self.customer)
    }

    fn occurred_at(&self) -> Micros {
        self.refund_time
    }

    fn recorded_at(&self) -> Micros {
        self.head.updated
    }

    fn record(&self) -> Record {
        Record::Refund(RefundMeasures {
            amount_minor: self.amount,
            order_id: self.order.map(|id| id.to_string()).unwrap_or_default(),
        })
    }
}

impl Measured for Edge {
    const KIND: &'static str = "merge";

    fn version(&self) -> (RecordId, i64) {
        (self.from.into(), self.head.version)
    }

    fn customer(&self) -> Option<CustomerId> {
        Some(self.from)
    }

    fn occurred_at(&self) -> Micros {
        self.head.updated
    }

    fn recorded_at(&self) -> Micros {
        self.head.updated
    }

    fn record(&self) -> Record {
        Record::Merge(MergeMeasures {
            into_id: self.into.to_string(),
            ended: self.ended,
        })
    }
}

impl Measured for Tenant {
    const KIND: &'static str = "tenant";

    fn version(&self) -> (RecordId, i64) {
        (RecordId(self.id.0), self.head.version)
    }

    fn customer(&self) -> Option<CustomerId> {
        None
    }

    fn occurred_at(&self) -> Micros {
        self.head.updated
    }

    fn recorded_at(&self) -> Micros {
        self.head.updated
    }

    fn record(&self) -> Record {
        let terms = &self.terms;
        Record::Tenant(TenantMeasures {
            name: self.name.clone(),
            zone: terms.zone.name().to_owned(),
            currency: terms.currency.as_str().to_owned(),
            pinned_day: terms.pinned_day.map(|day| day.0),
            history_start: terms.history_start.map(|day| day.0),
            minimum_group_size: terms.minimum_group_size,
            day_version: self.day_version,
            requests_per_second: i32::try_from(terms.limits.per_second).unwrap_or(i32::MAX),
            burst: i32::try_from(terms.limits.burst).unwrap_or(i32::MAX),
            retention_days: terms.retention_days,
        })
    }
}

/// A stored version as the change that wrote it.
pub fn change_row<R: Measured>(
    (tenant, place): (TenantId, Place),
    record: &R,
) -> Result<ChangeRow, StoreError> {
    let (id, version) = record.version();
    Ok(ChangeRow {
        lane: place.lane,
        position: place.position,
        nonce: 0,
        tenant,
        kind: R::KIND.to_owned(),
        record: id,
        version,
        customer: record.customer(),
        occurred_at: record.occurred_at(),
        recorded_at: record.recorded_at(),
        measures: record.measures(),
        trace: None,
    })
}

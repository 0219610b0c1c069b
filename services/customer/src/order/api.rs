//! The contract's orders and refunds to the house's and back.

use std::sync::Arc;

use regard_proto::common::v1 as common;
use regard_proto::customer::v1 as pb;
use regard_proto::customer::v1::order_service_server::OrderService;
use regard_server::wire::{self, Named};
use regard_server::{
    Answers, KeyPart, Page, Taken, caller_of, command, ingest, keyless, page, status,
};
use regard_types::{
    Caller, Clock, Currency, Fault, IdKey, Micros, Money, RecordId, SourceKey, new_record_id,
};
use tonic::{Request, Response, Status, Streaming};

use super::app::{self, View};
use super::batch::Outcome;
use super::domain::{NewOrder, Terms};
use crate::core::{Core, Faults, read};
use crate::refund::{self, NewRefund, Refund};
use crate::tenant::Known;

/// `OrderService`.
#[derive(Debug, Clone)]
pub struct OrderApi(pub Arc<Core>);

/// What the words of a request are read with.
pub(crate) struct Reader {
    ids: IdKey,
    currency: Currency,
    clock: Clock,
}

impl Reader {
    pub(crate) fn new(core: &Core, tenant: &Known) -> Self {
        Self {
            ids: core.db.ids(tenant.id),
            currency: tenant.terms.currency,
            clock: core.db.clock().clone(),
        }
    }

    fn id(&self, kind: &str, key: Option<&SourceKey>) -> RecordId {
        match key {
            Some(key) => RecordId(self.ids.id(kind, key)),
            None => new_record_id(&self.clock),
        }
    }

    /// An order; `keyed` where a key is required.
    fn order(
        &self,
        wire: Option<&pb::Order>,
        revision: i64,
        keyed: bool,
    ) -> Result<NewOrder, Fault> {
        let order = wire::required("order", wire)?;
        let mut faults = Faults::default();
        if keyed && order.key.is_none() {
            faults.add(keyless("order.key"));
        }
        let customer = faults.keep(Named::customer("order.customer", order.customer.as_ref()));
        let time = faults.keep(time("order.order_time", order.order_time.as_ref()));
        let gross = faults.keep(self.minor("order.gross", order.gross.as_ref()));
        let channel = faults.keep(wire::channel("order.channel", order.channel));
        faults.done()?;
        let customer = read(customer)?;
        let terms = Terms {
            order_time: read(time)?,
            gross: read(gross)?,
            units: order.units,
            channel: read(channel)?,
        };
        let key = order.key.as_ref().map(wire::source_key);
        Ok(NewOrder {
            id: self.id("order", key.as_ref()),
            key,
            customer: customer.customer_id(&self.ids),
            customer_key: customer.key().cloned(),
            terms,
            revision,
        })
    }

    /// An amount in the tenant's currency, in its minor unit.
    fn minor(
        &self,
        field: &str,
        amount: Option<&regard_proto::google::r#type::Money>,
    ) -> Result<i64, Fault> {
        let amount = wire::required(field, amount)?;
        Ok(wire::money_in(field, amount, self.currency)?.minor)
    }

    fn refund(&self, wire: Option<&pb::Refund>) -> Result<NewRefund, Fault> {
        let refund = wire::required("refund", wire)?;
        let mut faults = Faults::default();
        let customer = faults.keep(Named::customer("refund.customer", refund.customer.as_ref()));
        let time = faults.keep(time("refund.refund_time", refund.refund_time.as_ref()));
        let amount = faults.keep(self.minor("refund.amount", refund.amount.as_ref()));
        let order = refund.order.as_ref();
        let order = order.and_then(|order| faults.keep(Named::record("refund.order", Some(order))));
        faults.done()?;
        let customer = read(customer)?;
        let key = refund.key.as_ref().map(wire::source_key);
        Ok(NewRefund {
            id: self.id("refund", key.as_ref()),
            key,
            customer: customer.customer_id(&self.ids),
            customer_key: customer.key().cloned(),
            order: order.map(|order| order.record_id("order", &self.ids)),
            refund_time: read(time)?,
            amount: read(amount)?,
        })
    }

    fn money(&self, minor: i64) -> regard_proto::google::r#type::Money {
        wire::to_money(Money::new(minor, self.currency))
    }

    /// An order on the wire.
    pub(crate) fn order_to_wire(&self, view: &View) -> pb::Order {
        let order = &view.order;
        pb::Order {
            id: order.id.to_string(),
            key: order.key.as_ref().map(wire::to_source_key),
            customer: Some(by_id(order.customer.0)),
            order_time: Some(wire::timestamp(order.terms.order_time)),
            gross: Some(self.money(order.terms.gross)),
            units: order.terms.units,
            channel: wire::to_channel(order.terms.channel),
            voided: order.voided,
            refunded: Some(self.money(view.refunded)),
            version: order.head.version,
            etag: wire::etag("order", order.id.0, order.head.version),
            create_time: Some(wire::timestamp(order.head.created)),
            update_time: Some(wire::timestamp(order.head.updated)),
        }
    }

    /// A refund on the wire.
    pub(crate) fn refund_to_wire(&self, refund: &Refund) -> pb::Refund {
        let order = refund.order.map(|id| common::RecordRef {
            record: Some(common::record_ref::Record::Id(id.to_string())),
        });
        pb::Refund {
            id: refund.id.to_string(),
            key: refund.key.as_ref().map(wire::to_source_key),
            customer: Some(by_id(refund.customer.0)),
            order,
            refund_time: Some(wire::timestamp(refund.refund_time)),
            amount: Some(self.money(refund.amount)),
            version: refund.head.version,
            etag: wire::etag("refund", refund.id.0, refund.head.version),
            create_time: Some(wire::timestamp(refund.head.created)),
            update_time: Some(wire::timestamp(refund.head.updated)),
        }
    }
}

fn time(field: &str, at: Option<&prost_types::Timestamp>) -> Result<Micros, Fault> {
    wire::micros(field, wire::required(field, at)?)
}

fn by_id(id: regard_types::Uuid) -> common::CustomerRef {
    common::CustomerRef {
        customer: Some(common::customer_ref::Customer::Id(id.to_string())),
    }
}

impl OrderApi {
    async fn reader(&self, caller: &Caller) -> Result<(Arc<Known>, Reader), Fault> {
        let known = self.0.tenants.of(&self.0.db, caller).await?;
        let reader = Reader::new(&self.0, &known);
        Ok((known, reader))
    }

    async fn record(
        &self,
        request: Request<pb::RecordOrderRequest>,
    ) -> Result<pb::RecordOrderResponse, Fault> {
        let caller = caller_of(&request)?;
        let request = request.into_inner();
        let (known, reader) = self.reader(&caller).await?;
        let row = reader.order(request.order.as_ref(), request.revision, false)?;
        let command = command(&request, "RecordOrder");
        let rows = [Some(row)];
        let done = app::record(
            &self.0,
            &caller,
            &known,
            command,
            &rows,
            request.create_missing,
            false,
        )
        .await?;
        Ok(pb::RecordOrderResponse {
            change_token: done.token(),
            order: done.value.first().map(|view| reader.order_to_wire(view)),
        })
    }

    async fn batch(
        &self,
        request: Request<pb::BatchRecordOrdersRequest>,
    ) -> Result<pb::BatchRecordOrdersResponse, Fault> {
        let caller = caller_of(&request)?;
        let request = request.into_inner();
        let (known, reader) = self.reader(&caller).await?;
        let mut rows = Vec::with_capacity(request.rows.len());
        let mut bad = Vec::new();
        for (index, row) in request.rows.iter().enumerate() {
            let row = reader.order(row.order.as_ref(), row.revision, true);
            rows.push(row.map_err(|fault| bad.push((index, fault))).ok());
        }
        if !bad.is_empty() {
            bad.extend(app::check(&self.0, &caller, &rows, request.create_missing).await?);
            bad.sort_by_key(|(index, _)| *index);
            let mut faults = Faults::default();
            for (index, fault) in bad {
                faults.add(app::of_row(fault, index));
            }
            faults.done()?;
        }
        let command = command(&request, "BatchRecordOrders");
        let done = app::record(
            &self.0,
            &caller,
            &known,
            command,
            &rows,
            request.create_missing,
            true,
        )
        .await?;
        Ok(pb::BatchRecordOrdersResponse {
            change_token: done.token(),
            orders: done
                .value
                .iter()
                .map(|view| reader.order_to_wire(view))
                .collect(),
        })
    }

    async fn get(
        &self,
        request: Request<pb::GetOrderRequest>,
    ) -> Result<pb::GetOrderResponse, Fault> {
        let caller = caller_of(&request)?;
        let (_, reader) = self.reader(&caller).await?;
        let named = Named::record("order", request.get_ref().order.as_ref())?;
        let found = app::get(&self.0, &caller, named.record_id("order", &reader.ids)).await;
        let view = found.map_err(|fault| named_by_key(fault, &named))?;
        Ok(pb::GetOrderResponse {
            order: Some(reader.order_to_wire(&view)),
        })
    }

    async fn list(
        &self,
        request: Request<pb::ListOrdersRequest>,
    ) -> Result<pb::ListOrdersResponse, Fault> {
        let caller = caller_of(&request)?;
        let request = request.into_inner();
        let (_, reader) = self.reader(&caller).await?;
        let customer = Named::customer("customer", request.customer.as_ref())?;
        let customer = customer.customer_id(&reader.ids);
        let page = Page::read(
            &caller,
            "ListOrders",
            &request,
            request.page_size,
            &request.page_token,
        )?;
        let after = match page.after.as_deref() {
            None => None,
            Some([KeyPart::I64(at), KeyPart::Uuid(id)]) => Some((*at, *id)),
            Some(_) => return Err(page::invalid()),
        };
        let voided = request.include_voided;
        let (views, more) = app::list(&self.0, &caller, customer, voided, after, page.size).await?;
        let last = views.last().filter(|_| more).map(|view| {
            let order = &view.order;
            page.next(&[
                KeyPart::I64(order.terms.order_time.0),
                KeyPart::Uuid(order.id.0),
            ])
        });
        Ok(pb::ListOrdersResponse {
            orders: views
                .iter()
                .map(|view| reader.order_to_wire(view))
                .collect(),
            next_page_token: last.unwrap_or_default(),
        })
    }

    async fn correct(
        &self,
        request: Request<pb::CorrectOrderRequest>,
    ) -> Result<pb::CorrectOrderResponse, Fault> {
        let caller = caller_of(&request)?;
        let request = request.into_inner();
        let (known, reader) = self.reader(&caller).await?;
        let named = Named::record("target", request.target.as_ref())?;
        let mut faults = Faults::default();
        let at = request.order_time.as_ref();
        let time = at.and_then(|at| faults.keep(wire::micros("order_time", at)));
        let gross = request.gross.as_ref();
        let gross = gross.and_then(|gross| faults.keep(reader.minor("gross", Some(gross))));
        let channel = faults
            .keep(wire::channel("channel", request.channel))
            .flatten();
        faults.done()?;
        let change = |old: &Terms| Terms {
            order_time: time.unwrap_or(old.order_time),
            gross: gross.unwrap_or(old.gross),
            units: request.units.unwrap_or(old.units),
            channel: channel.or(old.channel),
        };
        let id = named.record_id("order", &reader.ids);
        let command = command(&request, "CorrectOrder");
        let done = app::update(&self.0, &caller, &known, command, id, &request.etag, change).await;
        let done = done.map_err(|fault| named_by_key(fault, &named))?;
        Ok(pb::CorrectOrderResponse {
            change_token: done.token(),
            order: Some(reader.order_to_wire(&done.value)),
        })
    }

    async fn void(
        &self,
        request: Request<pb::VoidOrderRequest>,
    ) -> Result<pb::VoidOrderResponse, Fault> {
        let caller = caller_of(&request)?;
        let request = request.into_inner();
        let (known, reader) = self.reader(&caller).await?;
        let named = Named::record("target", request.target.as_ref())?;
        let id = named.record_id("order", &reader.ids);
        let command = command(&request, "VoidOrder");
        let done = app::cancel(&self.0, &caller, &known, command, id, &request.etag).await;
        let done = done.map_err(|fault| named_by_key(fault, &named))?;
        Ok(pb::VoidOrderResponse {
            change_token: done.token(),
            order: Some(reader.order_to_wire(&done.value)),
        })
    }

    async fn refund(
        &self,
        request: Request<pb::RecordRefundRequest>,
    ) -> Result<pb::RecordRefundResponse, Fault> {
        let caller = caller_of(&request)?;
        let request = request.into_inner();
        let (known, reader) = self.reader(&caller).await?;
        let new = reader.refund(request.refund.as_ref())?;
        let command = command(&request, "RecordRefund");
        let done = refund::record(&self.0, &caller, &known, command, &new).await?;
        Ok(pb::RecordRefundResponse {
            change_token: done.token(),
            refund: Some(reader.refund_to_wire(&done.value)),
        })
    }
}

/// A record that was asked for by key is reported by key.
fn named_by_key(mut fault: Fault, named: &Named) -> Fault {
    if let (Some(key), "RECORD_UNKNOWN") = (named.key(), fault.reason) {
        fault.meta.retain(|(name, _)| name != "id");
        return fault
            .meta("source", &key.source)
            .meta("external_id", &key.external_id);
    }
    fault
}

/// One batch of an ingest.
async fn take(
    core: Arc<Core>,
    caller: Caller,
    number: u64,
    batch: pb::IngestOrdersRequest,
) -> Result<pb::IngestOrdersResponse, Fault> {
    let known = core.tenants.of(&core.db, &caller).await?;
    let reader = Reader::new(&core, &known);
    let mut taken = Taken::new(number);
    let rows = taken.rows(&batch.rows, |row: &pb::OrderRow| {
        reader.order(row.order.as_ref(), row.revision, true)
    });
    let done = app::ingest(
        &core,
        &caller,
        &known,
        &rows,
        batch.create_missing,
        batch.validate_only,
    )
    .await?;
    for (index, outcome) in done.outcomes.iter().enumerate() {
        match outcome {
            Outcome::Accepted(_) => taken.accepted(1),
            Outcome::Unchanged(_) => taken.unchanged(1),
            Outcome::Rejected(fault) => taken.rejected(index, fault),
            Outcome::Skipped => {}
        }
    }
    Ok(pb::IngestOrdersResponse {
        result: Some(taken.done("orders", done.token)),
    })
}

macro_rules! unary {
    ($self:ident.$method:ident($request:ident)) => {
        $self
            .$method($request)
            .await
            .map(Response::new)
            .map_err(status)
    };
}

#[tonic::async_trait]
impl OrderService for OrderApi {
    async fn record_order(
        &self,
        request: Request<pb::RecordOrderRequest>,
    ) -> Result<Response<pb::RecordOrderResponse>, Status> {
        unary!(self.record(request))
    }

    async fn batch_record_orders(
        &self,
        request: Request<pb::BatchRecordOrdersRequest>,
    ) -> Result<Response<pb::BatchRecordOrdersResponse>, Status> {
        unary!(self.batch(request))
    }

    type IngestOrdersStream = Answers<pb::IngestOrdersResponse>;

    async fn ingest_orders(
        &self,
        request: Request<Streaming<pb::IngestOrdersRequest>>,
    ) -> Result<Response<Self::IngestOrdersStream>, Status> {
        let caller = caller_of(&request).map_err(status)?;
        let core = self.0.clone();
        let answers = ingest(request.into_inner(), move |number, batch| {
            take(core.clone(), caller.clone(), number, batch)
        });
        Ok(Response::new(answers))
    }

    async fn get_order(
        &self,
        request: Request<pb::GetOrderRequest>,
    ) -> Result<Response<pb::GetOrderResponse>, Status> {
        unary!(self.get(request))
    }

    async fn list_orders(
        &self,
        request: Request<pb::ListOrdersRequest>,
    ) -> Result<Response<pb::ListOrdersResponse>, Status> {
        unary!(self.list(request))
    }

    async fn correct_order(
        &self,
        request: Request<pb::CorrectOrderRequest>,
    ) -> Result<Response<pb::CorrectOrderResponse>, Status> {
        unary!(self.correct(request))
    }

    async fn void_order(
        &self,
        request: Request<pb::VoidOrderRequest>,
    ) -> Result<Response<pb::VoidOrderResponse>, Status> {
        unary!(self.void(request))
    }

    async fn record_refund(
        &self,
        request: Request<pb::RecordRefundRequest>,
    ) -> Result<Response<pb::RecordRefundResponse>, Status> {
        unary!(self.refund(request))
    }
}

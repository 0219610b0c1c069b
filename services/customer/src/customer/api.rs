//! The contract's customers to the house's and back.

use std::sync::Arc;

use prost::Message as _;
use regard_proto::common::v1 as common;
use regard_proto::customer::v1 as pb;
use regard_proto::customer::v1::customer_service_server::CustomerService;
use regard_server::wire::{self, Mask, Named};
use regard_server::{
    Answers, KeyPart, Page, Taken, caller_of, command, ingest, keyless, page, status,
};
use regard_types::{Caller, Clock, CustomerId, Fault, IdKey, Kind, new_record_id};
use tonic::{Request, Response, Status, Streaming};

use super::app::{self, View};
use super::batch::Outcome;
use super::domain::{Customer, CustomerKind, Identity, NewCustomer, Profile};
use super::store::Filter;
use crate::core::{Core, Faults, read};
use crate::merge::{self, Asked, Merged};

/// `CustomerService`.
#[derive(Debug, Clone)]
pub struct CustomerApi(pub Arc<Core>);

/// Bytes of the customers of one answer: well below the message limit.
const ANSWER_BYTES: usize = 3 * 1024 * 1024;

const FIELDS: &[&str] = &[
    "kind",
    "display_name",
    "email",
    "phone",
    "attributes",
    "customer_since",
];

fn kind(field: &str, number: i32) -> Result<Option<CustomerKind>, Fault> {
    match pb::CustomerKind::try_from(number) {
        Ok(pb::CustomerKind::Unspecified) => Ok(None),
        Ok(pb::CustomerKind::Person) => Ok(Some(CustomerKind::Person)),
        Ok(pb::CustomerKind::Organisation) => Ok(Some(CustomerKind::Organisation)),
        Err(_) => Err(Fault::invalid(field, "must be a declared kind")),
    }
}

fn profile(customer: &pb::Customer) -> Result<Profile, Fault> {
    let mut faults = Faults::default();
    let kind = faults.keep(kind("customer.kind", customer.kind));
    let since = customer.customer_since.as_ref();
    let since = since.and_then(|date| faults.keep(wire::day("customer.customer_since", date)));
    faults.done()?;
    Ok(Profile {
        kind: kind.flatten().unwrap_or_default(),
        attributes: customer.attributes.clone().into_iter().collect(),
        since,
        identity: Identity {
            display_name: customer.display_name.clone(),
            email: customer.email.clone(),
            phone: customer.phone.clone(),
        },
    })
}

/// A customer; `keyed` where a key is required.
fn new_customer(
    wire: Option<&pb::Customer>,
    revision: i64,
    keyed: bool,
    ids: &IdKey,
    clock: &Clock,
) -> Result<NewCustomer, Fault> {
    let customer = wire::required("customer", wire)?;
    let mut faults = Faults::default();
    if keyed && customer.key.is_none() {
        faults.add(keyless("customer.key"));
    }
    let profile = faults.keep(profile(customer));
    faults.done()?;
    let key = customer.key.as_ref().map(wire::source_key);
    let id = match &key {
        Some(key) => CustomerId(ids.id("customer", key)),
        None => CustomerId(new_record_id(clock).0),
    };
    Ok(NewCustomer::new(id, key, read(profile)?, revision, ids))
}

/// A version of a customer on the wire.
pub(crate) fn to_wire(customer: &Customer, canonical: CustomerId) -> pb::Customer {
    let Profile {
        kind,
        attributes,
        since,
        identity,
    } = &customer.profile;
    let kind = match kind {
        CustomerKind::Person => pb::CustomerKind::Person,
        CustomerKind::Organisation => pb::CustomerKind::Organisation,
    };
    pb::Customer {
        id: customer.id.to_string(),
        key: customer.key.as_ref().map(wire::to_source_key),
        canonical_id: canonical.to_string(),
        kind: i32::from(kind),
        display_name: identity.display_name.clone(),
        email: identity.email.clone(),
        phone: identity.phone.clone(),
        attributes: attributes.clone().into_iter().collect(),
        customer_since: since.map(wire::date),
        version: customer.head.version,
        etag: wire::etag("customer", customer.id.0, customer.head.version),
        create_time: Some(wire::timestamp(customer.head.created)),
        update_time: Some(wire::timestamp(customer.head.updated)),
    }
}

fn view_to_wire(view: &View) -> pb::Customer {
    to_wire(&view.customer, view.canonical)
}

fn merged_to_wire(merged: &Merged) -> pb::Customer {
    to_wire(&merged.customer, merged.canonical)
}

impl CustomerApi {
    /// The tenant must be there before anything is written for it.
    async fn writer<T>(&self, request: &Request<T>) -> Result<(Caller, IdKey), Fault> {
        let caller = caller_of(request)?;
        self.0.tenants.of(&self.0.db, &caller).await?;
        let ids = self.0.db.ids(caller.tenant);
        Ok((caller, ids))
    }

    async fn create(
        &self,
        request: Request<pb::CreateCustomerRequest>,
    ) -> Result<pb::CreateCustomerResponse, Fault> {
        let (caller, ids) = self.writer(&request).await?;
        let request = request.into_inner();
        let new = new_customer(request.customer.as_ref(), 0, false, &ids, self.0.db.clock())?;
        let command = command(&request, "CreateCustomer");
        let done = app::create(&self.0, &caller, command, &new).await?;
        Ok(pb::CreateCustomerResponse {
            change_token: done.token(),
            customer: Some(view_to_wire(&done.value)),
        })
    }

    async fn get(
        &self,
        request: Request<pb::GetCustomerRequest>,
    ) -> Result<pb::GetCustomerResponse, Fault> {
        let caller = caller_of(&request)?;
        let named = Named::customer("customer", request.get_ref().customer.as_ref())?;
        let id = named.customer_id(&self.0.db.ids(caller.tenant));
        let view = app::get(&self.0, &caller, id, named.key()).await?;
        Ok(pb::GetCustomerResponse {
            customer: Some(view_to_wire(&view)),
        })
    }

    async fn batch_get(
        &self,
        request: Request<pb::BatchGetCustomersRequest>,
    ) -> Result<pb::BatchGetCustomersResponse, Fault> {
        let caller = caller_of(&request)?;
        let ids = self.0.db.ids(caller.tenant);
        let mut asked = Vec::with_capacity(request.get_ref().customers.len());
        for (index, reference) in request.get_ref().customers.iter().enumerate() {
            let named = Named::customer(&format!("customers[{index}]"), Some(reference))?;
            asked.push(named.customer_id(&ids));
        }
        let found = app::batch_get(&self.0, &caller, &asked).await?;
        let mut answer = pb::BatchGetCustomersResponse::default();
        let mut bytes = 0;
        for (index, id) in (0_u32..).zip(&asked) {
            match found.get(id) {
                Some(view) => {
                    let customer = view_to_wire(view);
                    bytes += customer.encoded_len();
                    answer.customers.push(customer);
                }
                None => answer.missing.push(index),
            }
        }
        if bytes > ANSWER_BYTES {
            let message = "these customers are too large for one answer; ask for fewer at once";
            let fault = Fault::new(Kind::TooMuch, "MESSAGE_TOO_LARGE", message);
            return Err(fault.meta("limit_bytes", ANSWER_BYTES));
        }
        Ok(answer)
    }

    async fn list(
        &self,
        request: Request<pb::ListCustomersRequest>,
    ) -> Result<pb::ListCustomersResponse, Fault> {
        let caller = caller_of(&request)?;
        let request = request.into_inner();
        let page = Page::read(
            &caller,
            "ListCustomers",
            &request,
            request.page_size,
            &request.page_token,
        )?;
        let after = match page.after.as_deref() {
            None => None,
            Some([KeyPart::Uuid(id)]) => Some(*id),
            Some(_) => return Err(page::invalid()),
        };
        let filter = Filter {
            kind: kind("kind", request.kind)?,
            email: request.email,
        };
        let (views, more) = app::list(&self.0, &caller, &filter, after, page.size).await?;
        let mut answer = pb::ListCustomersResponse::default();
        let mut bytes = 0;
        for view in &views {
            let customer = view_to_wire(view);
            bytes += customer.encoded_len();
            // A page ends early where it would not fit into a message.
            if bytes > ANSWER_BYTES && !answer.customers.is_empty() {
                break;
            }
            answer.customers.push(customer);
        }
        let taken = answer.customers.len();
        let last = views.get(taken.saturating_sub(1));
        if let (true, Some(last)) = (more || taken < views.len(), last) {
            answer.next_page_token = page.next(&[KeyPart::Uuid(last.customer.id.0)]);
        }
        Ok(answer)
    }

    async fn update(
        &self,
        request: Request<pb::UpdateCustomerRequest>,
    ) -> Result<pb::UpdateCustomerResponse, Fault> {
        let (caller, ids) = self.writer(&request).await?;
        let request = request.into_inner();
        let named = Named::customer("target", request.target.as_ref())?;
        let wanted = profile(wire::required("customer", request.customer.as_ref())?)?;
        let mask = Mask::of(request.update_mask.as_ref(), FIELDS)?;
        let change = |old: &Profile| changed(old, &wanted, &mask);
        let id = (named.customer_id(&ids), named.key());
        let command = command(&request, "UpdateCustomer");
        let done = app::update(&self.0, &caller, command, id, &request.etag, change).await?;
        Ok(pb::UpdateCustomerResponse {
            change_token: done.token(),
            customer: Some(view_to_wire(&done.value)),
        })
    }

    async fn merge(
        &self,
        request: Request<pb::MergeCustomersRequest>,
    ) -> Result<pb::MergeCustomersResponse, Fault> {
        let (caller, ids) = self.writer(&request).await?;
        let request = request.into_inner();
        let into = asked("into", request.into.as_ref(), &ids)?;
        let from = asked("from", request.from.as_ref(), &ids)?;
        let command = command(&request, "MergeCustomers");
        let done = merge::merge(&self.0, &caller, command, &into, &from, &request.evidence).await?;
        Ok(pb::MergeCustomersResponse {
            change_token: done.token(),
            customer: Some(merged_to_wire(&done.value)),
        })
    }

    async fn unmerge(
        &self,
        request: Request<pb::UnmergeCustomersRequest>,
    ) -> Result<pb::UnmergeCustomersResponse, Fault> {
        let (caller, ids) = self.writer(&request).await?;
        let request = request.into_inner();
        let from = asked("customer", request.customer.as_ref(), &ids)?;
        let command = command(&request, "UnmergeCustomers");
        let done = merge::unmerge(&self.0, &caller, command, &from).await?;
        Ok(pb::UnmergeCustomersResponse {
            change_token: done.token(),
            customer: Some(merged_to_wire(&done.value)),
        })
    }
}

/// The profile with the fields that the mask names taken from another.
fn changed(old: &Profile, wanted: &Profile, mask: &Mask) -> Profile {
    fn pick<T: Clone>(take: bool, wanted: &T, old: &T) -> T {
        if take { wanted.clone() } else { old.clone() }
    }
    let (new, was) = (&wanted.identity, &old.identity);
    Profile {
        kind: pick(mask.has("kind"), &wanted.kind, &old.kind),
        attributes: pick(mask.has("attributes"), &wanted.attributes, &old.attributes),
        since: pick(mask.has("customer_since"), &wanted.since, &old.since),
        identity: Identity {
            display_name: pick(
                mask.has("display_name"),
                &new.display_name,
                &was.display_name,
            ),
            email: pick(mask.has("email"), &new.email, &was.email),
            phone: pick(mask.has("phone"), &new.phone, &was.phone),
        },
    }
}

fn asked(
    field: &str,
    reference: Option<&common::CustomerRef>,
    ids: &IdKey,
) -> Result<Asked, Fault> {
    let named = Named::customer(field, reference)?;
    Ok(Asked {
        id: named.customer_id(ids),
        key: named.key().cloned(),
    })
}

/// One batch of an ingest.
async fn take(
    core: Arc<Core>,
    caller: Caller,
    number: u64,
    batch: pb::IngestCustomersRequest,
) -> Result<pb::IngestCustomersResponse, Fault> {
    core.tenants.of(&core.db, &caller).await?;
    let ids = core.db.ids(caller.tenant);
    let mut taken = Taken::new(number);
    let rows = taken.rows(&batch.rows, |row: &pb::CustomerRow| {
        new_customer(
            row.customer.as_ref(),
            row.revision,
            true,
            &ids,
            core.db.clock(),
        )
    });
    let done = app::ingest(&core, &caller, &rows, batch.validate_only).await?;
    for (index, outcome) in done.outcomes.iter().enumerate() {
        match outcome {
            Outcome::Accepted => taken.accepted(1),
            Outcome::Unchanged => taken.unchanged(1),
            Outcome::Rejected(fault) => taken.rejected(index, fault),
            Outcome::Skipped => {}
        }
    }
    Ok(pb::IngestCustomersResponse {
        result: Some(taken.done("customers", done.token)),
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
impl CustomerService for CustomerApi {
    async fn create_customer(
        &self,
        request: Request<pb::CreateCustomerRequest>,
    ) -> Result<Response<pb::CreateCustomerResponse>, Status> {
        unary!(self.create(request))
    }

    async fn get_customer(
        &self,
        request: Request<pb::GetCustomerRequest>,
    ) -> Result<Response<pb::GetCustomerResponse>, Status> {
        unary!(self.get(request))
    }

    async fn batch_get_customers(
        &self,
        request: Request<pb::BatchGetCustomersRequest>,
    ) -> Result<Response<pb::BatchGetCustomersResponse>, Status> {
        unary!(self.batch_get(request))
    }

    async fn list_customers(
        &self,
        request: Request<pb::ListCustomersRequest>,
    ) -> Result<Response<pb::ListCustomersResponse>, Status> {
        unary!(self.list(request))
    }

    async fn update_customer(
        &self,
        request: Request<pb::UpdateCustomerRequest>,
    ) -> Result<Response<pb::UpdateCustomerResponse>, Status> {
        unary!(self.update(request))
    }

    async fn merge_customers(
        &self,
        request: Request<pb::MergeCustomersRequest>,
    ) -> Result<Response<pb::MergeCustomersResponse>, Status> {
        unary!(self.merge(request))
    }

    async fn unmerge_customers(
        &self,
        request: Request<pb::UnmergeCustomersRequest>,
    ) -> Result<Response<pb::UnmergeCustomersResponse>, Status> {
        unary!(self.unmerge(request))
    }

    type IngestCustomersStream = Answers<pb::IngestCustomersResponse>;

    async fn ingest_customers(
        &self,
        request: Request<Streaming<pb::IngestCustomersRequest>>,
    ) -> Result<Response<Self::IngestCustomersStream>, Status> {
        let caller = caller_of(&request).map_err(status)?;
        let core = self.0.clone();
        let answers = ingest(request.into_inner(), move |number, batch| {
            take(core.clone(), caller.clone(), number, batch)
        });
        Ok(Response::new(answers))
    }
}

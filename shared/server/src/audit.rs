//! The audit of a service: the RPC that lists its entries, the same for every package, and the job that seals them.

use std::time::Duration;

use regard_database::Database;
use regard_database::audit::{Entry, Filter};
use regard_proto::common::v1 as common;
use regard_types::{Caller, Fault, RecordId};
use tokio_util::sync::CancellationToken;

use crate::page::{self, KeyPart, Page};
use crate::service::{Job, Service};
use crate::wire::{micros, timestamp};

/// Pause between two looks for entries without a seal.
const EVERY: Duration = Duration::from_secs(1);
/// How long a sealer keeps its lease; another one takes over after that.
const KEEP: Duration = Duration::from_secs(10);
/// How often old entries are looked for, in rounds of sealing.
const TRIM_ROUNDS: u32 = 600;
/// How often the log says where the audit stands, in rounds of sealing: an hour.
const HEADS_ROUNDS: u32 = 3_600;

/// A page of the caller's tenant's entries and the token of the next page; for [`crate::audit_service!`].
///
/// # Errors
/// As `ListAuditEntries` in the contract.
pub async fn list(
    db: &Database,
    caller: &Caller,
    filter: Option<common::AuditFilter>,
    page: &Page,
) -> Result<(Vec<common::AuditEntry>, String), Fault> {
    let after = match page.after.as_deref() {
        None => None,
        Some([KeyPart::Uuid(id)]) => Some(*id),
        Some(_) => return Err(page::invalid()),
    };
    let filter = of_wire(filter.unwrap_or_default())?;
    let tx = db.read(caller).await?;
    let mut entries = filter
        .page(&tx, caller.tenant, after, page.size + 1)
        .await?;
    drop(tx);
    let more = entries.len() > page.size;
    entries.truncate(page.size);
    let next = entries.last().filter(|_| more);
    let next = next.map(|last| page.next(&[KeyPart::Uuid(last.id)]));
    let entries = entries.into_iter().map(to_wire).collect();
    Ok((entries, next.unwrap_or_default()))
}

fn of_wire(filter: common::AuditFilter) -> Result<Filter, Fault> {
    let record = match filter.record_id.as_str() {
        "" => None,
        id => Some(
            RecordId::parse(id)
                .map_err(|_| Fault::invalid("filter.record_id", "must be a UUID"))?,
        ),
    };
    let time = |field: &str, at: Option<_>| at.map(|at| micros(field, &at)).transpose();
    Ok(Filter {
        record,
        caller: (!filter.caller.is_empty()).then_some(filter.caller),
        from: time("filter.start_time", filter.start_time)?,
        to: time("filter.end_time", filter.end_time)?,
    })
}

fn to_wire(entry: Entry) -> common::AuditEntry {
    let roles = entry.roles.split(',').filter(|role| !role.is_empty());
    common::AuditEntry {
        id: entry.id.to_string(),
        time: Some(timestamp(entry.at)),
        caller: entry.caller,
        caller_id: entry.caller_id,
        roles: roles.map(str::to_owned).collect(),
        method: entry.method,
        action: entry.action,
        record_id: entry.record.map(|id| id.to_string()).unwrap_or_default(),
        before_digest: entry.before.map(|d| d.to_vec()).unwrap_or_default().into(),
        after_digest: entry.after.map(|d| d.to_vec()).unwrap_or_default().into(),
        request_id: entry.request_id,
        lane: u32::from(entry.lane),
        sequence: entry.sequence,
    }
}

/// The audit's RPCs and job of a package: `audited!(service, customer, db)` adds them to a [`Service`].
#[macro_export]
macro_rules! audited {
    ($service:expr, $package:ident, $db:expr) => {{
        mod audit {
            use $crate::regard_proto::$package::v1 as pb;
            use $crate::tonic::{Request, Response, Status};

            pub struct AuditApi(pub $crate::regard_database::Database);

            #[$crate::tonic::async_trait]
            impl pb::audit_service_server::AuditService for AuditApi {
                async fn list_audit_entries(
                    &self,
                    request: Request<pb::ListAuditEntriesRequest>,
                ) -> Result<Response<pb::ListAuditEntriesResponse>, Status> {
                    let caller = $crate::caller(&request)?;
                    let body = request.into_inner();
                    let (size, token) = (body.page_size, body.page_token.as_str());
                    let page = $crate::Page::read(&caller, "ListAuditEntries", &body, size, token)
                        .map_err($crate::status)?;
                    let (entries, next_page_token) =
                        $crate::audit::list(&self.0, &caller, body.filter, &page)
                            .await
                            .map_err($crate::status)?;
                    Ok(Response::new(pb::ListAuditEntriesResponse {
                        entries,
                        next_page_token,
                    }))
                }
            }
        }
        let api = audit::AuditApi($db.clone());
        let server =
            $crate::regard_proto::$package::v1::audit_service_server::AuditServiceServer::new(api);
        $service
            .grpc_with($crate::limited!(server))
            .job($crate::Job::sealing(&$db))
    }};
}

impl Service {
    /// Adds the RPCs of a generated server.
    #[must_use]
    pub fn grpc_with<S>(mut self, server: S) -> Self
    where
        S: tower::Service<
                http::Request<tonic::body::Body>,
                Response = http::Response<tonic::body::Body>,
                Error = std::convert::Infallible,
                Future = tonic::codegen::BoxFuture<
                    http::Response<tonic::body::Body>,
                    std::convert::Infallible,
                >,
            > + tonic::server::NamedService
            + Clone
            + Send
            + Sync
            + 'static,
    {
        self.grpc = self.grpc.with(server);
        self
    }
}

impl Job {
    /// Seals audit entries every second, on the replica that holds the lease, and takes those that need not be kept.
    #[must_use]
    pub fn sealing(db: &Database) -> Self {
        let db = db.clone();
        Self::handing_back("audit", move |stop| seal(db.clone(), stop))
    }
}

/// Logs where the audit stands, in the lines of `regard audit heads`: whoever keeps the logs elsewhere has anchors to
/// verify with.
async fn tell_heads(db: &Database) {
    let service = db.service();
    match db.audit().heads().await {
        Ok(heads) => {
            for head in heads.iter().filter(|head| head.sequence > 0) {
                tracing::info!(anchor = %format_args!("{service} {head}"), "audit head");
            }
        }
        Err(error) => tracing::warn!(%service, %error, "the audit's heads were not read"),
    }
}

async fn seal(db: Database, stop: CancellationToken) {
    let lease = db.lease("audit");
    let mut held_until = tokio::time::Instant::now();
    let mut rounds = 0_u32;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = tokio::time::sleep(EVERY) => {}
        }
        if held_until <= tokio::time::Instant::now() {
            match lease.take(KEEP).await {
                Ok(Some(_)) => held_until = tokio::time::Instant::now() + KEEP / 2,
                Ok(None) => continue,
                Err(error) => {
                    tracing::debug!(%error, "the audit's lease was not taken, trying again");
                    continue;
                }
            }
        }
        let service = db.service();
        if let Err(error) = db.audit().seal().await {
            tracing::warn!(%service, %error, "audit entries were not sealed, trying again");
        }
        rounds += 1;
        if rounds % HEADS_ROUNDS == 1 {
            tell_heads(&db).await;
        }
        if rounds.is_multiple_of(TRIM_ROUNDS) {
            match db.audit().retain().await {
                Ok(0) => {}
                Ok(entries) => tracing::info!(%service, entries, "old audit entries taken"),
                Err(error) => {
                    tracing::warn!(%service, %error, "old audit entries were not taken, trying again later");
                }
            }
        }
    }
    // What was written last must not wait for the next start.
    if held_until > tokio::time::Instant::now() {
        let _ = db.audit().seal().await;
        let _ = lease.release().await;
    }
}

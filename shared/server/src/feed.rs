//! What the change services of the suite have in common on the wire: cursors, headers, resume tokens, who sees what.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::StreamExt as _;
use regard_database::Database;
use regard_database::feed::snapshot::{SnapshotPage, Source};
use regard_database::feed::{ChangeRow, Cursor, FeedBatch};
use regard_proto::common::v1 as common;
use regard_types::{Caller, Fault, TenantId, Uuid};

use crate::caller::is_server;

use crate::ingest::{Answers, answers};

/// Whose changes a caller sees: its tenant's, or, for a server of the suite (the permission `change.read_all`), all.
#[must_use]
pub fn seen(caller: &Caller) -> Option<TenantId> {
    (!is_server(caller)).then_some(caller.tenant)
}

/// The epoch that a reader names; none where it names none.
///
/// # Errors
/// `FIELD_INVALID` for a text that is no UUID.
pub fn epoch(text: &str) -> Result<Option<Uuid>, Fault> {
    match text {
        "" => Ok(None),
        text => Uuid::try_parse(text)
            .map(Some)
            .map_err(|_| Fault::invalid("epoch", "must be a UUID")),
    }
}

/// The places that a reader names.
///
/// # Errors
/// `FIELD_INVALID` for a lane that no feed can have.
pub fn cursors(cursors: &[common::FeedCursor]) -> Result<Vec<Cursor>, Fault> {
    let cursor = |(index, cursor): (usize, &common::FeedCursor)| {
        let lane = u16::try_from(cursor.lane);
        Ok(Cursor {
            lane: lane.map_err(|_| {
                Fault::invalid(format!("cursors[{index}].lane"), "must be at most 65535")
            })?,
            position: cursor.position,
            nonce: cursor.nonce,
        })
    };
    cursors.iter().enumerate().map(cursor).collect()
}

/// A place on the wire.
#[must_use]
pub fn to_cursor(cursor: &Cursor) -> common::FeedCursor {
    common::FeedCursor {
        lane: u32::from(cursor.lane),
        position: cursor.position,
        nonce: cursor.nonce,
    }
}

/// What is the same for a change of any kind.
#[must_use]
pub fn to_header(row: &ChangeRow) -> common::ChangeHeader {
    common::ChangeHeader {
        lane: u32::from(row.lane),
        position: row.position,
        tenant_id: row.tenant.to_string(),
        record_id: row.record.to_string(),
        version: row.version,
        customer_id: row.customer.map(|id| id.to_string()).unwrap_or_default(),
        occurred_micros: row.occurred_at.0,
        recorded_micros: row.recorded_at.0,
        traceparent: row.trace.map(|trace| trace.to_string()).unwrap_or_default(),
    }
}

/// Where a snapshot goes on; none at its beginning.
///
/// # Errors
/// `TOKEN_INVALID` for a text that is no resume token.
pub fn resume(token: &str) -> Result<Option<Vec<u8>>, Fault> {
    if token.is_empty() {
        return Ok(None);
    }
    URL_SAFE_NO_PAD.decode(token).map(Some).map_err(|_| {
        Fault::invalid(
            "resume_token",
            "must be a token exactly as a response gave it, or none to begin",
        )
        .with_reason("TOKEN_INVALID")
        .meta("field", "resume_token")
    })
}

/// The resume token of a place in a snapshot.
#[must_use]
pub fn to_resume(place: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(place)
}

/// The tables of a service's records in the order of a snapshot, of the kinds named (of all if none is).
pub type Sources = Arc<dyn Fn(&[String]) -> Vec<Arc<dyn Source>> + Send + Sync>;

/// The change service of a package: its feed, and its records as a snapshot.
#[derive(Clone)]
pub struct Changes {
    db: Database,
    sources: Sources,
    /// Changes of one message at most, so that the largest ones stay below the message limit.
    batch: usize,
}

impl Changes {
    /// Of a store, with the tables of its snapshots and the most changes of one message.
    #[must_use]
    pub fn new(db: Database, sources: Sources, batch: usize) -> Self {
        Self { db, sources, batch }
    }

    /// Changes from the places that a reader names.
    ///
    /// # Errors
    /// As [`epoch`], [`cursors`] and the feed's `watch`.
    pub async fn watch<T: Send + 'static>(
        &self,
        caller: &Caller,
        (epoch_text, places): (&str, &[common::FeedCursor]),
        kinds: Vec<String>,
        to_wire: fn(&FeedBatch, Reader) -> Result<T, Fault>,
    ) -> Result<Answers<T>, Fault> {
        let reader = Reader::of(caller);
        let (epoch, cursors) = (epoch(epoch_text)?, cursors(places)?);
        let (feed, wanted) = (self.db.feed(), (seen(caller), kinds));
        let batches = feed.watch_kinds(epoch, cursors, wanted, self.batch).await?;
        Ok(answers(batches.map(move |batch| to_wire(&batch?, reader))))
    }

    /// All records from the beginning, or after a token. `to_wire` is told with each page the heads that go with it: all
    /// with the first one, none with another.
    ///
    /// # Errors
    /// As [`resume`] and the feed's `snapshot`.
    pub async fn snapshot<T: Send + 'static>(
        &self,
        caller: &Caller,
        token: &str,
        kinds: &[String],
        to_wire: fn(&SnapshotPage, &[Cursor], Reader) -> Result<T, Fault>,
    ) -> Result<Answers<T>, Fault> {
        let reader = Reader::of(caller);
        let (resume, sources) = (resume(token)?, (self.sources)(kinds));
        let feed = self.db.feed();
        let pages = feed
            .snapshot(sources, seen(caller), resume.as_deref(), self.batch)
            .await?;
        Ok(answers(pages.enumerate().map(move |(index, page)| {
            let page = page?;
            let heads = page.cursors.as_slice();
            to_wire(&page, if index == 0 { heads } else { &[] }, reader)
        })))
    }
}

/// Who reads a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// A service of the suite, which moves what it holds to the ids that came with an erasure.
    Suite,
    /// A caller of one tenant: it learns which ids are gone, not which ids the person's measures have since.
    Tenant,
}

impl Reader {
    fn of(caller: &Caller) -> Self {
        match seen(caller) {
            None => Self::Suite,
            Some(_) => Self::Tenant,
        }
    }

    /// Leaves out what this reader must not learn of an erasure.
    pub fn keep(self, erasure: &mut common::ErasureMeasures) {
        if self == Self::Suite {
            return;
        }
        for pair in erasure.customers.iter_mut().chain(&mut erasure.records) {
            pair.new_id.clear();
        }
    }
}

/// The measures of a change.
///
/// # Errors
/// INTERNAL if the feed holds something else.
pub fn measures<M: prost::Message + Default>(row: &ChangeRow) -> Result<M, Fault> {
    M::decode(row.measures.as_slice()).map_err(Fault::bug)
}

/// `ChangeApi` over [`Changes`], the change service of a package: `change_service!(feedback)`, or
/// `change_service!(customer, kinds)` where a reader may name kinds in that field.
#[macro_export]
macro_rules! change_service {
    ($package:ident $(, $kinds:ident)?) => {
        use $crate::feed::{Reader, measures, to_cursor, to_header, to_resume};
        use $crate::regard_database::feed::snapshot::SnapshotPage;
        use $crate::regard_database::feed::{ChangeRow, Cursor, FeedBatch};
        use $crate::regard_proto::$package::v1 as pb;
        use $crate::regard_types::Fault;
        use $crate::tonic::{Request, Response, Status};

        /// `ChangeService`.
        #[derive(Clone)]
        pub struct ChangeApi(pub $crate::feed::Changes);

        fn to_changes(rows: &[ChangeRow], reader: Reader) -> Result<Vec<pb::Change>, Fault> {
            let change = |row: &ChangeRow| {
                let mut measures: pb::Measures = measures(row)?;
                if let Some(pb::measures::Record::Erasure(erasure)) = &mut measures.record {
                    reader.keep(erasure);
                }
                Ok(pb::Change {
                    header: Some(to_header(row)),
                    measures: Some(measures),
                })
            };
            rows.iter().map(change).collect()
        }

        fn to_batch(
            batch: &FeedBatch,
            reader: Reader,
        ) -> Result<pb::WatchChangesResponse, Fault> {
            Ok(pb::WatchChangesResponse {
                epoch: batch.epoch.to_string(),
                lane: u32::from(batch.lane),
                from_position: batch.from,
                to_position: batch.to,
                to_nonce: batch.to_nonce,
                head_position: batch.head,
                changes: to_changes(&batch.changes, reader)?,
            })
        }

        fn to_page(
            page: &SnapshotPage,
            heads: &[Cursor],
            reader: Reader,
        ) -> Result<pb::SnapshotChangesResponse, Fault> {
            Ok(pb::SnapshotChangesResponse {
                epoch: page.epoch.to_string(),
                heads: heads.iter().map(to_cursor).collect(),
                changes: to_changes(&page.changes, reader)?,
                resume_token: to_resume(&page.resume),
                done: page.last,
            })
        }

        #[$crate::tonic::async_trait]
        impl pb::change_service_server::ChangeService for ChangeApi {
            type WatchChangesStream = $crate::Answers<pb::WatchChangesResponse>;

            async fn watch_changes(
                &self,
                request: Request<pb::WatchChangesRequest>,
            ) -> Result<Response<Self::WatchChangesStream>, Status> {
                let caller = $crate::caller(&request)?;
                let body = request.into_inner();
                let kinds = Vec::new();
                $(let kinds: Vec<String> = [kinds, body.$kinds].concat();)?
                let from = (body.epoch.as_str(), body.cursors.as_slice());
                let answers = self.0.watch(&caller, from, kinds, to_batch).await;
                answers.map(Response::new).map_err($crate::status)
            }

            type SnapshotChangesStream = $crate::Answers<pb::SnapshotChangesResponse>;

            async fn snapshot_changes(
                &self,
                request: Request<pb::SnapshotChangesRequest>,
            ) -> Result<Response<Self::SnapshotChangesStream>, Status> {
                let caller = $crate::caller(&request)?;
                let body = request.into_inner();
                let kinds: Vec<String> = Vec::new();
                $(let kinds: Vec<String> = [kinds, body.$kinds].concat();)?
                let token = body.resume_token.as_str();
                let answers = self.0.snapshot(&caller, token, &kinds, to_page).await;
                answers.map(Response::new).map_err($crate::status)
            }
        }
    };
}

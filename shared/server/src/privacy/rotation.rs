//! Replacing the key by which a tenant's personal data are sealed: asked for, looked at, and done in the background by
//! whichever replica holds the lease.

use std::time::Duration;

use regard_database::Command;
use regard_database::vault::rotation::{self, Rotation};
use regard_database::{Lease, StoreError};
use regard_proto::common::v1::{KeyRotation, KeyRotationState};
use regard_types::{Caller, Fault, Kind, RecordId, new_record_id};
use tokio_util::sync::CancellationToken;

use super::Privacy;
use crate::service::Job;
use crate::wire::timestamp;

/// How long a replica that died keeps the work from the others.
const KEEP: Duration = Duration::from_secs(6);
/// How often is looked for work besides being told of it.
const LOOK: Duration = Duration::from_secs(1);
/// Plans of a new key that may be overtaken by the tenant's first value or another rotation.
const TRIES: u32 = 8;
const KIND: &str = "key_rotation";

fn to_wire(rotation: &Rotation) -> KeyRotation {
    let state = match rotation.ended {
        Some(_) => KeyRotationState::Done,
        None => KeyRotationState::Running,
    };
    KeyRotation {
        id: rotation.id.to_string(),
        state: state.into(),
        former_key: i64::from(rotation.former),
        key: i64::from(rotation.key),
        resealed: rotation.resealed,
        create_time: Some(timestamp(rotation.created)),
        end_time: rotation.ended.map(timestamp),
    }
}

impl Privacy {
    /// Begins to replace the tenant's key; a repeat of the request gets the rotation of the first.
    ///
    /// # Errors
    /// `WRONG_STATE` while another rotation runs; as [`regard_database::Database::mutate`].
    pub async fn rotate(
        &self,
        caller: &Caller,
        command: Command<'_>,
    ) -> Result<KeyRotation, Fault> {
        for pause in 1..TRIES {
            match self.try_rotate(caller, command).await {
                Err(fault) if fault.kind == Kind::Busy => {
                    tokio::time::sleep(Duration::from_millis(u64::from(pause) * 10)).await;
                }
                done => return done,
            }
        }
        self.try_rotate(caller, command).await
    }

    async fn try_rotate(
        &self,
        caller: &Caller,
        command: Command<'_>,
    ) -> Result<KeyRotation, Fault> {
        let plan = self.vault.plan(caller.tenant).await?;
        let mut write = self.db.mutate(caller, command).await?;
        if let Some(answer) = write.repeated() {
            let id = answer.records.iter().find(|(kind, ..)| kind == KIND);
            let id = id.map(|(_, id, _)| *id);
            let id = id.ok_or_else(|| Fault::bug("a repeated rotation without its record"))?;
            let known = rotation::get(&write, caller.tenant, Some(id)).await?;
            return known
                .map(|rotation| to_wire(&rotation))
                .ok_or_else(|| Fault::not_found(KIND, id));
        }
        write.reserve(0).await?;
        let id = new_record_id(self.db.clock());
        let rotation = self.vault.begin(&write, &plan, id).await?;
        write.audit("privacy.rotate", id, None, None);
        if write.commit(vec![(KIND, id, 1)]).await?.is_some() {
            self.vault.started(&rotation);
        }
        Ok(to_wire(&rotation))
    }

    /// A rotation; the latest one if no id is given.
    ///
    /// # Errors
    /// `RECORD_UNKNOWN`.
    pub async fn rotation(&self, caller: &Caller, id: &str) -> Result<KeyRotation, Fault> {
        let id = match id {
            "" => None,
            id => Some(RecordId::parse(id).map_err(|_| Fault::invalid("id", "must be a UUID"))?),
        };
        let tx = self.db.read(caller).await?;
        let found = rotation::get(&tx, caller.tenant, id).await?;
        found.map(|rotation| to_wire(&rotation)).ok_or_else(|| {
            let id = id.map_or_else(|| "of this tenant".to_owned(), |id| id.to_string());
            Fault::not_found(KIND, id)
        })
    }

    /// Seals anew what is under former keys, and destroys these.
    #[must_use]
    pub fn job(&self) -> Job {
        let privacy = self.clone();
        Job::handing_back("key rotation", move |stop| {
            let privacy = privacy.clone();
            async move { privacy.work(&stop).await }
        })
    }

    async fn work(&self, stop: &CancellationToken) {
        let lease = self.db.lease("key rotation");
        while !stop.is_cancelled() {
            if let Err(fault) = self.round(&lease, stop).await {
                tracing::warn!(service = %self.db.service(), %fault, "a key rotation was interrupted, trying again");
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.vault.begun() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        release(&lease).await;
    }

    /// Goes on with every rotation. One that cannot, for a value that does not open, keeps no other tenant's waiting.
    async fn round(&self, lease: &Lease, stop: &CancellationToken) -> Result<(), Fault> {
        let mut failed = None;
        let mut after = None;
        loop {
            let running = self.vault.running(after).await?;
            let Some(last) = running.last() else {
                return failed.map_or(Ok(()), Err);
            };
            after = Some((last.created, last.id));
            for mut rotation in running {
                match self.go_on(&mut rotation, lease, stop).await {
                    Ok(true) => {}
                    Ok(false) => return Ok(()),
                    Err(fault) => {
                        tracing::warn!(service = %self.db.service(), tenant = %rotation.tenant, %fault, "a key rotation does not go on");
                        failed = Some(fault);
                    }
                }
            }
        }
    }

    /// To its end; false if the work is another's now, or stops.
    async fn go_on(
        &self,
        rotation: &mut Rotation,
        lease: &Lease,
        stop: &CancellationToken,
    ) -> Result<bool, Fault> {
        while rotation.ended.is_none() {
            if stop.is_cancelled() {
                return Ok(false);
            }
            let Some(term) = lease.take(KEEP).await? else {
                return Ok(false);
            };
            self.vault
                .advance(rotation, self.columns, (lease, term))
                .await?;
        }
        tracing::info!(
            service = %self.db.service(),
            tenant = %rotation.tenant,
            key = rotation.key,
            resealed = rotation.resealed,
            "a data key was replaced"
        );
        Ok(true)
    }
}

async fn release(lease: &Lease) {
    let done: Result<(), StoreError> = lease.release().await;
    if let Err(error) = done {
        tracing::debug!(%error, "a lease was not given back; it runs out by itself");
    }
}

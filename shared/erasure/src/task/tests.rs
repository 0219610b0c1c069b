#![allow(clippy::unwrap_used)]

use std::sync::Mutex;

use regard_database::{DatabaseSettings, Step};
use regard_testkit::TestStore;
use regard_types::{Clock, IdSecret, Service};

use super::*;

regard_testkit::on_both_engines!(an_account_that_is_not_taken_keeps_no_other_waiting);

async fn opened(store: &TestStore) -> Database {
    let settings = DatabaseSettings {
        migrate_url: store.migrate_url.clone(),
        ..DatabaseSettings::new(&store.url)
    };
    let steps = vec![Step::boxed("test_1_erasure", crate::tables)];
    let secret = IdSecret([7; 32]);
    let db = Database::open(&settings, Service::Feedback, steps, Clock::System, secret);
    db.await.unwrap()
}

async fn an_account_that_is_not_taken_keeps_no_other_waiting(store: TestStore) {
    let db = opened(&store).await;
    let tx = db.system().await.unwrap();
    let mut counts = Counts::default();
    counts.removed("record_text", 1);
    let all = u128::from(ROUND.unsigned_abs()) + 5;
    for erasure in 1..=all {
        let of = (
            TenantId(Uuid::from_u128(erasure % 3)),
            Uuid::from_u128(erasure),
        );
        let at = Micros(i64::try_from(erasure).unwrap());
        note(&tx, of, &counts, (Feeds::CUSTOMER, Feeds::CUSTOMER), at)
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
    let told = Mutex::new(Vec::new());
    // All but the last are refused, one as unknown: the customer service is younger than it.
    let deliver = |_, erasure: Uuid, _| {
        let answer = match erasure.as_u128() {
            2 => Err(Fault::not_found("erasure", erasure)),
            n if n < all => Err(Fault::down("the customer service")),
            _ => {
                told.lock().unwrap().push(erasure);
                Ok(())
            }
        };
        async move { answer }
    };
    let mut disk = Disk::default();
    let done = round(&db, &deliver, &mut disk).await.unwrap();
    let failed = usize::try_from(all).unwrap() - 2;
    assert_eq!(done, Round { told: 2, failed });
    assert_eq!(*told.lock().unwrap(), [Uuid::from_u128(all)]);
    // What was cleared from the disk is not cleared again, and who was told is told no more.
    let cleared = disk.rest;
    let done = round(&db, &deliver, &mut disk).await.unwrap();
    assert_eq!(done, Round { told: 0, failed });
    assert_eq!(disk.rest, cleared);
    db.close().await;
}

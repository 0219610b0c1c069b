//! A key rotation outlives kills of the suite: it goes on where it stopped, while callers write, and every value opens.

use std::time::{Duration, Instant};

use regard_client::Client;
use regard_proto::common::v1::KeyRotation;
use regard_proto::customer::v1 as customer;
use regard_testkit::{TestStore, free_port, on_both_engines};
use regard_tests::child::{Process, client_at};
use regard_tests::plan::Plan;
use regard_tests::sized;
use regard_tests::values::{customer_ref, key};
use regard_tests::world::until;

on_both_engines!(a_rotation_outlives_kills);

const PROGRAM: &str = env!("CARGO_BIN_EXE_suite");

fn row(n: usize) -> customer::CustomerRow {
    customer::CustomerRow {
        customer: Some(customer::Customer {
            key: Some(key(&format!("c{n}"))),
            display_name: format!("Person {n}"),
            email: format!("p{n}@example.org"),
            ..Default::default()
        }),
        ..Default::default()
    }
}

async fn ingest(client: &Client, rows: std::ops::Range<usize>) -> Result<(), tonic::Status> {
    let all: Vec<_> = rows.map(row).collect();
    let batches: Vec<_> = all
        .chunks(1_000)
        .map(|rows| customer::IngestCustomersRequest {
            rows: rows.to_vec(),
            ..Default::default()
        })
        .collect();
    let stream = tokio_stream::iter(batches);
    let mut answers = client
        .customers()
        .ingest_customers(stream)
        .await?
        .into_inner();
    while let Some(answer) = answers.message().await? {
        assert!(answer.result.unwrap_or_default().rejected.is_empty());
    }
    Ok(())
}

async fn start(plan: &Plan) -> Process {
    let plan = plan.clone();
    tokio::task::spawn_blocking(move || Process::start(PROGRAM, &plan))
        .await
        .unwrap()
}

async fn latest(client: &Client) -> Option<KeyRotation> {
    let request = customer::GetKeyRotationRequest::default();
    let answer = client.privacy().get_key_rotation(request).await.ok()?;
    answer.into_inner().rotation
}

async fn a_rotation_outlives_kills(store: TestStore) {
    let people = sized(12_000, 60_000);
    let plan = Plan {
        customer: store.url.clone(),
        listen: format!("127.0.0.1:{}", free_port()),
        ..Plan::default()
    };
    let mut process = start(&plan).await;
    let client = client_at(&process.address, "default");
    ingest(&client, 0..people).await.unwrap();
    let request = customer::RotateDataKeysRequest {
        request_id: "once".to_owned(),
        ..Default::default()
    };
    let asked = client
        .privacy()
        .rotate_data_keys(request.clone())
        .await
        .unwrap();
    let asked = asked.into_inner().rotation.unwrap();
    // Killed at once, and again each time that some progress was seen, until it is done.
    process.kill();
    process = start(&plan).await;
    let (mut kills, mut seen) = (1, 0);
    let began = Instant::now();
    let done = loop {
        assert!(began.elapsed() < Duration::from_secs(120), "{kills} kills");
        let Some(now) = latest(&client).await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        assert_eq!(now.id, asked.id);
        assert!(now.resealed >= seen, "what was done is not forgotten");
        if now.end_time.is_some() {
            break now;
        }
        if now.resealed > seen && kills < 3 {
            seen = now.resealed;
            process.kill();
            process = start(&plan).await;
            kills += 1;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    assert_eq!(usize::try_from(done.resealed).unwrap(), people);
    // A repeat of the request is told of the same rotation, and the next one writes while values are sealed anew.
    let again = client.privacy().rotate_data_keys(request).await.unwrap();
    assert_eq!(again.into_inner().rotation.unwrap(), done);
    let next = customer::RotateDataKeysRequest::default();
    client.privacy().rotate_data_keys(next).await.unwrap();
    ingest(&client, people..people + 3_000).await.unwrap();
    until("the second rotation", || async {
        latest(&client).await?.end_time.map(drop)
    })
    .await;
    for n in (0..people + 3_000).step_by(97) {
        let request = customer::GetCustomerRequest {
            customer: Some(customer_ref(&format!("c{n}"))),
        };
        let found = client
            .customers()
            .get_customer(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(found.customer.unwrap().email, format!("p{n}@example.org"));
    }
}

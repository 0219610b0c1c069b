//! Fits as operations: the numbers on real data, who serves, crashes, stops, repeats; on both engines.
#![recursion_limit = "256"]
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;
mod market;

use std::time::Duration;

use common::day;
use market::{Market, core, data};
use prost::Message as _;
use regard_database::Command;
use regard_proto::google::longrunning::operation::Result as Ended;
use regard_proto::scoring::v1 as pb;
use regard_scoring::model::domain::ModelKind;
use regard_scoring::operation::domain::{Operation, Progress, State, Task};
use regard_scoring::operation::{self, api::to_wire, app};
use regard_scoring::{group, model};
use regard_server::CancellationToken;
use regard_testkit::{TestStore, on_both_engines};
use regard_types::{Caller, Day, Micros, Uuid};

on_both_engines!(
    cdnow_fits_are_the_reference,
    too_little_data_is_said,
    a_repeat_is_the_same_operation,
    a_dead_replica_is_replaced_and_a_stop_is_kept,
    whoever_dies_or_is_stopped_in_between_leaves_whole_work,
    another_tenant_sees_nothing
);

fn command(request_id: &str) -> Command<'_> {
    Command {
        method: "FitModel",
        request_id,
        digest: [1; 32],
        validate_only: false,
    }
}

async fn fit(market: &Market, kind: ModelKind, as_of: Option<Day>) -> Operation {
    let asked = app::ask(
        &market.core,
        &market.caller,
        command(""),
        Task::Fit(kind, as_of),
    )
    .await
    .unwrap();
    app::wait(
        &market.core,
        &market.caller,
        asked.id,
        Duration::from_secs(60),
    )
    .await
    .unwrap()
}

fn model_of(operation: &Operation) -> pb::Model {
    match to_wire(operation).unwrap().result {
        Some(Ended::Response(any)) => {
            assert_eq!(any.type_url, "type.googleapis.com/regard.scoring.v1.Model");
            pb::Model::decode(any.value.as_slice()).unwrap()
        }
        other => panic!("{other:?}"),
    }
}

fn reference() -> serde_json::Value {
    let all: serde_json::Value = serde_json::from_str(&data("reference/cdnow.json")).unwrap();
    all["from_orders_exact_days"].clone()
}

fn equal(found: &[pb::Estimate], expected: &serde_json::Value) {
    for e in found {
        let name = if e.name == "gamma" { "v" } else { &e.name };
        let value = expected["params"][name].as_f64().unwrap();
        assert!(
            (e.value - value).abs() <= 2e-3 * value,
            "{name}: {}, expected {value}",
            e.value
        );
        assert!(e.standard_error.is_some_and(|s| s > 0.0));
    }
}

fn near(found: f64, expected: &serde_json::Value, within: f64) {
    let expected = expected.as_f64().unwrap();
    assert!(
        (found - expected).abs() <= within * expected.abs(),
        "{found}, expected {expected}"
    );
}

async fn cdnow_fits_are_the_reference(store: TestStore) {
    let market = Market::open(&store, Some("1998-06-30")).await;
    market.cdnow().await;
    let job = tokio::spawn(operation::run(
        market.core.clone(),
        CancellationToken::new(),
    ));
    let reference = reference();
    let early = Some(day("1997-09-30"));
    for (kind, name) in [
        (ModelKind::Bgnbd, "bgnbd"),
        (ModelKind::Mbgnbd, "mbgnbd"),
        (ModelKind::GammaGamma, "gamma_gamma"),
    ] {
        let model = model_of(&fit(&market, kind, early).await);
        equal(&model.parameters, &reference[name]);
        near(model.log_likelihood.unwrap(), &reference[name]["LL"], 1e-6);
        assert!(model.serving && model.grade != 0 && !model.reasons.is_empty());
        assert_eq!(
            model.n,
            if kind == ModelKind::GammaGamma {
                946
            } else {
                2357
            }
        );
        let hold_out = model.hold_out.unwrap();
        assert!(
            hold_out.log_score.is_finite()
                && hold_out.serving_log_score.is_none()
                && !hold_out.groups.is_empty()
        );
    }
    // Half of the observed time is held out: 39 weeks, so that the forecast is that of the end of September.
    let model = model_of(&fit(&market, ModelKind::Bgnbd, None).await);
    let hold_out = model.hold_out.unwrap();
    equal(&hold_out.parameters, &reference["bgnbd"]);
    let fact = &reference["holdout_39_weeks"];
    near(hold_out.predicted_total, &fact["predicted_total"], 2e-3);
    near(hold_out.actual_total, &fact["actual_total"], 1e-12);
    near(hold_out.rmse, &fact["rmse"], 2e-3);
    near(hold_out.correlation.unwrap(), &fact["pearson"], 2e-3);
    near(hold_out.auc.unwrap(), &fact["auc_of_1_minus_P0_39w"], 2e-3);
    assert_eq!((hold_out.weeks, hold_out.customers), (39.0, 2357));
    assert_eq!(
        hold_out.groups.iter().map(|g| g.customers).sum::<i64>(),
        2357
    );
    // The serving model was fitted to nothing of the hold-out: it is compared, and is as good.
    assert!((hold_out.serving_log_score.unwrap() - hold_out.log_score).abs() < 1e-6);
    assert!(model.serving);
    // A fit of an older day is kept but does not serve.
    let model = model_of(&fit(&market, ModelKind::Bgnbd, early).await);
    assert!(
        !model.serving && model.reasons.iter().any(|r| r.contains("later data")),
        "{:?}",
        model.reasons
    );
    let model = model_of(&fit(&market, ModelKind::GammaGamma, None).await);
    let hold_out = model.hold_out.unwrap();
    assert!(
        (hold_out.predicted_total / hold_out.actual_total - 1.0).abs() < 0.2,
        "{hold_out:?}"
    );
    let rfm = model_of(&fit(&market, ModelKind::Rfm, None).await);
    assert_eq!((rfm.parameters.len(), rfm.n), (12, 2357));
    assert_eq!(rfm.parameters.first().map(|p| p.name.as_str()), Some("r1"));
    let serving = model::app::get(&market.core, &market.caller, None, Some(ModelKind::Bgnbd))
        .await
        .unwrap();
    assert_eq!(serving.as_of, day("1998-06-30"));
    // All scores anew.
    let asked = app::ask(&market.core, &market.caller, command(""), Task::Rescore)
        .await
        .unwrap();
    let done = app::wait(
        &market.core,
        &market.caller,
        asked.id,
        Duration::from_secs(60),
    )
    .await
    .unwrap();
    let Some(Ended::Response(any)) = to_wire(&done).unwrap().result else {
        panic!("{done:?}")
    };
    assert_eq!(
        pb::RescoreAllResult::decode(any.value.as_slice())
            .unwrap()
            .customers,
        2357
    );
    assert_eq!((done.progress.done, done.progress.total), (2357, 2357));
    job.abort();
    let _ = job.await;
    market.close().await;
}

async fn too_little_data_is_said(store: TestStore) {
    let market = Market::open(&store, Some("1998-06-30")).await;
    market.put(&[common::order(1, "1998-06-01", 100)]).await;
    let job = tokio::spawn(operation::run(
        market.core.clone(),
        CancellationToken::new(),
    ));
    let ended = fit(&market, ModelKind::Bgnbd, None).await;
    assert_eq!(ended.state, State::Failed);
    let Some(Ended::Error(status)) = to_wire(&ended).unwrap().result else {
        panic!("{ended:?}")
    };
    assert_eq!(status.code, i32::from(tonic::Code::FailedPrecondition));
    let info = status
        .details
        .iter()
        .find(|d| d.type_url.ends_with("ErrorInfo"))
        .unwrap();
    let info = tonic_types::pb::ErrorInfo::decode(info.value.as_slice()).unwrap();
    assert_eq!(info.reason, "MODEL_UNFIT");
    assert_eq!(info.metadata["model"], "bgnbd");
    assert_eq!(info.metadata["customers"], "1");
    let missing = model::app::get(&market.core, &market.caller, None, Some(ModelKind::Bgnbd))
        .await
        .unwrap_err();
    assert_eq!(missing.reason, "MODEL_MISSING");
    // Customers that are not known to be new after the start of records are left out.
    let first = common::day("1998-05-01").0;
    market
        .run(
            "UPDATE tenant_state SET history_start = $2 WHERE tenant = $1",
            first.into(),
        )
        .await;
    let ended = fit(&market, ModelKind::Rfm, None).await;
    assert_eq!(ended.state, State::Failed);
    job.abort();
    let _ = job.await;
    market.close().await;
}

async fn a_repeat_is_the_same_operation(store: TestStore) {
    let market = Market::open(&store, None).await;
    let task = Task::Fit(ModelKind::Rfm, None);
    let first = app::ask(&market.core, &market.caller, command("once"), task)
        .await
        .unwrap();
    let second = app::ask(&market.core, &market.caller, command("once"), task)
        .await
        .unwrap();
    assert_eq!(first.id, second.id);
    let other = Command {
        digest: [2; 32],
        ..command("once")
    };
    assert_eq!(
        app::ask(&market.core, &market.caller, other, task)
            .await
            .unwrap_err()
            .reason,
        "REQUEST_ID_REUSED"
    );
    let only = Command {
        validate_only: true,
        ..command("")
    };
    let checked = app::ask(&market.core, &market.caller, only, task)
        .await
        .unwrap();
    assert_eq!(
        app::get(&market.core, &market.caller, checked.id)
            .await
            .unwrap_err()
            .reason,
        "OPERATION_UNKNOWN"
    );
    market.close().await;
}

async fn a_dead_replica_is_replaced_and_a_stop_is_kept(store: TestStore) {
    let market = Market::open(&store, Some("1998-06-30")).await;
    market.cdnow().await;
    let tenant = market.caller.tenant;
    let asked = app::ask(&market.core, &market.caller, command(""), Task::Rescore)
        .await
        .unwrap();
    // A replica had scored half and died.
    let tx = market.core.db.system().await.unwrap();
    let half = Uuid::from_u128(1200);
    let progress = Progress {
        done: 1000,
        total: 2357,
        step: "scoring".into(),
        after: half,
    };
    operation::store::progress(&tx, tenant, asked.id, &progress, Micros(1))
        .await
        .unwrap();
    let behind = group::store::canonical_of(
        &tx,
        tenant,
        &(1201..2400).map(Uuid::from_u128).collect::<Vec<_>>(),
    )
    .await
    .unwrap()
    .len();
    tx.commit().await.unwrap();
    // Two others see it; one of them does it, from there on.
    let second = core(&store).await;
    let jobs = [
        tokio::spawn(operation::run(
            market.core.clone(),
            CancellationToken::new(),
        )),
        tokio::spawn(operation::run(second.clone(), CancellationToken::new())),
    ];
    let done = app::wait(
        &market.core,
        &market.caller,
        asked.id,
        Duration::from_secs(60),
    )
    .await
    .unwrap();
    assert_eq!(done.state, State::Done);
    assert_eq!(done.progress.done, 1000 + i64::try_from(behind).unwrap());
    for job in jobs {
        job.abort();
        let _ = job.await;
    }
    // Stopped before anybody began.
    let asked = app::ask(
        &market.core,
        &market.caller,
        command(""),
        Task::Fit(ModelKind::Bgnbd, None),
    )
    .await
    .unwrap();
    assert!(
        app::cancel(&market.core, &market.caller, command(""), asked.id)
            .await
            .unwrap()
            .cancel
    );
    let job = tokio::spawn(operation::run(second.clone(), CancellationToken::new()));
    let ended = app::wait(
        &market.core,
        &market.caller,
        asked.id,
        Duration::from_secs(60),
    )
    .await
    .unwrap();
    assert_eq!(ended.state, State::Cancelled);
    let Some(Ended::Error(status)) = to_wire(&ended).unwrap().result else {
        panic!("{ended:?}")
    };
    assert_eq!(status.code, i32::from(tonic::Code::Cancelled));
    // Stopping what has ended changes nothing.
    assert_eq!(
        app::cancel(&market.core, &market.caller, command(""), asked.id)
            .await
            .unwrap()
            .state,
        State::Cancelled
    );
    job.abort();
    let _ = job.await;
    second.db.close().await;
    market.close().await;
}

async fn another_tenant_sees_nothing(store: TestStore) {
    let market = Market::open(&store, None).await;
    let asked = app::ask(&market.core, &market.caller, command(""), Task::Rescore)
        .await
        .unwrap();
    let other = Caller::new(market.secret.tenant_id("other"), "other", "tester");
    assert_eq!(
        app::get(&market.core, &other, asked.id)
            .await
            .unwrap_err()
            .reason,
        "OPERATION_UNKNOWN"
    );
    assert_eq!(
        app::cancel(&market.core, &other, command(""), asked.id)
            .await
            .unwrap_err()
            .reason,
        "OPERATION_UNKNOWN"
    );
    assert!(
        !app::get(&market.core, &market.caller, asked.id)
            .await
            .unwrap()
            .cancel
    );
    market.close().await;
}

async fn reached(market: &Market, id: Uuid, done: i64) -> Operation {
    loop {
        let now = app::get(&market.core, &market.caller, id).await.unwrap();
        if now.progress.done >= done || !now.state.open() {
            return now;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// How many customers are scored for the tenant's day.
async fn scored(market: &Market) -> i64 {
    let tx = market.core.db.read_system().await.unwrap();
    let sql = "SELECT count(*) FROM summary WHERE tenant = $1 AND as_of IS NOT NULL";
    let row = tx
        .fetch_one(sql, vec![market.caller.tenant.0.into()])
        .await
        .unwrap();
    row.unwrap().get(0).unwrap()
}

async fn whoever_dies_or_is_stopped_in_between_leaves_whole_work(store: TestStore) {
    let market = Market::open(&store, Some("1998-06-30")).await;
    market.cdnow().await;
    let ask = || app::ask(&market.core, &market.caller, command(""), Task::Rescore);
    let wait = |id| app::wait(&market.core, &market.caller, id, Duration::from_secs(60));
    let asked = ask().await.unwrap();
    let job = tokio::spawn(operation::run(
        market.core.clone(),
        CancellationToken::new(),
    ));
    reached(&market, asked.id, 500).await;
    job.abort();
    let _ = job.await;
    // The lease of the dead runs out first.
    let second = core(&store).await;
    let job = tokio::spawn(operation::run(second.clone(), CancellationToken::new()));
    let done = wait(asked.id).await.unwrap();
    assert_eq!((done.state, done.progress.done), (State::Done, 2357));
    assert_eq!(scored(&market).await, 2357);

    let asked = ask().await.unwrap();
    reached(&market, asked.id, 500).await;
    app::cancel(&market.core, &market.caller, command(""), asked.id)
        .await
        .unwrap();
    let ended = wait(asked.id).await.unwrap();
    // Whoever asks after the last page asks too late.
    let late = ended.state == State::Done && ended.progress.done == 2357;
    let stopped = ended.state == State::Cancelled && (500..2357).contains(&ended.progress.done);
    assert!(late || stopped, "{ended:?}");
    // The next is taken up.
    let asked = ask().await.unwrap();
    assert_eq!(wait(asked.id).await.unwrap().state, State::Done);
    job.abort();
    let _ = job.await;
    second.db.close().await;
    market.close().await;
}

//! Erasing a person.

use std::collections::BTreeSet;

use regard_erasure::{public_key, sign, verify};
use regard_proto::customer::v1::measures::Record;
use regard_testkit::TestStore;
use regard_types::Uuid;

use super::*;

regard_testkit::on_both_engines!(
    a_person_goes_and_the_measures_stay,
    what_names_the_person_is_refused,
    an_erasure_is_told_in_the_feed_and_in_a_snapshot,
    reports_are_checked_and_complete_the_receipt,
    nothing_stays_under_an_old_id_while_others_write,
    one_of_many_callers_erases
);

fn person(external_id: &str) -> pb::Customer {
    pb::Customer {
        key: Some(key(external_id)),
        display_name: "Ada Marked".to_owned(),
        email: "ada.marked@example.org".to_owned(),
        phone: "+49 30 1234567".to_owned(),
        attributes: [("age_band".to_owned(), "30-39".to_owned())].into(),
        ..pb::Customer::default()
    }
}

impl Client {
    async fn person(&mut self, external_id: &str) -> pb::Customer {
        let request = pb::CreateCustomerRequest {
            customer: Some(person(external_id)),
            ..pb::CreateCustomerRequest::default()
        };
        let answer = self.customers.create_customer(request).await.unwrap();
        answer.into_inner().customer.unwrap()
    }

    async fn erase(&mut self, external_id: &str) -> Result<common::Erasure, Status> {
        let request = pb::ErasePersonalDataRequest {
            customer: Some(customer_ref(external_id)),
            reason: "request".to_owned(),
            ..pb::ErasePersonalDataRequest::default()
        };
        let answer = self.privacy.erase_personal_data(request).await?;
        Ok(answer.into_inner().erasure.unwrap())
    }

    async fn erasure(&mut self, id: &str) -> common::Erasure {
        let request = pb::GetErasureRequest { id: id.to_owned() };
        let answer = self.privacy.get_erasure(request).await.unwrap();
        answer.into_inner().erasure.unwrap()
    }

    async fn merged(&mut self, into: &str, from: &str) {
        let request = pb::MergeCustomersRequest {
            into: Some(customer_ref(into)),
            from: Some(customer_ref(from)),
            evidence: "same_email".to_owned(),
            ..pb::MergeCustomersRequest::default()
        };
        self.customers.merge_customers(request).await.unwrap();
    }

    async fn refunded(&mut self, external_id: &str, customer: &str, order: &str) {
        let request = pb::RecordRefundRequest {
            refund: Some(pb::Refund {
                key: Some(key(external_id)),
                customer: Some(customer_ref(customer)),
                order: Some(record_ref(order)),
                refund_time: Some(at(60)),
                amount: Some(usd(50)),
                ..pb::Refund::default()
            }),
            ..pb::RecordRefundRequest::default()
        };
        self.orders.record_refund(request).await.unwrap();
    }
}

async fn a_person_goes_and_the_measures_stay(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    client.person("ada").await;
    let old = client.person("ada-2").await;
    client.person("bob").await;
    client.merged("ada", "ada-2").await;
    let unmerge = pb::UnmergeCustomersRequest {
        customer: Some(customer_ref("ada-2")),
        ..pb::UnmergeCustomersRequest::default()
    };
    client.customers.unmerge_customers(unmerge).await.unwrap();
    client.merged("ada", "ada-2").await;
    client
        .ingest(vec![
            row("1", "ada", 500),
            row("2", "ada-2", 700),
            row("3", "bob", 900),
        ])
        .await;
    client.ingest(vec![row("1", "ada", 600)]).await;
    client.refunded("r", "ada", "1").await;
    let sums = "SELECT CAST(sum(gross) AS bigint) FROM sales_order";
    let before = (
        world.count(sums).await,
        world
            .count("SELECT count(*) FROM sales_order_history")
            .await,
    );

    let dry = pb::ErasePersonalDataRequest {
        customer: Some(customer_ref("ada-2")),
        reason: "request".to_owned(),
        validate_only: true,
        ..pb::ErasePersonalDataRequest::default()
    };
    client.privacy.erase_personal_data(dry).await.unwrap();
    assert_eq!(world.count("SELECT count(*) FROM erasure").await, 0);

    let erasure = client.erase("ada-2").await.unwrap();
    assert_eq!(erasure.state(), common::ErasureState::Running);
    assert_eq!(
        world.count("SELECT count(*) FROM customer_identity").await,
        1,
        "only Bob is known by name"
    );
    let keys = "SELECT count(*) FROM customer WHERE key_external IS NOT NULL";
    assert_eq!(world.count(keys).await, 1);
    let orders = "SELECT count(*) FROM sales_order WHERE key_external IS NOT NULL";
    assert_eq!(world.count(orders).await, 1);
    let after = (
        world.count(sums).await,
        world
            .count("SELECT count(*) FROM sales_order_history")
            .await,
    );
    assert_eq!(after, before);
    // All that was Ada's hangs together under the new ids.
    let joined = "SELECT count(*) FROM sales_order o JOIN customer c ON c.tenant = o.tenant AND c.id = o.customer";
    assert_eq!(world.count(joined).await, 3);
    let refunds = "SELECT count(*) FROM refund r JOIN sales_order o ON o.tenant = r.tenant AND o.id = r.order_id AND o.customer = r.customer";
    assert_eq!(world.count(refunds).await, 1);
    let histories = "SELECT count(*) FROM sales_order_history h JOIN sales_order o ON o.tenant = h.tenant AND o.id = h.id";
    assert_eq!(world.count(histories).await, 1);
    let edges = "SELECT count(*) FROM merge_edge e JOIN customer c ON c.tenant = e.tenant AND c.id = e.id JOIN customer i ON i.tenant = e.tenant AND i.id = e.into_id";
    assert_eq!(world.count(edges).await, 1);

    let edges = "SELECT count(*) FROM merge_edge WHERE evidence = ''";
    assert_eq!(world.count(edges).await, 1);
    let edges = "SELECT count(*) FROM merge_edge_history";
    assert!(world.count(edges).await > 0);
    let edges = "SELECT count(*) FROM merge_edge_history WHERE evidence <> ''";
    assert_eq!(world.count(edges).await, 0);

    // The ids of before lead nowhere.
    let request = pb::GetCustomerRequest {
        customer: Some(customer_ref("ada")),
    };
    let status = client.customers.get_customer(request).await.unwrap_err();
    assert_eq!(reason(&status, Code::NotFound), "CUSTOMER_UNKNOWN");
    let request = pb::ListOrdersRequest {
        customer: Some(common::CustomerRef {
            customer: Some(common::customer_ref::Customer::Id(old.id)),
        }),
        ..pb::ListOrdersRequest::default()
    };
    let listed = client.orders.list_orders(request).await.unwrap();
    assert!(listed.into_inner().orders.is_empty());
    let request = pb::ListCustomersRequest {
        email: "ada.marked@example.org".to_owned(),
        ..pb::ListCustomersRequest::default()
    };
    let listed = client.customers.list_customers(request).await.unwrap();
    assert_eq!(
        listed.into_inner().customers.len(),
        1,
        "Bob has the same address here"
    );
}

async fn what_names_the_person_is_refused(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    client.person("ada").await;
    client.person("bob").await;
    let first = pb::RecordOrderRequest {
        order: Some(order("1", "ada", 500, 0)),
        request_id: request_id(),
        ..pb::RecordOrderRequest::default()
    };
    client.orders.record_order(first.clone()).await.unwrap();
    client.refunded("r", "ada", "1").await;
    let erasure = client.erase("ada").await.unwrap();
    let erased = |status: Status| reason(&status, Code::FailedPrecondition);

    assert_eq!(client.erase("ada").await.unwrap().id, erasure.id);
    let create = pb::CreateCustomerRequest {
        customer: Some(person("ada")),
        ..pb::CreateCustomerRequest::default()
    };
    let status = client.customers.create_customer(create).await.unwrap_err();
    assert_eq!(erased(status), "CUSTOMER_ERASED");
    let status = client.record(order("2", "ada", 5, 0)).await.unwrap_err();
    assert_eq!(erased(status), "CUSTOMER_ERASED");
    let status = client.record(order("1", "bob", 5, 0)).await.unwrap_err();
    assert_eq!(erased(status), "RECORD_ERASED");
    let status = client.orders.record_order(first).await.unwrap_err();
    assert_eq!(erased(status), "RECORD_ERASED", "a repeat of what is gone");
    let request = pb::MergeCustomersRequest {
        into: Some(customer_ref("bob")),
        from: Some(customer_ref("ada")),
        ..pb::MergeCustomersRequest::default()
    };
    let status = client.customers.merge_customers(request).await.unwrap_err();
    assert_eq!(erased(status), "CUSTOMER_ERASED");
    let request = pb::UpdateCustomerRequest {
        target: Some(customer_ref("ada")),
        customer: Some(person("ada")),
        ..pb::UpdateCustomerRequest::default()
    };
    let status = client.customers.update_customer(request).await.unwrap_err();
    assert_eq!(erased(status), "CUSTOMER_ERASED");
    let request = pb::VoidOrderRequest {
        target: Some(record_ref("1")),
        ..pb::VoidOrderRequest::default()
    };
    let status = client.orders.void_order(request).await.unwrap_err();
    assert_eq!(erased(status), "RECORD_ERASED");

    // A resend of everything rejects what is the person's, and nothing else.
    let result = client
        .ingest(vec![
            row("1", "ada", 500),
            row("9", "bob", 100),
            row("8", "ada", 1),
        ])
        .await;
    assert_eq!(counts(&result), (1, 0, 2));
    let reasons: BTreeSet<_> = rejected(&result)
        .into_iter()
        .map(|(_, reason)| reason)
        .collect();
    assert_eq!(
        reasons,
        BTreeSet::from([common::ErrorReason::CustomerErased])
    );
    let rows = ["ada", "bob"].map(|name| pb::CustomerRow {
        customer: Some(person(name)),
        revision: 0,
    });
    let result = client.ingest_customers(rows.to_vec()).await;
    assert_eq!(counts(&result), (0, 1, 1));
    assert_eq!(
        rejected(&result),
        [(0, common::ErrorReason::CustomerErased)]
    );
    // Many rows at once take another way.
    let many = (0..50).map(|n| row(&format!("m{n}"), if n % 2 == 0 { "ada" } else { "bob" }, 5));
    let result = client.ingest(many.collect()).await;
    assert_eq!(counts(&result), (25, 0, 25));
    assert_eq!(
        world.count("SELECT count(*) FROM customer_identity").await,
        1
    );

    let request = pb::ErasePersonalDataRequest {
        customer: Some(customer_ref("never-seen")),
        reason: "request".to_owned(),
        ..pb::ErasePersonalDataRequest::default()
    };
    let status = client
        .privacy
        .erase_personal_data(request.clone())
        .await
        .unwrap_err();
    assert_eq!(reason(&status, Code::NotFound), "CUSTOMER_UNKNOWN");
    let request = pb::ErasePersonalDataRequest {
        include_unknown: true,
        ..request
    };
    client.privacy.erase_personal_data(request).await.unwrap();
    let status = client
        .record(order("7", "never-seen", 5, 0))
        .await
        .unwrap_err();
    assert_eq!(erased(status), "CUSTOMER_ERASED");
    // Another tenant's customers of the same keys are other people.
    let mut operator = world.operator();
    let tenant = pb::CreateTenantRequest {
        tenant: Some(pb::Tenant {
            name: "other".to_owned(),
            ..pb::Tenant::default()
        }),
        ..pb::CreateTenantRequest::default()
    };
    operator.tenants.create_tenant(tenant).await.unwrap();
    let mut other = world.client_of("other");
    other.person("ada").await;
    let request = pb::GetErasureRequest { id: erasure.id };
    let status = other.privacy.get_erasure(request).await.unwrap_err();
    assert_eq!(reason(&status, Code::NotFound), "RECORD_UNKNOWN");
}

/// The erasures of a message's changes.
fn told(changes: &[pb::Change]) -> Vec<common::ErasureMeasures> {
    let one = |change: &pb::Change| match change.measures.as_ref()?.record.as_ref()? {
        Record::Erasure(erasure) => Some(erasure.clone()),
        _ => None,
    };
    changes.iter().filter_map(one).collect()
}

async fn an_erasure_is_told_in_the_feed_and_in_a_snapshot(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    let old = client.person("ada").await;
    let rows = (0..20).map(|n| row(&format!("o{n}"), "ada", n));
    client.ingest(rows.collect()).await;
    client.erase("ada").await.unwrap();
    let mut operator = world.operator();
    let request = pb::WatchChangesRequest {
        kinds: vec!["erasure".to_owned()],
        ..pb::WatchChangesRequest::default()
    };
    let mut stream = operator
        .changes
        .watch_changes(request)
        .await
        .unwrap()
        .into_inner();
    let erasure = loop {
        let message = stream.message().await.unwrap().unwrap();
        let found = told(&message.changes);
        assert_eq!(
            found.len(),
            message.changes.len(),
            "only what was asked for"
        );
        if let Some(erasure) = found.into_iter().next() {
            let head = erasure
                .heads
                .iter()
                .find(|h| h.lane == message.lane)
                .unwrap();
            assert!(head.position >= message.to_position);
            break erasure;
        }
    };
    assert_eq!((erasure.part, erasure.parts), (1, 1));
    assert_eq!(erasure.customers.len(), 1);
    assert_eq!(erasure.customers[0].old_id, old.id);
    assert_eq!(erasure.records.len(), 20);
    let new: BTreeSet<&str> = erasure
        .records
        .iter()
        .map(|pair| pair.new_id.as_str())
        .collect();
    assert_eq!(new.len(), 20);

    let request = pb::SnapshotChangesRequest::default();
    let mut stream = operator
        .changes
        .snapshot_changes(request)
        .await
        .unwrap()
        .into_inner();
    let mut changes = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        changes.extend(message.changes);
    }
    let again = told(&changes);
    assert_eq!(again.len(), 1);
    told_to_a_tenant(&mut client, &erasure).await;
    assert_eq!(again[0].customers, erasure.customers);
    let ids: BTreeSet<String> = changes
        .iter()
        .flat_map(|change| {
            let header = change.header.clone().unwrap();
            [header.record_id, header.customer_id]
        })
        .collect();
    assert!(!ids.contains(&old.id), "no row names the old id");
    assert!(new.iter().all(|id| ids.contains(*id)));
}

/// A caller of the tenant learns which ids are gone, and not where their records went.
async fn told_to_a_tenant(client: &mut Client, whole: &common::ErasureMeasures) {
    let olds = |pairs: &[common::Relabel]| -> Vec<String> {
        assert!(pairs.iter().all(|pair| pair.new_id.is_empty()), "{pairs:?}");
        pairs.iter().map(|pair| pair.old_id.clone()).collect()
    };
    let of = |pairs: &[common::Relabel]| -> Vec<String> {
        pairs.iter().map(|pair| pair.old_id.clone()).collect()
    };
    let request = pb::WatchChangesRequest {
        kinds: vec!["erasure".to_owned()],
        ..pb::WatchChangesRequest::default()
    };
    let answer = client.changes.watch_changes(request).await.unwrap();
    let mut stream = answer.into_inner();
    let seen = loop {
        let message = stream.message().await.unwrap().unwrap();
        if let Some(erasure) = told(&message.changes).pop() {
            break erasure;
        }
    };
    assert_eq!(olds(&seen.customers), of(&whole.customers));
    assert_eq!(olds(&seen.records), of(&whole.records));
    let request = pb::SnapshotChangesRequest {
        kinds: vec!["erasure".to_owned()],
        ..pb::SnapshotChangesRequest::default()
    };
    let answer = client.changes.snapshot_changes(request).await.unwrap();
    let mut stream = answer.into_inner();
    let mut changes = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        changes.extend(message.changes);
    }
    assert_eq!(olds(&told(&changes)[0].customers), of(&whole.customers));
}

/// A report is repeated, checked and refused by its request id as every other mutation is.
async fn reported_once(world: &World, erasure: &str, parts: [common::ErasurePart; 2]) {
    let [scoring, feedback] = parts;
    let named = |part: &common::ErasurePart| pb::ReportErasureRequest {
        erasure_id: erasure.to_owned(),
        part: Some(part.clone()),
        request_id: "told once".to_owned(),
        validate_only: false,
    };
    let entries = "SELECT count(*) FROM audit WHERE action = 'erasure.report'";
    let mut service = world.operator();
    let check = pb::ReportErasureRequest {
        validate_only: true,
        ..named(&scoring)
    };
    service.privacy.report_erasure(check.clone()).await.unwrap();
    let pending = world.client().erasure(erasure).await.pending;
    assert!(pending.contains(&"scoring".to_owned()), "{pending:?}");
    assert_eq!(world.count(entries).await, 0);

    let mut second = world.operator();
    let (one, two) = tokio::join!(
        service.privacy.report_erasure(named(&scoring)),
        second.privacy.report_erasure(named(&scoring)),
    );
    for answer in [one, two, service.privacy.report_erasure(check).await] {
        let erasure = answer.unwrap().into_inner().erasure.unwrap();
        let told = erasure
            .parts
            .iter()
            .filter(|part| part.service == "scoring");
        assert_eq!(told.count(), 1);
    }
    assert_eq!(world.count(entries).await, 1);

    let status = service.privacy.report_erasure(named(&feedback)).await;
    let status = status.unwrap_err();
    assert_eq!(
        reason(&status, Code::FailedPrecondition),
        "REQUEST_ID_REUSED"
    );
    let pending = world.client().erasure(erasure).await.pending;
    assert!(pending.contains(&"feedback".to_owned()), "{pending:?}");
    assert_eq!(world.count(entries).await, 1);
    // Another service's ids are its own.
    let caller = service_caller("feedback", world.core.db.secret());
    let mut other = Client::new(world.pipe.channel_of(caller));
    other
        .privacy
        .report_erasure(named(&feedback))
        .await
        .unwrap();
    assert_eq!(world.count(entries).await, 2);
}

async fn reports_are_checked_and_complete_the_receipt(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    client.person("ada").await;
    let erasure = client.erase("ada").await.unwrap();
    let id = Uuid::try_parse(&erasure.id).unwrap();
    let secret = world.core.db.secret();
    let part = |service: &str| {
        let part = common::ErasurePart {
            service: service.to_owned(),
            store: "sqlite".to_owned(),
            erase_time: Some(at(5)),
            ..common::ErasurePart::default()
        };
        sign(secret, id, part).unwrap()
    };
    let report = |part| pb::ReportErasureRequest {
        erasure_id: erasure.id.clone(),
        part: Some(part),
        ..pb::ReportErasureRequest::default()
    };
    let mut operator = world.operator();
    let forged = common::ErasurePart {
        store: "postgres".to_owned(),
        ..part("feedback")
    };
    let foreign = sign(&IdSecret([8; 32]), id, part("feedback")).unwrap();
    for bad in [forged, foreign, part("reporting")] {
        let status = operator
            .privacy
            .report_erasure(report(bad))
            .await
            .unwrap_err();
        assert_eq!(reason(&status, Code::InvalidArgument), "FIELD_INVALID");
    }
    reported_once(&world, &erasure.id, [part("scoring"), part("feedback")]).await;
    for service in ["scoring", "feedback", "feedback"] {
        operator
            .privacy
            .report_erasure(report(part(service)))
            .await
            .unwrap();
    }
    // This service's own account comes by itself, once its disk is clear.
    let done = loop {
        let now = client.erasure(&erasure.id).await;
        if now.state() == common::ErasureState::Complete {
            break now;
        }
        assert!(now.complete_time.is_none() && now.pending == ["customer"]);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    let services: Vec<&str> = done
        .parts
        .iter()
        .map(|part| part.service.as_str())
        .collect();
    assert_eq!(services, ["customer", "feedback", "scoring"]);
    for part in &done.parts {
        assert!(verify(id, part));
        assert_eq!(part.public_key, public_key(secret, &part.service).unwrap());
    }
    let own = &done.parts[0];
    let identity = own
        .tables
        .iter()
        .find(|t| t.table == "customer_identity")
        .unwrap();
    assert_eq!((identity.removed, identity.relabelled), (1, 0));
    assert_eq!(world.count("SELECT count(*) FROM erasure_pair").await, 0);

    // Erased again, it is told again: a service may have been restored from a backup meanwhile.
    let changes = "SELECT count(*) FROM change WHERE kind = 'erasure'";
    assert_eq!(world.count(changes).await, 1);
    assert_eq!(client.erase("ada").await.unwrap(), done);
    assert_eq!(world.count(changes).await, 2);
    let request = pb::WatchChangesRequest {
        kinds: vec!["erasure".to_owned()],
        ..pb::WatchChangesRequest::default()
    };
    let answer = operator.changes.watch_changes(request).await.unwrap();
    let mut stream = answer.into_inner();
    let mut both = Vec::new();
    while both.len() < 2 {
        both.extend(stream.message().await.unwrap().unwrap().changes);
    }
    both.sort_by_key(|change| change.header.as_ref().unwrap().version);
    assert!(
        both.iter()
            .all(|change| change.header.as_ref().unwrap().record_id == done.id)
    );
    let (first, again) = (told(&both[..1]).remove(0), told(&both[1..]).remove(0));
    assert_eq!((again.part, again.parts), (1, 1));
    assert_eq!(again.customers.len(), 1);
    assert_eq!(again.customers[0].old_id, first.customers[0].old_id);
    assert_ne!(again.customers[0].new_id, first.customers[0].new_id);

    let list = |state: common::ErasureState| pb::ListErasuresRequest {
        state: state.into(),
        ..pb::ListErasuresRequest::default()
    };
    let complete = client
        .privacy
        .list_erasures(list(common::ErasureState::Complete))
        .await
        .unwrap();
    assert_eq!(complete.into_inner().erasures, [done]);
    let running = client
        .privacy
        .list_erasures(list(common::ErasureState::Running))
        .await
        .unwrap();
    assert!(running.into_inner().erasures.is_empty());
}

/// Writers that go on recording for a person who is erased among them: each row is either re-labelled or refused.
async fn nothing_stays_under_an_old_id_while_others_write(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    let old = client.person("ada").await;
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let mut client = world.client();
            tokio::spawn(async move {
                let (mut accepted, mut refused) = (0, 0);
                for n in 0..40 {
                    if n % 4 == 0 {
                        let order = order(&format!("s{writer}-{n}"), "ada", 10, n);
                        match client.record(order).await {
                            Ok(_) => accepted += 1,
                            Err(status) => {
                                assert_eq!(
                                    reason(&status, Code::FailedPrecondition),
                                    "CUSTOMER_ERASED"
                                );
                                refused += 1;
                            }
                        }
                        continue;
                    }
                    let rows = (0..5).map(|k| row(&format!("b{writer}-{n}-{k}"), "ada", 10));
                    let result = client.ingest(rows.collect()).await;
                    accepted += result.accepted;
                    for (_, reason) in rejected(&result) {
                        assert_eq!(reason, common::ErrorReason::CustomerErased);
                        refused += 1;
                    }
                }
                (accepted, refused)
            })
        })
        .collect();
    while world.count("SELECT count(*) FROM sales_order").await < 200 {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    client.erase("ada").await.unwrap();
    let (mut accepted, mut refused) = (0, 0);
    for writer in writers {
        let (a, r) = writer.await.unwrap();
        accepted += a;
        refused += r;
    }
    assert!(refused > 0, "the writers were through before the erasure");
    let all = world.count("SELECT count(*) FROM sales_order").await;
    assert_eq!(all, i64::from(accepted));
    let tx = world.core.db.read_system().await.unwrap();
    let sql = "SELECT count(*) FROM sales_order WHERE customer = $1";
    let id = Uuid::try_parse(&old.id).unwrap();
    let row = tx.fetch_one(sql, vec![id.into()]).await.unwrap().unwrap();
    assert_eq!(row.get::<i64>(0).unwrap(), 0);
    assert_eq!(
        world
            .count("SELECT count(*) FROM sales_order WHERE key_external IS NOT NULL")
            .await,
        0
    );
    assert_eq!(
        world
            .count("SELECT count(DISTINCT customer) FROM sales_order")
            .await,
        1
    );
    // The feed's changes under the old id lie before the heads noted.
    let sql = "SELECT count(*) FROM change c WHERE c.customer = $1 AND c.kind <> 'erasure' AND EXISTS \
               (SELECT 1 FROM change e WHERE e.kind = 'erasure' AND e.lane = c.lane AND e.position < c.position)";
    let row = tx.fetch_one(sql, vec![id.into()]).await.unwrap().unwrap();
    assert_eq!(row.get::<i64>(0).unwrap(), 0);
}

async fn one_of_many_callers_erases(store: TestStore) {
    let world = World::new(store).await;
    let mut client = world.client();
    client.person("ada").await;
    client.person("ada-2").await;
    client.merged("ada", "ada-2").await;
    client.ingest(vec![row("1", "ada", 5)]).await;
    let callers: Vec<_> = (0..6)
        .map(|n| {
            let mut client = world.client();
            let name = if n % 2 == 0 { "ada" } else { "ada-2" };
            tokio::spawn(async move { client.erase(name).await.unwrap().id })
        })
        .collect();
    let mut ids = BTreeSet::new();
    for caller in callers {
        ids.insert(caller.await.unwrap());
    }
    assert_eq!(ids.len(), 1);
    assert_eq!(world.count("SELECT count(*) FROM erasure").await, 1);
}

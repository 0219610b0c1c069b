//! Texts that their tenant keeps no longer.

use std::time::{Duration, Instant};

use regard_database::Database;
use regard_proto::common::v1 as common;
use regard_proto::feedback::v1 as pb;
use regard_testkit::{Engine, TestStore, on_both_engines};
use regard_types::{Clock, IdSecret, Micros, Service, TenantId};
use tonic::Code;

use crate::customer::Customer;
use crate::suite::{
    Clients, DAY, Suite, check_refused, customer, database, key, keyed, number, response, row,
    text, time,
};

on_both_engines!(
    texts_stay_as_long_as_the_tenant_says,
    what_is_sent_again_brings_no_text_back,
    the_latest_word_of_the_latest_epoch_counts,
    a_page_is_removed_whole_or_not_at_all,
    an_older_store_learns_when_texts_were_recorded,
);

const DAYS: i64 = 86_400_000_000;

/// A suite with a customer service, and a tenant that is looked at after all others.
struct Play {
    suite: Suite,
    customer: Customer,
    last: String,
    began: Micros,
}

impl Play {
    async fn new(store: TestStore, tenants: &[&str]) -> Self {
        let customer = Customer::new();
        let suite = Suite::following(store, &customer).await;
        let largest = tenants.iter().map(|name| suite.ids.tenant_id(name)).max();
        let last = (0..)
            .map(|n| format!("last-{n}"))
            .find(|name| Some(suite.ids.tenant_id(name)) > largest)
            .unwrap();
        let began = suite.clock.now();
        Self {
            suite,
            customer,
            last,
            began,
        }
    }

    fn id(&self, tenant: &str) -> TenantId {
        self.suite.ids.tenant_id(tenant)
    }

    fn set(&self, after: i64) {
        self.suite.clock.set(Micros(self.began.0 + after));
    }

    /// Moves the clock, and waits until all tenants were looked at by that time: the last one's text, which is two days old
    /// and may be one, is gone.
    async fn looked(&self, after: i64) {
        self.customer.tell(self.id(&self.last), 1, 1);
        self.set(after - 2 * DAYS);
        let mut of = self.suite.of(&self.last);
        let name = format!("at {after}");
        of.say(&name, "the last one's").await;
        self.set(after);
        gone(&mut of, &name).await;
    }
}

async fn until<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let began = Instant::now();
    while !ask().await {
        assert!(began.elapsed() < Duration::from_secs(30), "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn gone(of: &mut Clients, item: &str) {
    let began = Instant::now();
    while !of.said(item).await.is_empty() {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "the text of {item} stays"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn item(name: &str, text: &str) -> pb::FeedbackItem {
    pb::FeedbackItem {
        key: Some(key(name)),
        customer: Some(customer("c")),
        kind: pb::FeedbackKind::Praise.into(),
        text: text.to_owned(),
        rating: Some(4),
        say_time: Some(time(DAY)),
        ..Default::default()
    }
}

fn complaint(text: &str) -> pb::Complaint {
    pb::Complaint {
        key: Some(key("k")),
        customer: Some(customer("c")),
        text: text.to_owned(),
        reason: "late_delivery".to_owned(),
        open_time: Some(time(DAY)),
        ..Default::default()
    }
}

fn answers(text_: &str) -> pb::Response {
    pb::Response {
        customer: Some(customer("c")),
        ..response("r", vec![number("nps", 9), text("why", text_)])
    }
}

impl Clients {
    async fn submit(
        &mut self,
        item: pb::FeedbackItem,
    ) -> Result<pb::SubmitFeedbackItemResponse, tonic::Status> {
        let request = pb::SubmitFeedbackItemRequest {
            feedback_item: Some(item),
            ..Default::default()
        };
        Ok(self.items.submit_feedback_item(request).await?.into_inner())
    }

    async fn say(&mut self, name: &str, text: &str) {
        self.submit(item(name, text)).await.unwrap();
    }

    async fn said(&mut self, name: &str) -> String {
        let request = pb::GetFeedbackItemRequest {
            feedback_item: Some(keyed(name)),
        };
        let answer = self.items.get_feedback_item(request).await.unwrap();
        answer.into_inner().feedback_item.unwrap().text
    }

    async fn complain(&mut self, text: &str) -> pb::OpenComplaintResponse {
        let request = pb::OpenComplaintRequest {
            complaint: Some(complaint(text)),
            ..Default::default()
        };
        let answer = self.complaints.open_complaint(request).await;
        answer.unwrap().into_inner()
    }

    async fn resolve(&mut self, resolution: &str) -> pb::Complaint {
        let request = pb::ResolveComplaintRequest {
            complaint: Some(keyed("k")),
            resolution: resolution.to_owned(),
            ..Default::default()
        };
        let answer = self.complaints.resolve_complaint(request).await;
        answer.unwrap().into_inner().complaint.unwrap()
    }

    async fn complaint(&mut self) -> pb::Complaint {
        let request = pb::GetComplaintRequest {
            complaint: Some(keyed("k")),
        };
        let answer = self.complaints.get_complaint(request).await.unwrap();
        answer.into_inner().complaint.unwrap()
    }

    /// All that is exported of what the customer said, in any version.
    async fn exported(&mut self) -> Vec<String> {
        let request = pb::ExportPersonalDataRequest {
            customers: vec![customer("c")],
            page_size: 1_000,
            ..Default::default()
        };
        let answer = self.privacy.export_personal_data(request).await.unwrap();
        let items = answer.into_inner().items;
        assert!(!items.is_empty(), "the records themselves stay");
        let said = items.into_iter().filter(|item| item.personal);
        let mut texts: Vec<_> = said.map(|item| item.value).collect();
        texts.sort_unstable();
        texts
    }

    async fn expiries(&mut self) -> Vec<common::AuditEntry> {
        let request = pb::ListAuditEntriesRequest {
            page_size: 1_000,
            ..Default::default()
        };
        let answer = self.audit.list_audit_entries(request).await.unwrap();
        let mut entries = answer.into_inner().entries;
        entries.retain(|entry| entry.action == "text.expire");
        entries
    }

    /// Every version's measures.
    async fn measured(&mut self) -> Vec<pb::Change> {
        let pages = self.snapshot("").await;
        pages.into_iter().flat_map(|page| page.changes).collect()
    }
}

const ALL: [&str; 6] = ["first", "item", "parcel", "parcel", "postage", "second"];

async fn texts_stay_as_long_as_the_tenant_says(store: TestStore) {
    let tenants = ["short", "long", "good", "unheard"];
    let play = Play::new(store, &tenants).await;
    for (tenant, days) in [("short", 30), ("long", 60), ("good", 0)] {
        play.customer.tell(play.id(tenant), 1, days);
    }
    let mut measured = Vec::new();
    for tenant in tenants {
        play.set(0);
        let mut of = play.suite.of(tenant);
        of.published("s").await;
        of.record(answers("first"), "").await.unwrap();
        of.say("i", "item").await;
        of.complain("parcel").await;
        play.set(10 * DAYS);
        of.record(answers("second"), "").await.unwrap();
        of.resolve("postage").await;
        measured.push(of.measured().await);
    }
    let last = ["postage", "second"];
    for (after, short, long) in [
        (30 * DAYS, &ALL[..], &ALL[..]),
        (30 * DAYS + 1, &last, &ALL),
        (31 * DAYS, &last, &ALL),
        (40 * DAYS, &last, &ALL),
        (41 * DAYS, &[], &ALL),
        (60 * DAYS, &[], &ALL),
        (61 * DAYS, &[], &last),
        (71 * DAYS, &[], &[]),
        (10_000 * DAYS, &[], &[]),
    ] {
        play.looked(after).await;
        for (tenant, kept) in tenants.into_iter().zip([short, long, &ALL, &ALL]) {
            let found = play.suite.of(tenant).exported().await;
            assert_eq!(found, kept, "{tenant} after {after}");
        }
    }
    for (tenant, before) in tenants.into_iter().zip(measured) {
        let mut of = play.suite.of(tenant);
        assert_eq!(of.measured().await, before, "{tenant}");
        let kept = ["good", "unheard"].contains(&tenant);
        let or_none = |text: &str| if kept { text.to_owned() } else { String::new() };
        let found = of.response("r").await.unwrap();
        let expected = vec![number("nps", 9), text("why", &or_none("second"))];
        assert_eq!((found.version, found.answers), (2, expected));
        let found = of.complaint().await;
        assert_eq!(
            (found.version, found.state()),
            (2, pb::ComplaintState::Resolved)
        );
        assert_eq!(found.text, or_none("parcel"));
        assert_eq!(found.resolution, or_none("postage"));
        assert_eq!(of.said("i").await, or_none("item"));
        let entries = of.expiries().await;
        assert_eq!(entries.len(), if kept { 0 } else { 2 }, "{tenant}");
        for entry in entries {
            let by = (entry.caller.as_str(), entry.method.as_str());
            assert_eq!(by, ("feedback", "retention"));
            assert_eq!(entry.after_digest.len(), 32);
        }
    }
}

async fn what_is_sent_again_brings_no_text_back(store: TestStore) {
    let play = Play::new(store, &["a"]).await;
    play.customer.tell(play.id("a"), 1, 1);
    let mut of = play.suite.of("a");
    of.published("s").await;
    of.record(answers("late"), "once").await.unwrap();
    of.say("i", "item").await;
    of.complain("parcel").await;
    play.looked(2 * DAYS).await;
    assert_eq!(of.said("i").await, "");

    let none = vec![number("nps", 9), text("why", "")];
    for request_id in ["", "once"] {
        let again = of.record(answers("late"), request_id).await.unwrap();
        let again = again.response.unwrap();
        assert_eq!((again.version, &again.answers), (1, &none));
    }
    let rows = vec![pb::ResponseRow {
        response: Some(answers("late")),
        revision: 0,
    }];
    assert_eq!(of.ingest(rows).await.unchanged, 1);
    let again = of.submit(item("i", "item")).await.unwrap();
    assert_eq!(again.change_token, "");
    assert_eq!(again.feedback_item.unwrap().text, "");
    let other = pb::FeedbackItem {
        rating: Some(1),
        ..item("i", "item")
    };
    check_refused(of.submit(other).await, Code::AlreadyExists, "RECORD_EXISTS");
    let again = of.complain("parcel").await;
    assert_eq!(again.change_token, "");
    assert_eq!(again.complaint.unwrap().text, "");

    // What is new is kept for its own time.
    let second = of.record(answers("second"), "").await.unwrap();
    let second = second.response.unwrap();
    let said = vec![number("nps", 9), text("why", "second")];
    assert_eq!((second.version, &second.answers), (2, &said));
    let resolved = of.resolve("postage").await;
    assert_eq!((resolved.version, resolved.text.as_str()), (2, ""));
    assert_eq!(of.exported().await, ["postage", "second"]);
    play.looked(3 * DAYS).await;
    assert_eq!(of.exported().await, ["postage", "second"]);
    play.looked(4 * DAYS).await;
    assert!(of.exported().await.is_empty());
    assert_eq!(of.response("r").await.unwrap().answers, none);
}

async fn the_latest_word_of_the_latest_epoch_counts(store: TestStore) {
    let play = Play::new(store, &["a", "b"]).await;
    let (a, b, last) = (play.id("a"), play.id("b"), play.id(&play.last));
    let (mut of, mut of_b) = (play.suite.of("a"), play.suite.of("b"));
    of.say("first", "text").await;
    of_b.say("first", "text").await;
    // Longer, and an older word that comes late.
    play.customer.tell(a, 1, 10);
    play.customer.tell(a, 3, 100);
    play.customer.tell(a, 2, 10);
    play.customer.tell(b, 1, 0);
    play.looked(100 * DAYS).await;
    assert_eq!(of.said("first").await, "text");
    // Shorter.
    play.customer.tell(b, 2, 50);
    gone(&mut of_b, "first").await;
    assert_eq!(of.said("first").await, "text");
    // A restored store, where all this has not been.
    of_b.say("second", "text").await;
    play.customer.restored(&[(last, 1, 1), (a, 1, 20)]);
    gone(&mut of, "first").await;
    let store = &play.suite.store;
    until("what the former epoch told is forgotten", || async {
        run(store, "UPDATE text_retention SET days = 50 WHERE days = 50").await == 0
    })
    .await;
    play.looked(1_000 * DAYS).await;
    assert_eq!(of_b.said("second").await, "text");
}

/// Runs a statement as the owner of everything; the number of rows.
async fn run(store: &TestStore, sql: &str) -> u64 {
    let sql = sqlx::AssertSqlSafe(sql.to_owned());
    match store.engine {
        Engine::Sqlite => {
            let pool = sqlx::SqlitePool::connect(&store.url).await.unwrap();
            let done = sqlx::raw_sql(sql).execute(&pool).await;
            done.unwrap().rows_affected()
        }
        Engine::Postgres => {
            let pool = sqlx::PgPool::connect(&store.admin_url()).await.unwrap();
            let done = sqlx::raw_sql(sql).execute(&pool).await;
            done.unwrap().rows_affected()
        }
    }
}

async fn a_page_is_removed_whole_or_not_at_all(store: TestStore) {
    let play = Play::new(store, &["a", "b"]).await;
    let mut of = play.suite.of("a");
    of.published("s").await;
    let rows = |from: usize, to: usize| {
        let one = |n| {
            row(
                &format!("r{n}"),
                vec![number("nps", 9), text("why", "late")],
            )
        };
        (from..to).map(one).collect::<Vec<_>>()
    };
    assert_eq!(of.ingest(rows(0, 600)).await.accepted, 600);
    play.set(1);
    assert_eq!(of.ingest(rows(600, 1_200)).await.accepted, 600);
    // Nothing of the second half can be removed: the second page fails, after it removed a hundred of the first half.
    let after = play.began.0;
    let (refuse, allow) = match play.suite.store.engine {
        Engine::Sqlite => (
            format!(
                "CREATE TRIGGER refuse BEFORE DELETE ON record_text WHEN OLD.recorded > {after} \
                 BEGIN SELECT RAISE(ABORT, 'refused'); END"
            ),
            "DROP TRIGGER refuse",
        ),
        Engine::Postgres => (
            format!(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF OLD.recorded > {after} \
                 THEN RAISE EXCEPTION 'refused'; END IF; RETURN OLD; END $$; \
                 CREATE TRIGGER refuse BEFORE DELETE ON record_text FOR EACH ROW EXECUTE FUNCTION refuse()"
            ),
            "DROP TRIGGER refuse ON record_text",
        ),
    };
    run(&play.suite.store, &refuse).await;
    play.set(10 * DAYS);
    play.customer.tell(play.id("a"), 1, 5);
    let began = Instant::now();
    while of.expiries().await.is_empty() {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "no page is removed"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The failing page is tried again and again.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!((left(&mut of).await, of.expiries().await.len()), (700, 1));
    run(&play.suite.store, allow).await;
    let began = Instant::now();
    while left(&mut of).await > 0 {
        assert!(began.elapsed() < Duration::from_secs(30), "texts stay");
    }
    assert_eq!(of.expiries().await.len(), 3);
}

/// How many of the responses have a text.
async fn left(of: &mut Clients) -> usize {
    let mut left = 0;
    for n in 0..1_200 {
        let answers = of.response(&format!("r{n}")).await.unwrap().answers;
        left += usize::from(answers.contains(&text("why", "late")));
    }
    left
}

/// A store from before texts had a time of their own: a complaint of two versions, and a response.
async fn an_older_store_learns_when_texts_were_recorded(store: TestStore) {
    let open = |steps| {
        let settings = database(&store);
        async move {
            let (clock, ids) = (Clock::fixed(Micros(9)), IdSecret([7; 32]));
            let db = Database::open(&settings, Service::Feedback, steps, clock, ids).await;
            db.unwrap().close().await;
        }
    };
    let mut former = regard_feedback::schema_steps();
    former.truncate(2);
    open(former).await;
    let (id, bytes) = match store.engine {
        Engine::Sqlite => ("X'01010101010101010101010101010101'", "X'00'"),
        Engine::Postgres => ("'01010101-0101-0101-0101-010101010101'", "''"),
    };
    let head = "tenant, id, version, lane, position, created, updated";
    let complaint = |table: &str, version: i64, updated: i64| {
        format!(
            "INSERT INTO {table} ({head}, reason, severity, opened, state) \
             VALUES ({id}, {id}, {version}, 0, 1, 10, {updated}, 'late', 3, 5, 'received')"
        )
    };
    let said = |kind: &str, version: i64, part: &str| {
        format!(
            "INSERT INTO record_text (tenant, kind, id, version, part, bytes) \
             VALUES ({id}, '{kind}', {id}, {version}, '{part}', {bytes})"
        )
    };
    for sql in [
        complaint("complaint_history", 1, 10),
        complaint("complaint", 2, 30),
        format!(
            "INSERT INTO response ({head}, survey, answered, answers, revision, digest) \
             VALUES ({id}, {id}, 4, 0, 1, 10, 40, {id}, 5, {bytes}, 0, {bytes})"
        ),
        said("complaint", 1, "text"),
        said("complaint", 2, "text"),
        said("complaint", 2, "resolution"),
        said("response", 4, "why"),
        format!(
            "INSERT INTO customer_cursor (lane, epoch, position, nonce) VALUES (0, {id}, 7, 8)"
        ),
    ] {
        assert_eq!(run(&store, &sql).await, 1, "{sql}");
    }
    open(regard_feedback::schema_steps()).await;
    for (kind, version, part, recorded) in [
        ("complaint", 1, "text", 10),
        ("complaint", 2, "text", 10),
        ("complaint", 2, "resolution", 30),
        ("response", 4, "why", 40),
    ] {
        let sql = format!(
            "DELETE FROM record_text WHERE kind = '{kind}' AND version = {version} AND part = '{part}' \
             AND recorded = {recorded}"
        );
        assert_eq!(run(&store, &sql).await, 1, "{sql}");
    }
    // The feed is read once more.
    assert_eq!(run(&store, "DELETE FROM customer_cursor").await, 0);
}

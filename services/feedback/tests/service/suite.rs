//! The service behind the real edge, on a fresh store.

use std::time::Duration;

use regard_client::{Client, Options};
use regard_database::{DatabaseSettings, LocalKey, MasterKeys};
use regard_feedback::Settings;
use regard_proto::common::v1 as common;
use regard_proto::feedback::v1 as pb;
use regard_proto::feedback::v1::audit_service_client::AuditServiceClient;
use regard_proto::feedback::v1::change_service_client::ChangeServiceClient;
use regard_proto::feedback::v1::complaint_service_client::ComplaintServiceClient;
use regard_proto::feedback::v1::feedback_item_service_client::FeedbackItemServiceClient;
use regard_proto::feedback::v1::privacy_service_client::PrivacyServiceClient;
use regard_proto::feedback::v1::response_service_client::ResponseServiceClient;
use regard_proto::feedback::v1::survey_service_client::SurveyServiceClient;
use regard_server::{Identity, Pipe, Running, ServerSettings, Shared, service_caller};
use regard_testkit::TestStore;
use regard_types::{Caller, Clock, IdSecret, Micros};
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::customer::Customer;

/// 1997-07-01T00:00:00Z.
pub const DAY: i64 = 867_715_200;

pub struct Suite {
    pub store: TestStore,
    pub clock: Clock,
    pub ids: IdSecret,
    pipe: Pipe,
    _running: Running,
}

impl Suite {
    pub async fn new(store: TestStore) -> Self {
        Self::with(store, None).await
    }

    /// With a customer service that tells of tenants.
    pub async fn following(store: TestStore, customer: &Customer) -> Self {
        Self::with(store, Some(customer)).await
    }

    async fn with(store: TestStore, customer: Option<&Customer>) -> Self {
        let _ = tracing_subscriber::fmt()
            .with_env_filter("warn")
            .with_test_writer()
            .try_init();
        let clock = Clock::fixed(Micros((DAY + 100_000) * 1_000_000));
        let ids = IdSecret([7; 32]);
        let shared = Shared {
            clock: clock.clone(),
            ids: ids.clone(),
        };
        let pipe = Pipe::new();
        let client = customer.map(|_| {
            let channel = pipe.channel_of(service_caller("feedback", &ids));
            Client::over(channel, &Options::default()).unwrap()
        });
        let settings = Settings {
            expire_texts: Duration::from_millis(20),
            customer: client,
            ..Settings::new(database(&store))
        };
        let mut services = vec![regard_feedback::open(settings, shared).await.unwrap()];
        services.extend(customer.map(Customer::service));
        let settings = ServerSettings {
            listen: String::new(),
            ..ServerSettings::default()
        };
        let running = Running::start(services, &settings, Identity::embedded(&ids), &pipe)
            .await
            .unwrap();
        Self {
            store,
            clock,
            ids,
            pipe,
            _running: running,
        }
    }

    pub fn caller(&self, tenant: &str) -> Caller {
        Caller::new(self.ids.tenant_id(tenant), tenant, "test")
    }

    pub fn of(&self, tenant: &str) -> Clients {
        Clients::new(self.pipe.channel_of(self.caller(tenant)))
    }

    /// A service of the suite: sees the changes of all tenants.
    pub fn of_all(&self) -> Clients {
        Clients::new(self.pipe.channel_of(Caller {
            all_tenants: true,
            ..self.caller("default")
        }))
    }
}

pub fn database(store: &TestStore) -> DatabaseSettings {
    DatabaseSettings {
        migrate_url: store.migrate_url.clone(),
        heartbeat_ms: 50,
        master: Some(MasterKeys::new(LocalKey::new([9; 32]))),
        ..DatabaseSettings::new(&store.url)
    }
}

pub struct Clients {
    pub surveys: SurveyServiceClient<Channel>,
    pub responses: ResponseServiceClient<Channel>,
    pub items: FeedbackItemServiceClient<Channel>,
    pub complaints: ComplaintServiceClient<Channel>,
    pub changes: ChangeServiceClient<Channel>,
    pub privacy: PrivacyServiceClient<Channel>,
    pub audit: AuditServiceClient<Channel>,
}

impl Clients {
    fn new(channel: Channel) -> Self {
        Self {
            surveys: SurveyServiceClient::new(channel.clone()),
            responses: ResponseServiceClient::new(channel.clone()),
            items: FeedbackItemServiceClient::new(channel.clone()),
            complaints: ComplaintServiceClient::new(channel.clone()),
            changes: ChangeServiceClient::new(channel.clone()),
            privacy: PrivacyServiceClient::new(channel.clone()),
            audit: AuditServiceClient::new(channel),
        }
    }

    pub async fn create(&mut self, survey: pb::Survey) -> Result<pb::CreateSurveyResponse, Status> {
        let request = pb::CreateSurveyRequest {
            survey: Some(survey),
            ..Default::default()
        };
        Ok(self.surveys.create_survey(request).await?.into_inner())
    }

    pub async fn publish(&mut self, survey: &str) -> Result<pb::PublishSurveyResponse, Status> {
        let request = pb::PublishSurveyRequest {
            survey: Some(keyed(survey)),
            ..Default::default()
        };
        Ok(self.surveys.publish_survey(request).await?.into_inner())
    }

    /// The survey of [`survey`], published.
    pub async fn published(&mut self, name: &str) -> pb::Survey {
        self.create(survey(name)).await.unwrap();
        self.publish(name).await.unwrap().survey.unwrap()
    }

    pub async fn record(
        &mut self,
        response: pb::Response,
        request_id: &str,
    ) -> Result<pb::RecordResponseResponse, Status> {
        let request = pb::RecordResponseRequest {
            response: Some(response),
            request_id: request_id.to_owned(),
            ..Default::default()
        };
        Ok(self.responses.record_response(request).await?.into_inner())
    }

    pub async fn response(&mut self, name: &str) -> Result<pb::Response, Status> {
        let request = pb::GetResponseRequest {
            response: Some(keyed(name)),
        };
        Ok(self
            .responses
            .get_response(request)
            .await?
            .into_inner()
            .response
            .unwrap())
    }

    pub async fn ingest(&mut self, rows: Vec<pb::ResponseRow>) -> common::BatchResult {
        let batch = pb::IngestResponsesRequest {
            rows,
            validate_only: false,
        };
        self.ingest_all(vec![batch]).await.remove(0)
    }

    pub async fn ingest_all(
        &mut self,
        batches: Vec<pb::IngestResponsesRequest>,
    ) -> Vec<common::BatchResult> {
        let answers = self
            .responses
            .ingest_responses(tokio_stream::iter(batches))
            .await
            .unwrap();
        let mut answers = answers.into_inner();
        let mut results = Vec::new();
        while let Some(answer) = answers.message().await.unwrap() {
            results.push(answer.result.unwrap());
        }
        results
    }

    /// Everything that the feed holds for this caller, by lane and position.
    pub async fn watched(&mut self, count: usize) -> Vec<pb::Change> {
        let mut batches = self
            .changes
            .watch_changes(pb::WatchChangesRequest::default())
            .await
            .unwrap()
            .into_inner();
        let mut seen = Vec::new();
        let mut ends = std::collections::HashMap::new();
        while seen.len() < count {
            let batch = batches.message().await.unwrap().unwrap();
            assert_eq!(
                batch.from_position,
                ends.insert(batch.lane, batch.to_position).unwrap_or(0)
            );
            seen.extend(batch.changes);
        }
        seen
    }

    pub async fn snapshot(&mut self, resume_token: &str) -> Vec<pb::SnapshotChangesResponse> {
        let request = pb::SnapshotChangesRequest {
            resume_token: resume_token.to_owned(),
        };
        let mut pages = self
            .changes
            .snapshot_changes(request)
            .await
            .unwrap()
            .into_inner();
        let mut all = Vec::new();
        while let Some(page) = pages.message().await.unwrap() {
            all.push(page);
        }
        all
    }
}

pub fn key(name: &str) -> common::SourceKey {
    common::SourceKey {
        source: "test".to_owned(),
        external_id: name.to_owned(),
    }
}

pub fn keyed(name: &str) -> common::RecordRef {
    common::RecordRef {
        record: Some(common::record_ref::Record::Key(key(name))),
    }
}

pub fn by_id(id: &str) -> common::RecordRef {
    common::RecordRef {
        record: Some(common::record_ref::Record::Id(id.to_owned())),
    }
}

pub fn customer(name: &str) -> common::CustomerRef {
    common::CustomerRef {
        customer: Some(common::customer_ref::Customer::Key(key(name))),
    }
}

pub fn time(seconds: i64) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds, nanos: 0 }
}

pub fn question(code: &str, kind: pb::QuestionKind) -> pb::Question {
    pb::Question {
        code: code.to_owned(),
        text: format!("{code}?"),
        kind: kind.into(),
        dimension: if kind == pb::QuestionKind::Text {
            String::new()
        } else {
            "service".to_owned()
        },
        ..Default::default()
    }
}

/// One question of every kind, one of them reversed.
pub fn survey(name: &str) -> pb::Survey {
    use pb::QuestionKind::{Ces, Csat, Nps, Rating, Text};
    let wait = pb::Question {
        metric: "wait".to_owned(),
        scale_min: 1,
        scale_max: 5,
        reversed: true,
        ..question("wait", Rating)
    };
    pb::Survey {
        name: "After delivery".to_owned(),
        key: Some(key(name)),
        questions: vec![
            question("nps", Nps),
            question("csat", Csat),
            question("ces", Ces),
            wait,
            question("why", Text),
        ],
        ..Default::default()
    }
}

pub fn number(question: &str, number: i32) -> pb::Answer {
    pb::Answer {
        question: question.to_owned(),
        value: Some(pb::answer::Value::Number(number)),
    }
}

pub fn text(question: &str, text: &str) -> pb::Answer {
    pb::Answer {
        question: question.to_owned(),
        value: Some(pb::answer::Value::Text(text.to_owned())),
    }
}

/// An answer to the survey `s` by the customer of the same name.
pub fn response(name: &str, answers: Vec<pb::Answer>) -> pb::Response {
    pb::Response {
        key: Some(key(name)),
        survey: Some(keyed("s")),
        customer: Some(customer(name)),
        answer_time: Some(time(DAY)),
        channel: common::Channel::WebSurvey.into(),
        answers,
        ..Default::default()
    }
}

pub fn row(name: &str, answers: Vec<pb::Answer>) -> pb::ResponseRow {
    pb::ResponseRow {
        response: Some(response(name, answers)),
        revision: 0,
    }
}

/// Code, reason and wrong fields of a refused call.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(result: Result<T, Status>) -> (Code, String, Vec<String>) {
    use tonic_types::StatusExt as _;
    let status = result.unwrap_err();
    let details = status.get_error_details();
    let reason = details
        .error_info()
        .map(|info| info.reason.clone())
        .unwrap_or_default();
    let fields = details.bad_request().map(|bad| {
        bad.field_violations
            .iter()
            .map(|v| v.field.clone())
            .collect()
    });
    (status.code(), reason, fields.unwrap_or_default())
}

#[track_caller]
pub fn check_refused<T: std::fmt::Debug>(result: Result<T, Status>, code: Code, reason: &str) {
    let (found, why, _) = refused(result);
    assert_eq!((found, why.as_str()), (code, reason));
}

//! regard-feedback: what customers said. Surveys and the responses to them, feedback items, complaints.
//!
//! It owns these records and the feed of their changes. It must not know who a customer is (a customer is an id, perhaps
//! one that no service knows yet), nor what the answers mean for a score.
//!
//! One folder a noun. Arrows point one way: `api -> app -> {domain, store}`, `store -> domain`. Free texts of people lie
//! apart in `text`, and no change holds one.

mod change;
mod complaint;
mod content;
mod erasure;
mod feedback_item;
mod migration;
mod privacy;
mod response;
mod retention;
mod survey;
mod text;

use std::time::Duration;

use regard_client::Client;
use regard_database::vault::SealedColumn;
use regard_database::{Database, DatabaseSettings, StoreError};
use regard_proto::feedback::v1::change_service_server::ChangeServiceServer;
use regard_proto::feedback::v1::complaint_service_server::ComplaintServiceServer;
use regard_proto::feedback::v1::feedback_item_service_server::FeedbackItemServiceServer;
use regard_proto::feedback::v1::privacy_service_server::PrivacyServiceServer;
use regard_proto::feedback::v1::response_service_server::ResponseServiceServer;
use regard_proto::feedback::v1::survey_service_server::SurveyServiceServer;
use regard_server::{Grpc, Job, Privacy, Service, Shared, audited, limited};
use regard_types::Fault;

/// Every sealed column.
const SEALED: &[SealedColumn] = &[text::TEXT];

/// The steps of its schema, in their order.
pub use migration::steps as schema_steps;

/// What the service needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its database.
    pub database: DatabaseSettings,
    /// How long changes stay in the feed; a reader that is further behind takes a snapshot. Default 30 days.
    pub keep_changes: Duration,
    /// How often is looked for texts that their tenant keeps no longer. Default 10 minutes.
    pub expire_texts: Duration,
    /// The customer service, which says who is erased and how long texts are kept, as a caller that may read all tenants'
    /// changes and report; without it nobody is, and they are kept for good.
    pub customer: Option<Client>,
}

impl Settings {
    /// The defaults on this database.
    #[must_use]
    pub fn new(database: DatabaseSettings) -> Self {
        Self {
            database,
            keep_changes: Duration::from_secs(30 * 24 * 3_600),
            expire_texts: Duration::from_secs(600),
            customer: None,
        }
    }
}

/// Opens the database (its schema is brought up to date) and makes the service.
///
/// # Errors
/// As [`Database::open`].
pub async fn open(settings: Settings, shared: Shared) -> Result<Service, StoreError> {
    let Settings {
        database,
        keep_changes,
        expire_texts,
        customer,
    } = settings;
    let Shared { clock, ids } = shared;
    let service = regard_types::Service::Feedback;
    let db = Database::open(&database, service, migration::steps(), clock, ids).await?;
    let vault = db.vault()?;
    let surveys = survey::Surveys::new(db.clone());
    let responses = response::Responses::new(db.clone(), vault.clone(), surveys.clone());
    let items = feedback_item::Items::new(db.clone(), vault.clone());
    let complaints = complaint::Complaints::new(db.clone(), vault.clone());
    let held = privacy::held(&vault);
    let privacy = Privacy::new(&db, SEALED, held)?;
    let personal = privacy::PrivacyApi::new(db.clone(), privacy.clone());
    let changes = change::ChangeApi::new(&db, &surveys);
    let grpc = Grpc::new()
        .with(limited!(SurveyServiceServer::new(surveys)))
        .with(limited!(ResponseServiceServer::new(responses)))
        .with(limited!(FeedbackItemServiceServer::new(items)))
        .with(limited!(ComplaintServiceServer::new(complaints)))
        .with(limited!(PrivacyServiceServer::new(personal)))
        .with(limited!(ChangeServiceServer::new(changes)));
    let job = Job::retention(&db, keep_changes);
    let texts = retention::job(&db, expire_texts);
    let figures = Job::figures(&db);
    let store = db.clone();
    let served = audited!(Service::new(service.as_str(), grpc), feedback, db);
    let closed = db.clone();
    let ready = move || {
        let db = db.clone();
        async move { db.ping().await.map_err(|error| error.to_string()) }
    };
    let served = match customer {
        Some(customer) => followed(served, &store, customer),
        None => served,
    };
    Ok(served
        .job(job)
        .job(privacy.job())
        .job(texts)
        .job(figures)
        .ready(ready)
        .close(async move { closed.close().await }))
}

/// Follows the customer service's erasures and terms, and reports what was done.
fn followed(served: Service, db: &Database, customer: Client) -> Service {
    let follower = erasure::Follower {
        db: db.clone(),
        customer: customer.clone(),
    };
    let follow = Job::handing_back("follow erasures", move |stop| {
        erasure::run(follower.clone(), stop)
    });
    served.job(follow).job(regard_erasure::report(db, customer))
}

/// One fault of many wrong fields.
fn wrong_fields(wrong: Vec<survey::Wrong>) -> Fault {
    let mut wrong = wrong.into_iter();
    let (field, why) = wrong.next().unwrap_or_default();
    wrong.fold(Fault::invalid(field, why), |fault, (field, why)| {
        fault.and_invalid(field, why)
    })
}

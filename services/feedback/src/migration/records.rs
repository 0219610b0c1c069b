//! Surveys, responses, feedback items, complaints, each with its history twin, and the texts. Lock cost on PostgreSQL:
//! none, all tables are new.

use regard_database::{Engine, Table};
use regard_types::Channel;

use crate::complaint::State as ComplaintState;
use crate::feedback_item::FeedbackKind;
use crate::survey::State as SurveyState;

const CURRENT: &[&str] = &["tenant", "id"];
const FORMER: &[&str] = &["tenant", "id", "version"];

/// What every record has, and its key.
fn record(name: &'static str) -> Table {
    Table::record(name)
        .opt_text("source")
        .opt_text("external_id")
}

/// A closed set of channels, or none.
fn channel(table: Table) -> Table {
    let words: Vec<_> = Channel::ALL.iter().map(|c| format!("'{c}'")).collect();
    table
        .opt_text("channel")
        .check(&format!("channel IN ({})", words.join(", ")))
}

fn survey(name: &'static str) -> Table {
    record(name)
        .text("name")
        .word(
            "state",
            &[SurveyState::Draft, SurveyState::Published].map(SurveyState::as_str),
        )
        .bytes("questions")
}

fn response(name: &'static str) -> Table {
    channel(
        record(name)
            .uuid("survey")
            .opt_uuid("customer")
            .i64("answered"),
    )
    .bytes("answers")
    .i64("revision")
    .bytes("digest")
}

fn feedback_item(name: &'static str) -> Table {
    channel(
        record(name)
            .opt_uuid("customer")
            .word("kind", &FeedbackKind::ALL.map(FeedbackKind::as_str)),
    )
    .opt_i64("rating")
    .i64("said")
    .check("rating BETWEEN 1 AND 5")
}

fn complaint(name: &'static str) -> Table {
    channel(
        record(name)
            .opt_uuid("customer")
            .text("reason")
            .i64("severity"),
    )
    .i64("opened")
    .word("state", &ComplaintState::ALL.map(ComplaintState::as_str))
    .opt_i64("resolved")
    .check("severity BETWEEN 1 AND 5")
    .check("(state = 'resolved') = (resolved IS NOT NULL)")
}

/// The statements of this step.
pub(super) fn up(engine: Engine) -> Vec<String> {
    let tables = [
        survey("survey")
            .primary(CURRENT)
            .index("survey_state", &["tenant", "state", "id"]),
        survey("survey_history").primary(FORMER),
        response("response").primary(CURRENT),
        response("response_history").primary(FORMER),
        feedback_item("feedback_item").primary(CURRENT),
        feedback_item("feedback_item_history").primary(FORMER),
        complaint("complaint").primary(CURRENT),
        complaint("complaint_history").primary(FORMER),
        Table::new("record_text")
            .uuid("tenant")
            .text("kind")
            .uuid("id")
            .i64("version")
            .text("part")
            .bytes("bytes")
            .primary(&["tenant", "kind", "id", "version", "part"]),
    ];
    tables
        .iter()
        .flat_map(|table| table.create(engine))
        .collect()
}

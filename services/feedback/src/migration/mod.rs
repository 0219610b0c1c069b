//! Schema steps, append-only: a step that was released never changes.

mod erasure;
mod records;
mod retention;

use regard_database::Step;
use sea_orm_migration::MigrationTrait;

/// All steps, in order.
pub fn steps() -> Vec<Box<dyn MigrationTrait>> {
    vec![
        Step::boxed("feedback_1_records", records::up),
        Step::boxed("feedback_2_erasure", erasure::up),
        Step::boxed("feedback_3_retention", retention::up),
    ]
}

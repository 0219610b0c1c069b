//! Schema steps, append-only; each runs on both engines.

mod erasure;
mod first;

use regard_database::Step;
use sea_orm_migration::MigrationTrait;

/// All steps in order.
#[must_use]
pub fn steps() -> Vec<Box<dyn MigrationTrait>> {
    vec![
        Step::boxed("scoring_0001_first", first::up),
        Step::boxed("scoring_0002_erasure", erasure::up),
    ]
}

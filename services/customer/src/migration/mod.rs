//! The schema of this service: append-only steps that run on both engines.

mod access;
mod erasure;
mod start;

use sea_orm_migration::MigrationTrait;

/// All steps in order.
pub fn steps() -> Vec<Box<dyn MigrationTrait>> {
    vec![start::step(), access::step(), erasure::step()]
}

//! regard-database: how a service keeps its truth. Three doors lead to a connection ([`Database::read`],
//! [`Database::mutate`], [`Database::system`]), on SQLite and PostgreSQL alike; every mutation writes its records, its
//! changes (lanes), its audit entry and its idempotency row in one transaction. [`feed`] lets others follow the changes.
//!
//! It knows tenants, records and versions; it knows nothing of customers, orders or scores.

mod attempt;
pub mod audit;
mod bulk;
mod compact;
mod database;
mod door;
mod engine;
mod error;
pub mod feed;
mod figures;
mod growth;
#[doc(hidden)]
pub mod hazard;
pub mod history;
mod lane;
mod lease;
pub mod migration;
mod roles;
mod row;
mod schema;
mod tx;
pub mod vault;

pub use attempt::{Missed, again, lost, settle};
pub use bulk::{ColumnData, Conflict};
pub use database::{Database, DatabaseSettings};
pub use door::{Answer, Change, Command, Place, Positions, Read, System, Write};
pub use engine::Engine;
pub use error::{StoreError, retry_busy};
pub use lease::Lease;
pub use migration::{Step, Table};
pub use row::Row;
pub use sea_orm::Value;
pub use tx::Tx;
pub use vault::{CommandKey, LocalKey, MasterError, MasterKey, MasterKeys, Vault};

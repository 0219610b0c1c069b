//! Free texts of people: apart from the records that they belong to, sealed, so that they can be exported and erased
//! by themselves. No other table and no change holds one.

mod store;

pub(crate) use store::{TEXT, TextRow, expire, of, put};

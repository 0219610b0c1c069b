//! Free texts of people: apart from the records that they belong to, as bytes, so that they can be sealed, exported and
//! erased by themselves. No other table and no change holds one.

mod store;

pub(crate) use store::{TextRow, of, put};

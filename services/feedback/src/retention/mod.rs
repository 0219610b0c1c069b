//! How long texts are kept: the customer service says how many days each tenant wants; what is older is removed here.
//! Digests of what was said stay: by them a row that is sent again is known, and brings no text back.

mod job;
mod store;

pub(crate) use job::job;
pub(crate) use store::{Terms, forget_former, note};

//! Files of others: delimited text with a header, in whatever shape spreadsheets leave it.

mod day;
mod delimited;
mod fault;
mod lines;
mod number;
mod statistics;

pub use day::{DayOrder, DayReader};
pub use delimited::{Delimited, Record};
pub use fault::LineFault;
pub use number::{decimal, money, plain};
pub use statistics::{Needs, Statistics};

//! Configuration: what it contains, where it comes from, what is shown of it.

mod check;
mod known;
mod load;
mod origin;
mod secret;
mod shape;

pub use load::{Loaded, Sources, load};
pub use origin::Origin;
pub use secret::Secret;
pub use shape::*;

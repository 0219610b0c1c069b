//! Checks of incoming messages, written at build time from the `buf.validate` rules of the `.proto` files.
//!
//! Every message of our packages implements [`Validate`]. Beyond the declared rules these always hold: an enum field
//! has a declared number, a float is finite, a timestamp, duration, date or amount is well formed, and a text (also in
//! a list, and as key or value of a map) has no control characters, which not every store can keep and no name has.
//! Texts are brought to their normal form before they are checked.

pub mod cel;
pub mod checks;
mod formats;
mod google;
pub mod normal;
mod path;
mod violations;

use std::fmt;

pub use path::Path;
pub use violations::{MAX_VIOLATIONS, Violation, Violations};

/// Stands in `Debug` and in paths for what is about a person.
pub struct Hidden;

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A message that knows the rules of its fields.
pub trait Validate {
    /// True for answers: clients decode them, so they are not checked.
    const RESPONSE: bool = false;

    /// Brings every text to its normal form: Unicode form NFC, without white space around. Fields that the contract
    /// marks as exact, and the keys of maps, stay as they are.
    fn normalize(&mut self) {}

    /// Adds every broken rule of this message, which lies at `at`, to `out`.
    fn check(&self, at: &Path<'_>, out: &mut Violations);

    /// Checks the whole message.
    ///
    /// # Errors
    /// Every bad field, at most [`MAX_VIOLATIONS`] of them listed.
    fn validate(&self) -> Result<(), Violations> {
        let mut out = Violations::default();
        self.check(&Path::ROOT, &mut out);
        if out.is_empty() { Ok(()) } else { Err(out) }
    }
}

impl Validate for () {
    fn check(&self, _: &Path<'_>, _: &mut Violations) {}
}

impl<T: Validate> Validate for Box<T> {
    fn normalize(&mut self) {
        T::normalize(self);
    }

    fn check(&self, at: &Path<'_>, out: &mut Violations) {
        T::check(self, at, out);
    }
}

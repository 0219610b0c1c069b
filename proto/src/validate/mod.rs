//! Checks of incoming messages, written at build time from the `buf.validate` rules of the `.proto` files.
//!
//! Every message of our packages implements [`Validate`]. Beyond the declared rules these always hold: an enum field
//! has a declared number, a float is finite, a timestamp, duration, date or amount is well formed, a text (also in a
//! list, and as key or value of a map) does not have the character U+0000, which not every store can keep.

pub mod checks;
mod google;
mod path;
mod violations;

pub use path::Path;
pub use violations::{MAX_VIOLATIONS, Violation, Violations};

/// A message that knows the rules of its fields.
pub trait Validate {
    /// True for answers: clients decode them, so they are not checked.
    const RESPONSE: bool = false;

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
    fn check(&self, at: &Path<'_>, out: &mut Violations) {
        T::check(self, at, out);
    }
}

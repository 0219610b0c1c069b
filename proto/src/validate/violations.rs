use std::fmt;

use super::Path;

/// How many violations one answer lists; a larger status is lost on the wire.
pub const MAX_VIOLATIONS: usize = 20;

/// Longest field path that is kept, in characters.
const PATH_KEPT: usize = 200;

/// One broken rule of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field by its proto names (`rows[3].order.gross`); empty for the message as a whole.
    pub field: String,
    /// Name of the rule (`string.min_len`).
    pub rule: &'static str,
    /// What was expected; never the value that was sent, which may be personal.
    pub description: &'static str,
}

/// The broken rules of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations {
    listed: Vec<Violation>,
    more: usize,
}

impl Violations {
    /// Adds a broken rule of the value at `at`; past [`MAX_VIOLATIONS`] it is only counted.
    #[cold]
    #[inline(never)]
    pub fn add(&mut self, at: &Path<'_>, rule: &'static str, description: &'static str) {
        if self.listed.len() >= MAX_VIOLATIONS {
            self.more += 1;
            return;
        }
        let mut field = at.to_string();
        if let Some((end, _)) = field.char_indices().nth(PATH_KEPT) {
            field.truncate(end);
            field.push('…');
        }
        self.listed.push(Violation {
            field,
            rule,
            description,
        });
    }

    /// True where no rule was broken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// How many rules were broken, the unlisted ones included.
    #[must_use]
    pub fn count(&self) -> usize {
        self.listed.len() + self.more
    }

    /// How many were broken beyond the listed ones.
    #[must_use]
    pub fn more(&self) -> usize {
        self.more
    }

    /// The first [`MAX_VIOLATIONS`] broken rules, in field order.
    #[must_use]
    pub fn listed(&self) -> &[Violation] {
        &self.listed
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, violation) in self.listed.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            if violation.field.is_empty() {
                f.write_str("the message ")?;
            } else {
                write!(f, "{} ", violation.field)?;
            }
            f.write_str(violation.description)?;
        }
        if self.more > 0 {
            write!(f, "; and {} more", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for Violations {}

//! What is wrong with a line of a file.

use std::fmt;

/// One field of one line that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineFault {
    /// Line in the file, from 1.
    pub line: u64,
    /// Name of the column.
    pub field: String,
    /// What stands there.
    pub found: String,
    /// What was expected, and what to do.
    pub expected: String,
}

impl LineFault {
    /// The found text is cut to 60 characters.
    #[must_use]
    pub fn new(line: u64, field: &str, found: &str, expected: impl Into<String>) -> Self {
        let mut shown: String = found.chars().take(60).collect();
        if shown.len() < found.len() {
            shown.push('…');
        }
        Self {
            line,
            field: field.to_owned(),
            found: shown,
            expected: expected.into(),
        }
    }
}

impl fmt::Display for LineFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line,
            field,
            found,
            expected,
        } = self;
        if found.is_empty() {
            write!(f, "line {line}, {field}: empty; expected {expected}")
        } else {
            write!(
                f,
                "line {line}, {field}: found {found:?}; expected {expected}"
            )
        }
    }
}

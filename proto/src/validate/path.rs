use std::fmt;

/// Longest map key that is shown in a path, in characters; keys are the caller's text.
const KEY_SHOWN: usize = 64;

/// Where a value lies in a message, as a list on the stack: building it costs nothing while all is well.
#[derive(Clone, Copy, Debug)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Root,
    Field(&'static str),
    Index(usize),
    Key(&'a dyn Key),
}

/// A map key as a path shows it: text in quotes, numbers plain.
pub trait Key: fmt::Debug {}
impl<T: fmt::Debug> Key for T {}

impl Path<'_> {
    /// The message itself.
    pub const ROOT: Path<'static> = Path {
        parent: None,
        step: Step::Root,
    };

    /// The field `name` of the message here.
    #[must_use]
    pub fn field<'b>(&'b self, name: &'static str) -> Path<'b> {
        Path {
            parent: Some(self),
            step: Step::Field(name),
        }
    }

    /// The item at `index` of the list here, counted from 0.
    #[must_use]
    pub fn index(&self, index: usize) -> Path<'_> {
        Path {
            parent: Some(self),
            step: Step::Index(index),
        }
    }

    /// The entry with `key` of the map here.
    #[must_use]
    pub fn key<'b>(&'b self, key: &'b dyn Key) -> Path<'b> {
        Path {
            parent: Some(self),
            step: Step::Key(key),
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Root => Ok(()),
            Step::Field(name) => {
                if self
                    .parent
                    .is_some_and(|parent| !matches!(parent.step, Step::Root))
                {
                    f.write_str(".")?;
                }
                f.write_str(name)
            }
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Key(key) => {
                let text = format!("{key:?}");
                match text.char_indices().nth(KEY_SHOWN) {
                    Some((end, _)) => write!(f, "[{}…]", &text[..end]),
                    None => write!(f, "[{text}]"),
                }
            }
        }
    }
}

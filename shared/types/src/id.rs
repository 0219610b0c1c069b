//! Typed ids: 16 bytes each, never mixed up with one another.

use std::fmt;
use uuid::Uuid;

/// A text that is no UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a UUID such as 0197a3c2-7c1e-7a53-9a55-0c2f6d1b8e10")]
pub struct IdError;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);

        impl $name {
            /// The bare UUID.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }

            /// Reads a UUID in any of its usual forms.
            ///
            /// # Errors
            /// [`IdError`] if the text is no UUID.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                Uuid::try_parse(text).map(Self).map_err(|_| IdError)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

id! {
    /// The business whose customers these are.
    TenantId
}
id! {
    /// A customer: an arrival id (derived from its first key) or a canonical one (the root of a merge).
    CustomerId
}
id! {
    /// Any other record.
    RecordId
}

impl From<CustomerId> for RecordId {
    fn from(id: CustomerId) -> Self {
        Self(id.0)
    }
}

/// Where a record comes from: the source system and the id that it has there. Compared byte by byte.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceKey {
    /// Source system, such as `shop`.
    pub source: String,
    /// The record's id in that system.
    pub external_id: String,
}

impl SourceKey {
    /// A key as it is stored, in two columns that are both empty for a record without one.
    #[must_use]
    pub fn stored(source: Option<String>, external_id: Option<String>) -> Option<Self> {
        Some(Self::new(source?, external_id?))
    }

    /// A key of two texts.
    pub fn new(source: impl Into<String>, external_id: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            external_id: external_id.into(),
        }
    }
}

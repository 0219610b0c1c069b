//! One column of many rows.

use std::borrow::Cow;

use uuid::Uuid;

/// The values of one column, owned or borrowed; or one value for every row (`One…`).
#[derive(Debug, Clone)]
pub enum ColumnData<'a> {
    /// Ids.
    Uuid(Cow<'a, [Uuid]>),
    /// Ids or NULL.
    OptUuid(Cow<'a, [Option<Uuid>]>),
    /// Whole numbers.
    I64(Cow<'a, [i64]>),
    /// Whole numbers or NULL.
    OptI64(Cow<'a, [Option<i64>]>),
    /// Doubles.
    F64(Cow<'a, [f64]>),
    /// Doubles or NULL.
    OptF64(Cow<'a, [Option<f64>]>),
    /// Texts.
    Text(Cow<'a, [String]>),
    /// Texts or NULL.
    OptText(Cow<'a, [Option<String>]>),
    /// Borrowed texts, such as words of a closed set.
    Str(Vec<&'a str>),
    /// Borrowed texts or NULL.
    OptStr(Vec<Option<&'a str>>),
    /// Bytes.
    Bytes(Cow<'a, [Vec<u8>]>),
    /// Bytes or NULL.
    OptBytes(Cow<'a, [Option<Vec<u8>>]>),
    /// Booleans (0 or 1 in the store).
    Flag(Vec<bool>),
    /// The same id in every row.
    OneUuid(Uuid),
    /// The same number in every row.
    OneI64(i64),
    /// The same text in every row.
    OneText(&'a str),
}

impl ColumnData<'_> {
    /// Number of rows; None for a constant.
    pub(super) fn len(&self) -> Option<usize> {
        Some(match self {
            Self::Uuid(v) => v.len(),
            Self::OptUuid(v) => v.len(),
            Self::I64(v) => v.len(),
            Self::OptI64(v) => v.len(),
            Self::F64(v) => v.len(),
            Self::OptF64(v) => v.len(),
            Self::Text(v) => v.len(),
            Self::OptText(v) => v.len(),
            Self::Str(v) => v.len(),
            Self::OptStr(v) => v.len(),
            Self::Bytes(v) => v.len(),
            Self::OptBytes(v) => v.len(),
            Self::Flag(v) => v.len(),
            Self::OneUuid(_) | Self::OneI64(_) | Self::OneText(_) => return None,
        })
    }
}

macro_rules! from {
    ($($variant:ident: $item:ty;)*) => {
        $(
            impl From<Vec<$item>> for ColumnData<'_> {
                fn from(values: Vec<$item>) -> Self {
                    Self::$variant(Cow::Owned(values))
                }
            }

            impl<'a> From<&'a [$item]> for ColumnData<'a> {
                fn from(values: &'a [$item]) -> Self {
                    Self::$variant(Cow::Borrowed(values))
                }
            }

            impl<'a> From<&'a Vec<$item>> for ColumnData<'a> {
                fn from(values: &'a Vec<$item>) -> Self {
                    Self::$variant(Cow::Borrowed(values))
                }
            }
        )*
    };
}

from! {
    Uuid: Uuid;
    OptUuid: Option<Uuid>;
    I64: i64;
    OptI64: Option<i64>;
    F64: f64;
    OptF64: Option<f64>;
    Text: String;
    OptText: Option<String>;
    Bytes: Vec<u8>;
    OptBytes: Option<Vec<u8>>;
}

impl<'a> From<Vec<&'a str>> for ColumnData<'a> {
    fn from(values: Vec<&'a str>) -> Self {
        Self::Str(values)
    }
}

impl<'a> From<Vec<Option<&'a str>>> for ColumnData<'a> {
    fn from(values: Vec<Option<&'a str>>) -> Self {
        Self::OptStr(values)
    }
}

impl From<Vec<bool>> for ColumnData<'_> {
    fn from(values: Vec<bool>) -> Self {
        Self::Flag(values)
    }
}

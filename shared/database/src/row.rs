//! One row of an answer, the same on both engines.

use sea_orm::{QueryResult, TryGetable};

use crate::error::StoreError;

/// One row; columns by their place in the SELECT, from 0.
#[derive(Debug)]
pub struct Row(pub(crate) QueryResult);

impl Row {
    /// The value of a column: `i64`, `String`, `Vec<u8>`, `Uuid`, `f64`, or `Option` of these. Booleans are stored as
    /// 0 and 1: see [`Row::flag`].
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if the column is not there or of another type.
    pub fn get<T: TryGetable>(&self, column: usize) -> Result<T, StoreError> {
        self.0.try_get_by_index(column).map_err(StoreError::from)
    }

    /// A boolean column.
    ///
    /// # Errors
    /// As [`Row::get`].
    pub fn flag(&self, column: usize) -> Result<bool, StoreError> {
        Ok(self.get::<i16>(column)? != 0)
    }

    /// A column of 32 bytes.
    ///
    /// # Errors
    /// As [`Row::get`], and if it has another length.
    pub fn digest(&self, column: usize) -> Result<[u8; 32], StoreError> {
        let bytes: Vec<u8> = self.get(column)?;
        <[u8; 32]>::try_from(bytes)
            .map_err(|_| StoreError::corrupt("a digest is not 32 bytes long"))
    }

    /// The row as sea-orm sees it, for `FromQueryResult`.
    #[must_use]
    pub fn inner(&self) -> &QueryResult {
        &self.0
    }
}

//! The content of a record as bytes, so that two contents are equal exactly when their bytes are. Digests of it (keyed)
//! tell a resend from a correction.

use regard_types::{SourceKey, Uuid};

/// Bytes of a content: each part with its length or a mark for absence.
#[derive(Debug, Default)]
pub(crate) struct Content(Vec<u8>);

impl Content {
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(&(text.len() as u64).to_be_bytes());
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    pub fn number(&mut self, number: i64) -> &mut Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub fn optional_number(&mut self, number: Option<i64>) -> &mut Self {
        self.0.push(u8::from(number.is_some()));
        self.number(number.unwrap_or_default())
    }

    pub fn id(&mut self, id: Option<Uuid>) -> &mut Self {
        self.0.push(u8::from(id.is_some()));
        self.0.extend_from_slice(id.unwrap_or_default().as_bytes());
        self
    }

    pub fn key(&mut self, key: Option<&SourceKey>) -> &mut Self {
        self.0.push(u8::from(key.is_some()));
        match key {
            Some(key) => self.text(&key.source).text(&key.external_id),
            None => self,
        }
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

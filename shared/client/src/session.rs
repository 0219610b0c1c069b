//! A session remembers what it wrote, so that its reads are answered from data at least that new.

use std::sync::{Mutex, PoisonError};

use regard_types::{ChangeToken, TokenError};

/// The change tokens of a series of calls, merged into one. Share it behind an `Arc`.
#[derive(Debug, Default)]
pub struct Session(Mutex<ChangeToken>);

impl Session {
    /// Nothing written yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers the `change_token` of a response; an empty one says nothing.
    ///
    /// # Errors
    /// [`TokenError`] if the text is no token of this suite.
    pub fn note(&self, token: &str) -> Result<(), TokenError> {
        let token = ChangeToken::decode(token)?;
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .merge(&token);
        Ok(())
    }

    /// The `change_tokens` of the next read; empty if nothing was written.
    #[must_use]
    pub fn tokens(&self) -> Vec<String> {
        let token = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if token.is_empty() {
            Vec::new()
        } else {
            vec![token.encode()]
        }
    }

    /// Forgets everything, for example after `TOKEN_EPOCH_GONE`.
    pub fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = ChangeToken::default();
    }
}

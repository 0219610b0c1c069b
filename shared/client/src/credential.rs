//! Who calls: a key, or a token in a file that another program renews.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderValue;
use tonic::Status;

use crate::ConnectError;

/// How long a token that was read is used before its file is looked at again.
const FRESH: Duration = Duration::from_secs(1);

/// The value of the header `authorization`.
#[derive(Clone)]
pub(crate) enum Credential {
    None,
    Fixed(HeaderValue),
    File(Arc<TokenFile>),
}

/// A file that holds a token, such as one that Kubernetes projects and renews.
pub(crate) struct TokenFile {
    path: PathBuf,
    held: Mutex<Option<(Instant, HeaderValue)>>,
}

impl Credential {
    pub(crate) fn key(key: &str) -> Result<Self, ConnectError> {
        bearer(key).map(Self::Fixed).ok_or(ConnectError::Key)
    }

    pub(crate) fn file(path: PathBuf) -> Self {
        Self::File(Arc::new(TokenFile {
            path,
            held: Mutex::new(None),
        }))
    }

    /// The header of a call that is made now.
    pub(crate) fn header(&self) -> Result<Option<HeaderValue>, Status> {
        match self {
            Self::None => Ok(None),
            Self::Fixed(value) => Ok(Some(value.clone())),
            Self::File(file) => file.header().map(Some),
        }
    }
}

impl TokenFile {
    fn header(&self) -> Result<HeaderValue, Status> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((read, value)) = &*held
            && read.elapsed() < FRESH
        {
            return Ok(value.clone());
        }
        let problem = match std::fs::read_to_string(&self.path) {
            Ok(text) => match bearer(text.trim()) {
                Some(value) => {
                    *held = Some((Instant::now(), value.clone()));
                    return Ok(value);
                }
                None => "holds no token".to_owned(),
            },
            Err(error) => format!("cannot be read: {error}"),
        };
        let path = self.path.display();
        match &mut *held {
            // A file that is being replaced; the old token is most likely good still.
            Some((read, value)) => {
                tracing::warn!(%path, problem, "the token's file; the old token stays");
                *read = Instant::now();
                Ok(value.clone())
            }
            None => Err(Status::unauthenticated(format!(
                "the token's file {path} {problem}"
            ))),
        }
    }
}

fn bearer(secret: &str) -> Option<HeaderValue> {
    if secret.is_empty() {
        return None;
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {secret}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Fixed(_) => f.write_str("***"),
            Self::File(file) => write!(f, "{}", file.path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_renewed_token_is_taken_and_a_vanished_file_forgiven() {
        let path = std::env::temp_dir().join(format!("regard-token-{}", std::process::id()));
        let credential = Credential::file(path.clone());
        assert_eq!(
            credential.header().unwrap_err().code(),
            tonic::Code::Unauthenticated
        );
        let shown = || {
            credential
                .header()
                .unwrap()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        };
        std::fs::write(&path, "first\n").unwrap();
        assert_eq!(shown(), "Bearer first");
        std::fs::write(&path, "second\n").unwrap();
        std::thread::sleep(FRESH);
        assert_eq!(shown(), "Bearer second");
        std::fs::remove_file(&path).unwrap();
        std::thread::sleep(FRESH);
        assert_eq!(shown(), "Bearer second");
    }
}

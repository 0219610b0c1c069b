//! The one error that leaves the application layer. The edge turns it into a status with details.

use std::error::Error;
use std::fmt;

/// What went wrong, as the caller must see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request is wrong in itself.
    Invalid,
    /// No such record.
    NotFound,
    /// Such a record exists already.
    Exists,
    /// The record moved on: read again.
    Stale,
    /// The record's state (or the request's history) forbids it.
    WrongState,
    /// Not allowed.
    Denied,
    /// Nobody knows the caller.
    Unauthenticated,
    /// Over a limit.
    TooMuch,
    /// Try again shortly.
    Busy,
    /// A store or a service is away.
    Down,
    /// The deadline passed.
    Late,
    /// A fault of ours.
    Bug,
}

/// An error for the caller: kind, stable reason, message, and what each field did wrong.
pub struct Fault {
    /// What kind of error.
    pub kind: Kind,
    /// Stable reason: a name of `ErrorReason` without its prefix.
    pub reason: &'static str,
    /// For people; names the thing, what was expected and what to do.
    pub message: String,
    /// Facts for programs.
    pub meta: Vec<(String, String)>,
    /// (field path, why).
    pub violations: Vec<(String, String)>,
    /// What caused it; for the log, never for the caller.
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl Fault {
    /// A fault of a kind with its reason and message.
    pub fn new(kind: Kind, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            reason,
            message: message.into(),
            meta: Vec::new(),
            violations: Vec::new(),
            source: None,
        }
    }

    /// One wrong field (`FIELD_INVALID`).
    pub fn invalid(field: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(
            Kind::Invalid,
            "FIELD_INVALID",
            "the request has an invalid field",
        )
        .and_invalid(field, why)
    }

    /// One more wrong field.
    #[must_use]
    pub fn and_invalid(mut self, field: impl Into<String>, why: impl Into<String>) -> Self {
        self.violations.push((field.into(), why.into()));
        if self.violations.len() > 1 {
            "the request has invalid fields".clone_into(&mut self.message);
        }
        self
    }

    /// No record of this kind with this id (`CUSTOMER_UNKNOWN` or `RECORD_UNKNOWN`).
    pub fn not_found(kind: &str, id: impl fmt::Display) -> Self {
        let reason = if kind == "customer" {
            "CUSTOMER_UNKNOWN"
        } else {
            "RECORD_UNKNOWN"
        };
        let fault = Self::new(
            Kind::NotFound,
            reason,
            format!("no {kind} {id} in this tenant"),
        );
        fault.meta("resource", kind).meta("id", id)
    }

    /// There is one already (`RECORD_EXISTS`).
    pub fn exists(kind: &str, id: impl fmt::Display) -> Self {
        let fault = Self::new(
            Kind::Exists,
            "RECORD_EXISTS",
            format!("{kind} {id} exists already"),
        );
        fault.meta("resource", kind).meta("id", id)
    }

    /// The etag is not the stored one (`ETAG_MISMATCH`).
    #[must_use]
    pub fn stale() -> Self {
        Self::new(
            Kind::Stale,
            "ETAG_MISMATCH",
            "the record was changed meanwhile; read it again and repeat",
        )
    }

    /// The record's state forbids it (`WRONG_STATE`).
    pub fn wrong_state(state: &str, message: impl Into<String>) -> Self {
        Self::new(Kind::WrongState, "WRONG_STATE", message).meta("state", state)
    }

    /// Another reason why the state forbids it.
    pub fn refused(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::WrongState, reason, message)
    }

    /// Not allowed (`PERMISSION_DENIED`).
    pub fn denied(permission: &str) -> Self {
        let message = format!("the caller lacks the permission {permission}");
        Self::new(Kind::Denied, "PERMISSION_DENIED", message).meta("permission", permission)
    }

    /// Unknown caller (`UNAUTHENTICATED`).
    pub fn unauthenticated(message: impl Into<String>) -> Self {
        Self::new(Kind::Unauthenticated, "UNAUTHENTICATED", message)
    }

    /// Over a limit (`TOO_MANY_REQUESTS`).
    pub fn too_much(message: impl Into<String>) -> Self {
        Self::new(Kind::TooMuch, "TOO_MANY_REQUESTS", message)
    }

    /// The store is busy (`BUSY`).
    #[must_use]
    pub fn busy() -> Self {
        Self::new(Kind::Busy, "BUSY", "the store is busy; try again shortly")
    }

    /// Something needed is away (`STORE_UNAVAILABLE`).
    pub fn down(what: &str) -> Self {
        Self::new(
            Kind::Down,
            "STORE_UNAVAILABLE",
            format!("{what} cannot be reached; try again later"),
        )
    }

    /// The deadline passed (`DEADLINE_EXCEEDED`).
    #[must_use]
    pub fn late() -> Self {
        Self::new(
            Kind::Late,
            "DEADLINE_EXCEEDED",
            "the time limit of the call passed",
        )
    }

    /// A fault of ours (`INTERNAL`).
    pub fn bug(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Kind::Bug, "INTERNAL", "internal error").caused_by(source)
    }

    /// Adds a fact.
    #[must_use]
    pub fn meta(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.meta.push((key.to_owned(), value.to_string()));
        self
    }

    /// Replaces the reason.
    #[must_use]
    pub fn with_reason(mut self, reason: &'static str) -> Self {
        self.reason = reason;
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)?;
        for (field, why) in &self.violations {
            write!(f, "; {field}: {why}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fault")
            .field("kind", &self.kind)
            .field("reason", &self.reason)
            .field("message", &self.message)
            .field("meta", &self.meta)
            .field("violations", &self.violations)
            .field("source", &self.source)
            .finish()
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn Error + 'static))
    }
}

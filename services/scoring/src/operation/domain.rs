//! What an operation is.

use regard_types::{Day, Micros, TenantId, Uuid};

use crate::model::domain::ModelKind;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Fit a model; on the tenant's day when the work begins unless a day is named.
    Fit(ModelKind, Option<Day>),
    /// Compute the scores of all customers anew.
    Rescore,
}

impl Task {
    /// The word in the store.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Fit(..) => "fit_model",
            Self::Rescore => "rescore_all",
        }
    }
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nobody works on it yet.
    Waiting,
    /// A replica works on it, or did when it died.
    Running,
    /// It has a result.
    Done,
    /// It has an error.
    Failed,
    /// It was stopped on request.
    Cancelled,
}

impl State {
    /// All states.
    pub const ALL: [Self; 5] = [
        Self::Waiting,
        Self::Running,
        Self::Done,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The word in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// From the word in the store.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == word)
    }

    /// Whether there is still something to do.
    #[must_use]
    pub const fn open(self) -> bool {
        matches!(self, Self::Waiting | Self::Running)
    }
}

/// How far the work is, and where it goes on after a crash.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// Steps done.
    pub done: i64,
    /// Steps in all; 0 while unknown.
    pub total: i64,
    /// What is being done.
    pub step: String,
    /// The last customer that is done.
    pub after: Uuid,
}

/// An operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// The tenant.
    pub tenant: TenantId,
    /// The id.
    pub id: Uuid,
    /// What is to be done.
    pub task: Task,
    /// How far it is.
    pub state: State,
    /// Whether it was asked to stop.
    pub cancel: bool,
    /// How far it is.
    pub progress: Progress,
    /// Once done: an encoded `google.protobuf.Any`; once failed or stopped: an encoded `google.rpc.Status`.
    pub result: Vec<u8>,
    /// When it was asked for.
    pub created: Micros,
}

impl Operation {
    /// A new one.
    #[must_use]
    pub fn new(tenant: TenantId, id: Uuid, task: Task, created: Micros) -> Self {
        Self {
            tenant,
            id,
            task,
            state: State::Waiting,
            cancel: false,
            progress: Progress::default(),
            result: Vec::new(),
            created,
        }
    }
}

//! An erasure, and who must report before it is complete.

use regard_erasure::ErasurePart;
use regard_types::{Micros, Uuid};

/// The services that hold something of a person, in the order of names.
pub const SERVICES: [&str; 3] = ["customer", "feedback", "scoring"];

/// How far an erasure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Some service has not reported.
    Running,
    /// All have.
    Complete,
}

/// The erasure of a person. It knows neither the person nor its old ids.
#[derive(Debug, Clone, PartialEq)]
pub struct Erasure {
    /// Its id.
    pub id: Uuid,
    /// Why, coded.
    pub reason: String,
    /// When it was asked for.
    pub created: Micros,
    /// When the last service reported.
    pub completed: Option<Micros>,
    /// What was reported, in the order of services' names.
    pub parts: Vec<ErasurePart>,
}

impl Erasure {
    /// How far it is.
    pub fn state(&self) -> State {
        match self.completed {
            Some(_) => State::Complete,
            None => State::Running,
        }
    }

    /// Those that have not reported.
    pub fn pending(&self) -> impl Iterator<Item = &'static str> + '_ {
        let reported = |service: &&str| self.parts.iter().any(|part| part.service == **service);
        SERVICES
            .into_iter()
            .filter(move |service| !reported(service))
    }
}

//! Change tokens: opaque to callers; which changes an answer must contain.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost::Message as _;
use uuid::Uuid;

/// The service whose feed a token speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Who the customer is.
    Customer,
    /// What they said.
    Feedback,
    /// What it means.
    Scoring,
}

impl Service {
    /// All services.
    pub const ALL: &'static [Service] = &[Self::Customer, Self::Feedback, Self::Scoring];

    /// The name in settings, tables and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Feedback => "feedback",
            Self::Scoring => "scoring",
        }
    }

    /// Reads the name; None for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|s| s.as_str() == text)
    }

    const fn number(self) -> u32 {
        match self {
            Self::Customer => 1,
            Self::Feedback => 2,
            Self::Scoring => 3,
        }
    }
}

impl std::fmt::Display for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One position of one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenPart {
    /// Whose feed.
    pub service: Service,
    /// The feed's epoch.
    pub epoch: Uuid,
    /// Lane.
    pub lane: u16,
    /// Position in the lane, from 1.
    pub position: u64,
    /// Nonce of the transaction at this position: tells a restored feed from its original.
    pub nonce: u64,
}

/// Positions that an answer must cover; at most one a (service, epoch, lane).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChangeToken(pub Vec<TokenPart>);

/// A text that is no change token of this version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a change token of this suite; pass the text exactly as a response gave it")]
pub struct TokenError;

/// The most parts of one token: three services of 64 lanes each, and room for an old epoch.
const MAX_PARTS: usize = 256;
const VERSION: u32 = 1;

#[derive(Clone, PartialEq, prost::Message)]
struct Wire {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(message, repeated, tag = "2")]
    parts: Vec<WirePart>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WirePart {
    #[prost(uint32, tag = "1")]
    service: u32,
    #[prost(bytes = "vec", tag = "2")]
    epoch: Vec<u8>,
    #[prost(uint32, tag = "3")]
    lane: u32,
    #[prost(uint64, tag = "4")]
    position: u64,
    #[prost(fixed64, tag = "5")]
    nonce: u64,
}

impl ChangeToken {
    /// A token of one position.
    #[must_use]
    pub fn one(part: TokenPart) -> Self {
        Self(vec![part])
    }

    /// Whether it asks for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The parts that speak of one service's feed.
    pub fn of(&self, service: Service) -> impl Iterator<Item = &TokenPart> {
        self.0.iter().filter(move |p| p.service == service)
    }

    /// Opaque text (base64url of a versioned message). The empty token is the empty text.
    #[must_use]
    pub fn encode(&self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let parts = self.0.iter().map(|p| WirePart {
            service: p.service.number(),
            epoch: p.epoch.as_bytes().to_vec(),
            lane: u32::from(p.lane),
            position: p.position,
            nonce: p.nonce,
        });
        let wire = Wire {
            version: VERSION,
            parts: parts.collect(),
        };
        URL_SAFE_NO_PAD.encode(wire.encode_to_vec())
    }

    /// Reads the opaque text.
    ///
    /// # Errors
    /// [`TokenError`] for anything that [`ChangeToken::encode`] would not write.
    pub fn decode(text: &str) -> Result<Self, TokenError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        if text.len() > MAX_PARTS * 64 {
            return Err(TokenError);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError)?;
        let wire = Wire::decode(bytes.as_slice()).map_err(|_| TokenError)?;
        if wire.version != VERSION || wire.parts.is_empty() || wire.parts.len() > MAX_PARTS {
            return Err(TokenError);
        }
        let mut token = Self::default();
        for part in &wire.parts {
            token.merge_part(TokenPart {
                service: Service::ALL
                    .iter()
                    .copied()
                    .find(|s| s.number() == part.service)
                    .ok_or(TokenError)?,
                epoch: Uuid::from_slice(&part.epoch).map_err(|_| TokenError)?,
                lane: u16::try_from(part.lane).map_err(|_| TokenError)?,
                position: i64::try_from(part.position)
                    .map_err(|_| TokenError)?
                    .unsigned_abs(),
                nonce: part.nonce,
            });
        }
        Ok(token)
    }

    /// Takes the larger position of each (service, epoch, lane). Parts of another epoch stay apart: whoever
    /// checks the token must be able to say that an epoch is gone.
    pub fn merge(&mut self, other: &Self) {
        for part in &other.0 {
            self.merge_part(*part);
        }
    }

    fn merge_part(&mut self, part: TokenPart) {
        let same = |p: &&mut TokenPart| {
            p.service == part.service && p.epoch == part.epoch && p.lane == part.lane
        };
        match self.0.iter_mut().find(same) {
            Some(have) if have.position < part.position => *have = part,
            Some(_) => {}
            None => self.0.push(part),
        }
    }
}

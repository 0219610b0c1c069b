//! What a piece of feedback is.

use regard_types::{Channel, CustomerId, Micros, RecordId, SourceKey};

use crate::content::Content;

/// What sort of feedback it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FeedbackKind {
    /// Praise.
    Praise,
    /// A suggestion.
    Suggestion,
    /// A question.
    Question,
    /// A public review.
    Review,
    /// A mention elsewhere.
    Mention,
}

impl FeedbackKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [
        Self::Praise,
        Self::Suggestion,
        Self::Question,
        Self::Review,
        Self::Mention,
    ];

    /// Short name, as stored and as measured.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Praise => "praise",
            Self::Suggestion => "suggestion",
            Self::Question => "question",
            Self::Review => "review",
            Self::Mention => "mention",
        }
    }

    /// Reads the short name; None for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A piece of feedback to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewItem {
    /// Its key at its source.
    pub key: Option<SourceKey>,
    /// Who said it; None if anonymous.
    pub customer: Option<CustomerId>,
    /// What sort.
    pub kind: FeedbackKind,
    /// What was said; personal.
    pub text: String,
    /// The rating that came with it, 1 to 5.
    pub rating: Option<i32>,
    /// How it reached us.
    pub channel: Option<Channel>,
    /// When it was said.
    pub said: Micros,
}

impl NewItem {
    /// Whether what is sent again says what is stored here. A text that is kept no longer may have been any.
    #[must_use]
    pub(crate) fn is_resent_as(&self, sent: &Self) -> bool {
        let text = if self.text.is_empty() { "" } else { &sent.text };
        *self
            == Self {
                text: text.to_owned(),
                ..sent.clone()
            }
    }

    /// The content as bytes, for digests.
    #[must_use]
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let Self {
            key,
            customer,
            kind,
            text,
            rating,
            channel,
            said,
        } = self;
        let mut bytes = Content::default();
        bytes
            .key(key.as_ref())
            .id(customer.map(|c| c.0))
            .text(kind.as_str())
            .text(text);
        bytes
            .optional_number(rating.map(i64::from))
            .text(channel.map_or("", Channel::as_str))
            .number(said.0);
        bytes.into_bytes()
    }
}

/// A stored piece of feedback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedbackItem {
    /// Id.
    pub id: RecordId,
    /// Version, from 1.
    pub version: i64,
    /// When first recorded.
    pub created: Micros,
    /// When last changed.
    pub updated: Micros,
    /// What was recorded.
    pub content: NewItem,
}

//! Pages of a list by keyset. A page token is ours, versioned, and bound to the caller's tenant, the method, the
//! filter and the order; it holds the keys of the last row.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost::Message;
use regard_types::{Caller, Fault, Kind, Uuid};

use crate::command::digest;

/// Rows of a page unless the request says otherwise.
pub const DEFAULT_SIZE: usize = 50;
/// Most rows of a page.
pub const MAX_SIZE: usize = 1_000;

const VERSION: u32 = 1;
/// Numbers of `page_size` and `page_token` in every list request.
const PAGE_FIELDS: [u32; 2] = [10, 11];

/// One key of the order.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyPart {
    /// A whole number, such as microseconds.
    I64(i64),
    /// A number; its bits are kept exactly.
    F64(f64),
    /// Text.
    Text(String),
    /// An id.
    Uuid(Uuid),
}

impl KeyPart {
    /// The whole number.
    #[must_use]
    pub fn i64(&self) -> Option<i64> {
        if let Self::I64(value) = self {
            Some(*value)
        } else {
            None
        }
    }

    /// The number.
    #[must_use]
    pub fn f64(&self) -> Option<f64> {
        if let Self::F64(value) = self {
            Some(*value)
        } else {
            None
        }
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        if let Self::Text(value) = self {
            Some(value)
        } else {
            None
        }
    }

    /// The id.
    #[must_use]
    pub fn uuid(&self) -> Option<Uuid> {
        if let Self::Uuid(value) = self {
            Some(*value)
        } else {
            None
        }
    }
}

/// The page that a request asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// How many rows, 1 to [`MAX_SIZE`]. Read one more to know whether there is a next page.
    pub size: usize,
    /// The keys of the last row before this page, in the list's order; none for the first page.
    pub after: Option<Vec<KeyPart>>,
    question: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Token {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(fixed64, tag = "2")]
    question: u64,
    #[prost(message, repeated, tag = "3")]
    keys: Vec<TokenKey>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct TokenKey {
    #[prost(oneof = "TokenValue", tags = "1, 2, 3, 4")]
    value: Option<TokenValue>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum TokenValue {
    #[prost(sfixed64, tag = "1")]
    I64(i64),
    #[prost(fixed64, tag = "2")]
    F64(u64),
    #[prost(string, tag = "3")]
    Text(String),
    #[prost(bytes, tag = "4")]
    Uuid(Vec<u8>),
}

impl Page {
    /// The page that a list request asks for; everything in the request but `page_size` and `page_token` is its filter.
    ///
    /// # Errors
    /// As [`Page::of`].
    pub fn read<M: Message>(
        caller: &Caller,
        method: &str,
        request: &M,
        page_size: i32,
        page_token: &str,
    ) -> Result<Self, Fault> {
        let filter = short(&digest(&request.encode_to_vec(), &PAGE_FIELDS));
        let tenant = caller.tenant.uuid().as_u64_pair();
        Self::of(
            method,
            filter ^ tenant.0 ^ tenant.1.rotate_left(1),
            page_size,
            page_token,
        )
    }

    /// The page of a question: `filter_hash` covers tenant, filter and order. A size of 0 means [`DEFAULT_SIZE`], a
    /// larger one than [`MAX_SIZE`] is cut.
    ///
    /// # Errors
    /// `TOKEN_INVALID` if the token is not ours, `PAGE_TOKEN_MISMATCH` if it answers another question.
    pub fn of(
        method: &str,
        filter_hash: u64,
        page_size: i32,
        page_token: &str,
    ) -> Result<Self, Fault> {
        let question = filter_hash ^ short(&digest_of(method));
        let size = match usize::try_from(page_size) {
            Err(_) | Ok(0) => DEFAULT_SIZE,
            Ok(size) => size.min(MAX_SIZE),
        };
        if page_token.is_empty() {
            return Ok(Self {
                size,
                after: None,
                question,
            });
        }
        let token = URL_SAFE_NO_PAD
            .decode(page_token)
            .ok()
            .and_then(|bytes| Token::decode(bytes.as_slice()).ok());
        let token = token
            .filter(|token| token.version == VERSION)
            .ok_or_else(invalid)?;
        if token.question != question {
            return Err(Fault::new(
                Kind::Invalid,
                "PAGE_TOKEN_MISMATCH",
                "the page token belongs to another question; repeat the filter of the first page, or start without a token",
            )
            .and_invalid("page_token", "must come from the same method, filter and order"));
        }
        let after = token
            .keys
            .into_iter()
            .map(|key| key.value.and_then(KeyPart::from_token))
            .collect::<Option<Vec<_>>>();
        Ok(Self {
            size,
            after: Some(after.ok_or_else(invalid)?),
            question,
        })
    }

    /// The token of the page after the row with these keys.
    #[must_use]
    pub fn next(&self, keys: &[KeyPart]) -> String {
        let keys = keys
            .iter()
            .map(|key| TokenKey {
                value: Some(key.to_token()),
            })
            .collect();
        URL_SAFE_NO_PAD.encode(
            Token {
                version: VERSION,
                question: self.question,
                keys,
            }
            .encode_to_vec(),
        )
    }
}

impl KeyPart {
    fn from_token(value: TokenValue) -> Option<Self> {
        Some(match value {
            TokenValue::I64(value) => Self::I64(value),
            TokenValue::F64(bits) => {
                Self::F64(Some(f64::from_bits(bits)).filter(|value| value.is_finite())?)
            }
            TokenValue::Text(value) => Self::Text(value),
            TokenValue::Uuid(bytes) => Self::Uuid(Uuid::from_slice(&bytes).ok()?),
        })
    }

    fn to_token(&self) -> TokenValue {
        match self {
            Self::I64(value) => TokenValue::I64(*value),
            Self::F64(value) => TokenValue::F64(value.to_bits()),
            Self::Text(value) => TokenValue::Text(value.clone()),
            Self::Uuid(value) => TokenValue::Uuid(value.as_bytes().to_vec()),
        }
    }
}

/// The fault of a page token whose keys are not those that the list wrote.
#[must_use]
pub fn invalid() -> Fault {
    Fault::new(
        Kind::Invalid,
        "TOKEN_INVALID",
        "the page token is not one of this suite; pass it on as it came",
    )
    .meta("field", "page_token")
    .and_invalid(
        "page_token",
        "must be a token exactly as a response gave it",
    )
}

fn digest_of(method: &str) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(method.as_bytes()).into()
}

fn short(digest: &[u8; 32]) -> u64 {
    digest
        .iter()
        .take(8)
        .fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

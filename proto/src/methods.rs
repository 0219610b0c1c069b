//! What the contract says about its RPCs and fields, read from the descriptors at build time.

/// One RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// Its path on the wire (`/regard.customer.v1.OrderService/RecordOrder`).
    pub path: &'static str,
    /// Full name of its service (`regard.customer.v1.OrderService`).
    pub service: &'static str,
    /// The permission that a caller needs.
    pub permission: &'static str,
    /// True where the request carries a `request_id`, as every mutating unary one does.
    pub request_id: bool,
    /// True where the caller streams.
    pub client_streaming: bool,
    /// True where the server streams.
    pub server_streaming: bool,
    /// True for a unary one that may wait on purpose for something to happen.
    pub waits: bool,
    /// The number of the request's `change_tokens`, where it has them: what is read is at least as new.
    pub change_tokens: Option<u32>,
    /// The number of the response's `change_token`, where it has one: names what was written.
    pub change_token: Option<u32>,
    /// Full name of its request message.
    pub request: &'static str,
    /// Full name of its response message.
    pub response: &'static str,
}

/// A field that is about a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PersonalField {
    /// Full name of its message (`regard.customer.v1.Customer`).
    pub message: &'static str,
    /// Its name in the `.proto` file.
    pub field: &'static str,
    /// Its number.
    pub number: u32,
}

/// A request that writes and may be repeated: every message with `request_id` and `validate_only`.
pub trait Mutation: prost::Message + Clone {
    /// Names the call for its repeats; empty where the caller wants none.
    fn request_id(&self) -> &str;

    /// Whether everything is checked and nothing stored.
    fn validate_only(&self) -> bool;
}

include!(concat!(env!("OUT_DIR"), "/methods.rs"));

/// The RPC with this wire path.
#[must_use]
pub fn method(path: &str) -> Option<&'static Method> {
    index_of(path).and_then(|index| METHODS.get(index))
}

/// The permission that the RPC with this wire path needs; none for an unknown path.
#[must_use]
pub fn method_permission(path: &str) -> Option<&'static str> {
    method(path).map(|method| method.permission)
}

/// Every field that is marked personal.
#[must_use]
pub fn personal_fields() -> &'static [PersonalField] {
    PERSONAL_FIELDS
}

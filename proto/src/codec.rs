//! The wire codec of every stub: prost's encoding, our errors, and the contract's rules on what comes in.

use std::fmt;
use std::marker::PhantomData;

use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use crate::error;
use crate::validate::Validate;

/// Codec that encodes `T` and decodes `U`; no handler sees a `U` that breaks a rule of its `.proto` file.
pub struct ValidatingCodec<T, U>(PhantomData<fn() -> (T, U)>);

impl<T, U> Default for ValidatingCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Clone for ValidatingCodec<T, U> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<T, U> fmt::Debug for ValidatingCodec<T, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ValidatingCodec")
    }
}

impl<T, U> Codec for ValidatingCodec<T, U>
where
    T: Message + 'static,
    U: Message + Default + Validate + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = MessageEncoder<T>;
    type Decoder = ValidatingDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        MessageEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        ValidatingDecoder(PhantomData)
    }
}

/// Writes messages as they are.
#[derive(Debug)]
pub struct MessageEncoder<T>(PhantomData<fn() -> T>);

impl<T: Message> Encoder for MessageEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buf)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

/// Reads messages and checks requests.
#[derive(Debug)]
pub struct ValidatingDecoder<U>(PhantomData<fn() -> U>);

impl<U: Message + Default + Validate> Decoder for ValidatingDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        decode(buf).map(Some)
    }
}

/// Decodes a message and, unless it is an answer, brings its texts to their normal form and checks it: what the codec does, for bytes from elsewhere.
///
/// # Errors
/// INVALID_ARGUMENT with reason `MESSAGE_MALFORMED` or `FIELD_INVALID` for a request; INTERNAL for an answer that
/// cannot be read.
pub fn decode<U: Message + Default + Validate>(buf: impl bytes::Buf) -> Result<U, Status> {
    match U::decode(buf) {
        Ok(message) if U::RESPONSE => Ok(message),
        Ok(mut message) => {
            message.normalize();
            match message.validate() {
                Ok(()) => Ok(message),
                Err(violations) => Err(error::invalid_fields(&violations)),
            }
        }
        Err(error) if U::RESPONSE => Err(error::malformed_answer(&error)),
        Err(error) => Err(error::malformed_message(&error)),
    }
}

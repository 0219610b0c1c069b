//! regard-types: values used all over the field: ids, times, days, money, channels, callers, change
//! tokens and the one error that leaves the application layer. Pure: no I/O, no async, no tonic, no database.

mod caller;
mod channel;
mod clock;
mod day;
mod fault;
mod id;
mod key;
mod money;
pub mod record;
mod scope;
pub mod token;
mod trace;
mod zone;

pub use caller::{Caller, CallerLimits, Permissions};
pub use channel::{Channel, ChannelError};
pub use clock::{Clock, Micros, new_record_id};
pub use day::{Day, DayError, Period};
pub use fault::{Fault, Kind};
pub use id::{CustomerId, IdError, RecordId, SourceKey, TenantId};
pub use key::{IdKey, IdSecret, SecretError};
pub use money::{Currency, Money, MoneyError};
pub use scope::{Entered, Scope};
pub use token::{ChangeToken, Service, TokenError, TokenPart};
pub use trace::{TRACE_BYTES, TRACE_TARGET, Trace};
pub use uuid::Uuid;
pub use zone::{Zone, ZoneError};

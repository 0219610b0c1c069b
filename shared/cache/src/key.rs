use std::hash::{Hash, Hasher};

use uuid::Uuid;

/// A kind of cached thing: its name, the schema of its value, and the epoch of the store that it comes from.
/// A change of the value's layout raises the schema; a restored store has another epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    name: &'static str,
    schema: u32,
    epoch: u64,
}

impl Slot {
    /// The name is part of the Redis key: short, without `:`.
    #[must_use]
    pub const fn new(name: &'static str, schema: u32, store_epoch: u64) -> Self {
        Self {
            name,
            schema,
            epoch: store_epoch,
        }
    }

    /// The key of one thing of this kind.
    #[must_use]
    pub const fn key(self, tenant: Uuid, day_version: u64, id: Uuid) -> Key {
        Key {
            slot: self,
            tenant,
            day_version,
            id,
        }
    }
}

/// The key of one cached thing: small, copied freely, and text only for Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    slot: Slot,
    tenant: Uuid,
    day_version: u64,
    id: Uuid,
}

impl Key {
    /// `regard:<slot>:v<schema>:<store epoch>:<tenant>:<day version>:<id>`
    #[must_use]
    pub fn text(&self) -> String {
        let Slot {
            name,
            schema,
            epoch,
        } = self.slot;
        format!(
            "regard:{name}:v{schema}:{epoch:x}:{}:{}:{}",
            self.tenant.simple(),
            self.day_version,
            self.id.simple()
        )
    }

    /// A number of few bits that is the same for the same thing.
    pub(crate) fn stripe(&self, stripes: usize) -> usize {
        let (high, low) = self.id.as_u64_pair();
        // Odd multiplier: time-ordered ids differ in few bits.
        let mixed = (high ^ low).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        usize::try_from(mixed).unwrap_or_default() % stripes
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The name is left out: few slots share an id, and equality looks at everything.
        state.write_u128(self.id.as_u128());
        state.write_u128(self.tenant.as_u128());
        state.write_u64(
            self.day_version ^ self.slot.epoch.rotate_left(32) ^ u64::from(self.slot.schema) << 48,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_all_parts_in_order() {
        let key = Slot::new("score", 3, 255).key(Uuid::from_u128(1), 7, Uuid::from_u128(2));
        assert_eq!(
            key.text(),
            "regard:score:v3:ff:00000000000000000000000000000001:7:00000000000000000000000000000002"
        );
    }
}

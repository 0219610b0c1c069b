//! What the end-to-end suites share: the services of the suite assembled as the binary assembles them, in this process or
//! in one of their own, and short ways to say what a test records and reads. Everything goes through the public contract;
//! only [`tables`] looks into stores, to compare them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::collapsible_match)]

pub mod child;
pub mod collector;
pub mod mutation;
pub mod overload;
pub mod plan;
pub mod prey;
pub mod raw;
pub mod scan;
pub mod shuffle;
pub mod storm;
pub mod tables;
pub mod values;
pub mod wild;
pub mod world;

/// Whether the long forms of the suites are asked for (`REGARD_LONG=1`), instead of the short ones.
#[must_use]
pub fn long() -> bool {
    std::env::var_os("REGARD_LONG").is_some_and(|value| value == "1")
}

/// The short or the long form's number.
#[must_use]
pub fn sized(short: usize, in_full: usize) -> usize {
    if long() { in_full } else { short }
}

/// Makes a test of each engine and cache (`NAME::sqlite_memory` and so on) of each `async fn NAME(world: World)`.
#[macro_export]
macro_rules! on_every_store_and_cache {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            use regard_testkit::{CacheKind, Engine, run};
            use regard_tests::world::World;

            #[test]
            fn sqlite_memory() {
                run(async { super::$name(World::new(Engine::Sqlite, CacheKind::Memory).await).await });
            }
            #[test]
            fn sqlite_redis() {
                run(async { super::$name(World::new(Engine::Sqlite, CacheKind::Redis).await).await });
            }
            #[test]
            fn postgres_memory() {
                run(async { super::$name(World::new(Engine::Postgres, CacheKind::Memory).await).await });
            }
            #[test]
            fn postgres_redis() {
                run(async { super::$name(World::new(Engine::Postgres, CacheKind::Redis).await).await });
            }
        }
    )+};
}

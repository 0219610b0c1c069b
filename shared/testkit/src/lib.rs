//! Private servers for a test run, and the engines as a matrix.
//!
//! A test asks for a store or a cache and gets a fresh one. The servers behind it are the ones that
//! `tests/run` started (`REGARD_TEST_POSTGRES_URL`, `REGARD_TEST_REDIS_URL`), or, when a test is run by
//! itself, servers that this process starts in a temporary folder and that end with it. A missing server
//! program is an error that says how to install it, never a skipped test.
//!
//! This crate serves tests only: what cannot be set up panics with the reason.
#![allow(clippy::panic)]

mod guard;
mod matrix;
mod pooler;
mod postgres;
mod programs;
mod redis;

pub use guard::free_port;
pub use matrix::{CacheKind, Engine, TestCache, TestStore, run};
pub use pooler::Pooler;
pub use postgres::{Postgres, TestDb, admin_url, migrate_url, postgres};
pub use redis::{Redis, RedisServer, redis};

/// Makes two tests, `NAME::sqlite` and `NAME::postgres`, of each `async fn NAME(store: TestStore)`.
/// The function may return anything that a test may return.
#[macro_export]
macro_rules! on_both_engines {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[test]
            fn sqlite() -> impl ::std::process::Termination {
                $crate::run(async { super::$name($crate::TestStore::new($crate::Engine::Sqlite).await).await })
            }
            #[test]
            fn postgres() -> impl ::std::process::Termination {
                $crate::run(async { super::$name($crate::TestStore::new($crate::Engine::Postgres).await).await })
            }
        }
    )+};
}

/// Makes two tests, `NAME::memory` and `NAME::redis`, of each `async fn NAME(cache: TestCache)`.
#[macro_export]
macro_rules! on_both_caches {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[test]
            fn memory() -> impl ::std::process::Termination {
                $crate::run(async { super::$name($crate::TestCache::new($crate::CacheKind::Memory).await).await })
            }
            #[test]
            fn redis() -> impl ::std::process::Termination {
                $crate::run(async { super::$name($crate::TestCache::new($crate::CacheKind::Redis).await).await })
            }
        }
    )+};
}

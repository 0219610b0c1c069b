//! The kit's own promises: fresh stores, private servers, nothing left behind.
#![allow(clippy::unwrap_used)]

use std::net::TcpStream;

use regard_testkit::{
    CacheKind, Engine, RedisServer, TestCache, TestStore, on_both_caches, on_both_engines,
};
use sqlx::Connection;

async fn each_store_is_fresh(store: TestStore) -> Result<(), sqlx::Error> {
    let other = store.another().await;
    assert_ne!(store.url, other.url);
    if store.engine == Engine::Postgres {
        for store in [&store, &other] {
            let mut owner = sqlx::PgConnection::connect(&store.migrate_url).await?;
            let table = "CREATE TABLE t (a int)";
            sqlx::query(table).execute(&mut owner).await?;
            let mut connection = sqlx::PgConnection::connect(&store.url).await?;
            let refused = sqlx::query("CREATE TABLE u (a int)")
                .execute(&mut connection)
                .await;
            assert!(refused.is_err(), "the service's role makes no tables");
            let superuser: String = sqlx::query_scalar("SELECT current_setting('is_superuser')")
                .fetch_one(&mut connection)
                .await?;
            assert_eq!(superuser, "off");
        }
    } else {
        assert!(!store.folder().unwrap().join("x.db").exists());
    }
    Ok(())
}
on_both_engines!(each_store_is_fresh);

async fn each_cache_has_its_own_place(cache: TestCache) {
    let other = TestCache::new(cache.kind).await;
    assert_eq!(cache.redis_url.is_some(), cache.kind == CacheKind::Redis);
    assert!(cache.kind == CacheKind::Memory || cache.redis_url != other.redis_url);
}
on_both_caches!(each_cache_has_its_own_place);

#[tokio::test]
async fn a_private_redis_stops_and_comes_back_on_its_port() {
    let mut server = RedisServer::start().await;
    let port = server.port();
    TcpStream::connect(("127.0.0.1", port)).unwrap();
    server.stop();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    server.start_again().await;
    assert_eq!(server.port(), port);
    TcpStream::connect(("127.0.0.1", port)).unwrap();
}

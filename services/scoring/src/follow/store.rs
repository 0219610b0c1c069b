//! The load and feed_cursor tables: what was read of each feed, and how far it is applied.

use regard_cache::{Mark, Vector};
use regard_database::{Engine, Row, StoreError, Tx};
use regard_types::{Service, TenantId, TokenPart, Uuid};

use crate::event::store::Loads;

/// What was read of a feed since its last snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// Its number.
    pub no: i64,
    /// The feed's epoch; nil until the first message told it.
    pub epoch: Uuid,
    /// True while its snapshot is being read.
    pub loading: bool,
    /// Where the snapshot goes on.
    pub resume: String,
}

/// How far a lane is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The lane.
    pub lane: u16,
    /// The last position applied.
    pub position: u64,
    /// The mark of the transaction there.
    pub nonce: u64,
    /// The last position whose effects are in the cache.
    pub cached: u64,
}

/// The load to work on: the one whose snapshot is being read, else the active one.
///
/// # Errors
/// What the engine answers.
pub async fn current(tx: &Tx, feed: Service) -> Result<Option<Load>, StoreError> {
    let sql = "SELECT no, epoch, CASE WHEN state = 'loading' THEN 1 ELSE 0 END, resume FROM load \
               WHERE feed = $1 AND state IN ('loading', 'active') ORDER BY no DESC LIMIT 1";
    let Some(row) = tx.fetch_one(sql, vec![feed.as_str().into()]).await? else {
        return Ok(None);
    };
    let resume: Vec<u8> = row.get(3)?;
    let loading: i32 = row.get(2)?;
    Ok(Some(Load {
        no: row.get(0)?,
        epoch: row.get(1)?,
        loading: loading != 0,
        resume: String::from_utf8(resume).map_err(StoreError::corrupt)?,
    }))
}

/// Begins a load; as the active one, or to be filled by a snapshot.
///
/// # Errors
/// What the engine answers.
pub async fn begin(tx: &Tx, feed: Service, loading: bool, now: i64) -> Result<Load, StoreError> {
    tx.run(
        "UPDATE load SET state = 'old' WHERE feed = $1 AND state = 'loading'",
        vec![feed.as_str().into()],
    )
    .await?;
    let state = if loading { "loading" } else { "active" };
    // Numbers of two feeds that begin at once must differ: they carry the feed in their last bit.
    let sql = "SELECT coalesce(max(no), 0) FROM load";
    let last: i64 = tx
        .fetch_one(sql, vec![])
        .await?
        .ok_or(StoreError::Missing)?
        .get(0)?;
    let no = (last / 2 + 1) * 2 + i64::from(feed == Service::Feedback);
    let sql = "INSERT INTO load (no, feed, epoch, state, resume, created) VALUES ($1, $2, $3, $4, $5, $6)";
    let values = vec![
        no.into(),
        feed.as_str().into(),
        Uuid::nil().into(),
        state.into(),
        Vec::<u8>::new().into(),
        now.into(),
    ];
    tx.run(sql, values).await?;
    Ok(Load {
        no,
        epoch: Uuid::nil(),
        loading,
        resume: String::new(),
    })
}

/// Notes the epoch of a load once it is known.
///
/// # Errors
/// What the engine answers.
pub async fn set_epoch(tx: &Tx, load: i64, epoch: Uuid) -> Result<(), StoreError> {
    tx.run(
        "UPDATE load SET epoch = $2 WHERE no = $1",
        vec![load.into(), epoch.into()],
    )
    .await?;
    Ok(())
}

/// Notes where a snapshot goes on.
///
/// # Errors
/// What the engine answers.
pub async fn set_resume(tx: &Tx, load: i64, resume: &str) -> Result<(), StoreError> {
    tx.run(
        "UPDATE load SET resume = $2 WHERE no = $1",
        vec![load.into(), resume.as_bytes().to_vec().into()],
    )
    .await?;
    Ok(())
}

/// Makes a loaded snapshot the active load, in place of the one before.
///
/// # Errors
/// What the engine answers.
pub async fn activate(tx: &Tx, feed: Service, load: i64) -> Result<(), StoreError> {
    tx.run(
        "UPDATE load SET state = 'old' WHERE feed = $1 AND state = 'active'",
        vec![feed.as_str().into()],
    )
    .await?;
    tx.run(
        "UPDATE load SET state = 'active' WHERE no = $1",
        vec![load.into()],
    )
    .await?;
    Ok(())
}

/// A load that counts no more, if any is left.
///
/// # Errors
/// What the engine answers.
pub async fn an_old_one(tx: &Tx) -> Result<Option<i64>, StoreError> {
    let row = tx
        .fetch_one(
            "SELECT no FROM load WHERE state = 'old' ORDER BY no LIMIT 1",
            vec![],
        )
        .await?;
    row.map(|row| row.get(0)).transpose()
}

/// Removes some events of a load that counts no more, those of a tenant's customers after an id; the last customer of the step,
/// None at the tenant's end.
///
/// # Errors
/// What the engine answers.
pub async fn remove_some(
    tx: &Tx,
    load: i64,
    tenant: TenantId,
    after: Uuid,
) -> Result<Option<Uuid>, StoreError> {
    let sql = "SELECT customer FROM event WHERE tenant = $1 AND customer > $2 ORDER BY customer LIMIT 1 OFFSET 4000";
    let row = tx
        .fetch_one(sql, vec![tenant.0.into(), after.into()])
        .await?;
    let last: Option<Uuid> = row.map(|row| row.get(0)).transpose()?;
    let sql = "DELETE FROM event WHERE tenant = $1 AND customer > $2 AND load = $3";
    let values = vec![tenant.0.into(), after.into(), load.into()];
    match last {
        Some(last) => {
            let values = [values, vec![last.into()]].concat();
            tx.run(format!("{sql} AND customer <= $4"), values).await?;
        }
        None => {
            tx.run(sql, values).await?;
        }
    }
    Ok(last)
}

/// Removes a load whose events are gone.
///
/// # Errors
/// What the engine answers.
pub async fn remove(tx: &Tx, load: i64) -> Result<(), StoreError> {
    tx.run("DELETE FROM feed_cursor WHERE load = $1", vec![load.into()])
        .await?;
    tx.run(
        "DELETE FROM load WHERE no = $1 AND state = 'old'",
        vec![load.into()],
    )
    .await?;
    Ok(())
}

/// The loads whose events count; -1 for a feed that was not followed yet.
///
/// # Errors
/// What the engine answers.
pub async fn loads(tx: &Tx) -> Result<Loads, StoreError> {
    let mut out = Loads {
        customer: -1,
        feedback: -1,
    };
    for row in tx
        .fetch("SELECT feed, no FROM load WHERE state = 'active'", vec![])
        .await?
    {
        let feed: String = row.get(0)?;
        match Service::parse(&feed) {
            Some(Service::Customer) => out.customer = row.get(1)?,
            Some(Service::Feedback) => out.feedback = row.get(1)?,
            _ => return Err(StoreError::corrupt("a load of no known feed")),
        }
    }
    Ok(out)
}

/// The epochs of the active loads; nil where none is known yet.
///
/// # Errors
/// What the engine answers.
pub async fn epochs(tx: &Tx) -> Result<Vec<(Service, Uuid)>, StoreError> {
    let rows = tx
        .fetch(
            "SELECT feed, epoch FROM load WHERE state = 'active'",
            vec![],
        )
        .await?;
    let one = |row: &regard_database::Row| {
        let feed: String = row.get(0)?;
        let feed =
            Service::parse(&feed).ok_or_else(|| StoreError::corrupt("a load of no known feed"))?;
        Ok((feed, row.get(1)?))
    };
    rows.iter().map(one).collect()
}

/// The cursors of a load.
///
/// # Errors
/// What the engine answers.
pub async fn cursors(tx: &Tx, load: i64) -> Result<Vec<Cursor>, StoreError> {
    let rows = tx
        .fetch(
            "SELECT lane, position, nonce, cached FROM feed_cursor WHERE load = $1 ORDER BY lane",
            vec![load.into()],
        )
        .await?;
    let one = |row: &regard_database::Row| {
        let number =
            |column| -> Result<u64, StoreError> { Ok(row.get::<i64>(column)?.cast_unsigned()) };
        Ok(Cursor {
            lane: u16::try_from(row.get::<i64>(0)?).map_err(StoreError::corrupt)?,
            position: number(1)?,
            nonce: number(2)?,
            cached: number(3)?,
        })
    };
    rows.iter().map(one).collect()
}

/// Sets a cursor where a snapshot says that watching begins.
///
/// # Errors
/// What the engine answers.
pub async fn set_cursor(tx: &Tx, load: i64, cursor: Cursor) -> Result<(), StoreError> {
    let sql = "INSERT INTO feed_cursor (load, lane, position, nonce, cached) VALUES ($1, $2, $3, $4, $3) \
               ON CONFLICT (load, lane) DO UPDATE SET position = excluded.position, nonce = excluded.nonce, cached = excluded.cached";
    tx.run(
        sql,
        vec![
            load.into(),
            i64::from(cursor.lane).into(),
            cursor.position.cast_signed().into(),
            cursor.nonce.cast_signed().into(),
        ],
    )
    .await?;
    Ok(())
}

/// Moves a cursor from one position to another; false if it does not stand there: another replica moved it.
///
/// # Errors
/// What the engine answers.
pub async fn move_cursor(
    tx: &Tx,
    load: i64,
    lane: u16,
    from: u64,
    to: u64,
    nonce: u64,
) -> Result<bool, StoreError> {
    let sql = if from == 0 {
        "INSERT INTO feed_cursor (load, lane, position, nonce, cached) VALUES ($1, $2, $4, $5, 0) \
         ON CONFLICT (load, lane) DO UPDATE SET position = excluded.position, nonce = excluded.nonce WHERE feed_cursor.position = $3"
    } else {
        "UPDATE feed_cursor SET position = $4, nonce = $5 WHERE load = $1 AND lane = $2 AND position = $3"
    };
    let values = vec![
        load.into(),
        i64::from(lane).into(),
        from.cast_signed().into(),
        to.cast_signed().into(),
        nonce.cast_signed().into(),
    ];
    Ok(tx.run(sql, values).await? == 1)
}

/// Notes that the effects of a lane up to a position are in the cache.
///
/// # Errors
/// What the engine answers.
pub async fn set_cached(tx: &Tx, load: i64, lane: u16, position: u64) -> Result<(), StoreError> {
    let sql = "UPDATE feed_cursor SET cached = $3 WHERE load = $1 AND lane = $2 AND cached < $3";
    tx.run(
        sql,
        vec![
            load.into(),
            i64::from(lane).into(),
            position.cast_signed().into(),
        ],
    )
    .await?;
    Ok(())
}

/// A load of a feed, and how far a lane of it is applied.
#[derive(Debug)]
pub struct Followed {
    /// The feed.
    pub feed: Service,
    /// Its epoch.
    pub epoch: Uuid,
    /// The load's state: `loading`, `active` or `old`.
    pub state: String,
    /// The load.
    pub load: i64,
    /// The lane's place; None for a load without a lane yet.
    pub place: Option<TokenPart>,
}

/// All loads of all feeds, lane by lane.
///
/// # Errors
/// What the engine answers.
pub async fn followed(tx: &Tx) -> Result<Vec<Followed>, StoreError> {
    let sql = "SELECT l.feed, l.epoch, l.state, l.no, c.lane, c.position, c.nonce FROM load l LEFT JOIN feed_cursor c ON c.load = l.no";
    let rows = tx.fetch(sql, vec![]).await?;
    rows.iter().map(read_followed).collect()
}

fn read_followed(row: &Row) -> Result<Followed, StoreError> {
    let (feed, epoch): (String, Uuid) = (row.get(0)?, row.get(1)?);
    let feed =
        Service::parse(&feed).ok_or_else(|| StoreError::corrupt("a load of no known feed"))?;
    let lane: Option<i64> = row.get(4)?;
    let place = match lane {
        None => None,
        Some(lane) => Some(TokenPart {
            service: feed,
            epoch,
            lane: u16::try_from(lane).map_err(StoreError::corrupt)?,
            position: row.get::<i64>(5)?.cast_unsigned(),
            nonce: row.get::<i64>(6)?.cast_unsigned(),
        }),
    };
    Ok(Followed {
        feed,
        epoch,
        state: row.get(2)?,
        load: row.get(3)?,
        place,
    })
}

/// All positions applied, of all feeds that are followed.
///
/// # Errors
/// What the engine answers.
pub async fn vector(tx: &Tx) -> Result<Vector, StoreError> {
    let sql = "SELECT l.feed, l.epoch, c.lane, c.position FROM load l JOIN feed_cursor c ON c.load = l.no WHERE l.state = 'active'";
    let mut marks = Vec::new();
    for row in tx.fetch(sql, vec![]).await? {
        let feed: String = row.get(0)?;
        let feed =
            Service::parse(&feed).ok_or_else(|| StoreError::corrupt("a load of no known feed"))?;
        marks.push(Mark {
            feed: Mark::feed_of(feed),
            epoch: Mark::epoch_of(row.get(1)?),
            lane: u16::try_from(row.get::<i64>(2)?).map_err(StoreError::corrupt)?,
            position: row.get::<i64>(3)?.cast_unsigned(),
        });
    }
    Ok(Vector::new(marks))
}

/// Notes positions applied at a time, once; and takes what was noted before another time.
///
/// # Errors
/// What the engine answers.
pub async fn checkpoint(
    tx: &Tx,
    at: i64,
    positions: Vec<u8>,
    before: i64,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO checkpoint (at, positions) VALUES ($1, $2) ON CONFLICT (at) DO NOTHING";
    tx.run(sql, vec![at.into(), positions.into()]).await?;
    let sql = "DELETE FROM checkpoint WHERE at < $1";
    tx.run(sql, vec![before.into()]).await?;
    Ok(())
}

/// The cache's generation, and whether a lane's effects are on their way to the cache.
///
/// # Errors
/// What the engine answers.
pub async fn cache_state(tx: &Tx) -> Result<(i64, bool), StoreError> {
    let row = tx
        .fetch_one(
            "SELECT generation FROM cache_generation WHERE id = 1",
            vec![],
        )
        .await?;
    let generation = row.map_or(Ok(0), |row| row.get(0))?;
    let sql = "SELECT count(*) FROM load l JOIN feed_cursor c ON c.load = l.no WHERE l.state = 'active' AND c.cached < c.position";
    let lagging: i64 = tx
        .fetch_one(sql, vec![])
        .await?
        .ok_or(StoreError::Missing)?
        .get(0)?;
    Ok((generation, lagging > 0))
}

/// Raises the cache's generation: what Redis holds counts no more. The effects of all positions count as cached.
///
/// # Errors
/// What the engine answers.
pub async fn raise_generation(tx: &Tx) -> Result<(), StoreError> {
    let sql = "INSERT INTO cache_generation (id, generation) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET generation = cache_generation.generation + 1";
    tx.run(sql, vec![]).await?;
    tx.run(
        "UPDATE feed_cursor SET cached = position WHERE cached < position",
        vec![],
    )
    .await?;
    Ok(())
}

/// Whether the scores that are stored were computed by other definitions; notes these ones.
///
/// # Errors
/// What the engine answers.
pub async fn definitions_changed(tx: &Tx, fingerprint: u64) -> Result<bool, StoreError> {
    let sql = "INSERT INTO cache_generation (id, generation) VALUES (2, $1) ON CONFLICT (id) DO UPDATE SET generation = excluded.generation \
               WHERE cache_generation.generation <> excluded.generation";
    Ok(tx.run(sql, vec![fingerprint.cast_signed().into()]).await? == 1)
}

/// Makes the row of the cache's generation, once.
///
/// # Errors
/// What the engine answers.
pub async fn ensure_generation(tx: &Tx) -> Result<(), StoreError> {
    let sql =
        "INSERT INTO cache_generation (id, generation) VALUES (1, 0) ON CONFLICT (id) DO NOTHING";
    tx.run(sql, vec![]).await?;
    Ok(())
}

/// The cache's generation, which stays as it is until the transaction ends.
///
/// # Errors
/// What the engine answers.
pub async fn hold_generation(tx: &Tx) -> Result<i64, StoreError> {
    let lock = match tx.engine() {
        Engine::Postgres => " FOR SHARE",
        Engine::Sqlite => "",
    };
    let sql = format!("SELECT generation FROM cache_generation WHERE id = 1{lock}");
    tx.fetch_one(sql, vec![])
        .await?
        .ok_or(StoreError::Missing)?
        .get(0)
}

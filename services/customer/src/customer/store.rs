//! The tables of customers. Identity lies in its own table as sealed bytes; look-ups go through keyed digests,
//! whose key is not the sealing key and is never replaced.

use std::collections::{HashMap, HashSet};

use prost::Message as _;
use regard_database::feed::ChangeRow;
use regard_database::history::{self, Kept, Lock, Paged, Part};
use regard_database::vault::{KeyColumn, KeyValue, SealedColumn, Sealer};
use regard_database::{ColumnData, Conflict, Engine, Place, StoreError, Tx, Vault};
use regard_types::record::Head;
use regard_types::{CustomerId, Day, IdKey, Micros, SourceKey, TenantId, Uuid};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::{Expr, SelectStatement};
use sea_orm::{QueryOrder, QuerySelect};

use super::domain::{Customer, CustomerKind, Identity, Lookup, Profile, normal_email};
use crate::measures::change_row;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "customer")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub version: i64,
    pub lane: i64,
    pub position: i64,
    pub created: i64,
    pub updated: i64,
    pub key_source: Option<String>,
    pub key_external: Option<String>,
    pub kind: String,
    pub attributes: String,
    pub since_day: Option<i64>,
    pub revision: i64,
    pub content: Vec<u8>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Kept for Entity {
    const TABLE: &'static str = "customer";
    const HISTORY: &'static str = "customer_history";
}

/// Where identities lie.
pub const IDENTITY: SealedColumn = SealedColumn {
    table: "customer_identity",
    column: "sealed",
    key: &[KeyColumn::Uuid("id"), KeyColumn::I64("version")],
};

/// Identity as its table keeps it, sealed.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Stored {
    #[prost(string, tag = "1")]
    display_name: String,
    #[prost(string, tag = "2")]
    email: String,
    #[prost(string, tag = "3")]
    phone: String,
}

impl TryFrom<Model> for Customer {
    type Error = StoreError;

    /// Without its identity, which is read apart.
    fn try_from(row: Model) -> Result<Self, StoreError> {
        let kind = CustomerKind::parse(&row.kind);
        let since = row.since_day.map(i32::try_from).transpose();
        Ok(Customer {
            id: CustomerId(row.id),
            key: SourceKey::stored(row.key_source, row.key_external),
            profile: Profile {
                kind: kind.ok_or_else(|| StoreError::corrupt("an unknown kind of customer"))?,
                attributes: serde_json::from_str(&row.attributes).map_err(StoreError::corrupt)?,
                since: since.map_err(StoreError::corrupt)?.map(Day),
                identity: Identity::default(),
            },
            revision: row.revision,
            content: row
                .content
                .try_into()
                .map_err(|_| StoreError::corrupt("a digest is not 32 bytes long"))?,
            head: Head {
                version: row.version,
                created: Micros(row.created),
                updated: Micros(row.updated),
            },
        })
    }
}

/// Which of these customers exist. Mostly all do: then the store answers without sending an id back.
pub async fn known(
    tx: &Tx,
    tenant: TenantId,
    ids: &[Uuid],
) -> Result<HashSet<CustomerId>, StoreError> {
    if ids.len() > 1 && all_known(tx, tenant, ids).await? {
        return Ok(ids.iter().copied().map(CustomerId).collect());
    }
    let sql = "SELECT id FROM customer WHERE tenant = $1 AND id {in}";
    let rows = tx.fetch_in(sql, vec![tenant.0.into()], ids).await?;
    rows.iter().map(|row| Ok(CustomerId(row.get(0)?))).collect()
}

/// Whether all of these different customers exist.
async fn all_known(tx: &Tx, tenant: TenantId, ids: &[Uuid]) -> Result<bool, StoreError> {
    let values = vec![tenant.0.into()];
    match tx.engine() {
        // Asked once for each id: a row for each that is missing.
        Engine::Postgres => {
            let sql =
                "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM customer WHERE tenant = $1 AND id {in})";
            Ok(tx.fetch_in(sql, values, ids).await?.is_empty())
        }
        Engine::Sqlite => {
            let sql = "SELECT count(*) FROM customer WHERE tenant = $1 AND id {in}";
            let count = tx.fetch_in(sql, values, ids).await?;
            let count: Option<i64> = count.first().map(|row| row.get(0)).transpose()?;
            Ok(count == i64::try_from(ids.len()).ok())
        }
    }
}

/// Locks these customers in the order of their ids; which of them exist.
pub async fn lock(
    tx: &Tx,
    tenant: TenantId,
    ids: &[Uuid],
) -> Result<HashSet<CustomerId>, StoreError> {
    let tail = Lock::Yes.tail(tx.engine());
    let sql = format!("SELECT id FROM customer WHERE tenant = $1 AND id {{in}}{tail}");
    let rows = tx.fetch_in(&sql, vec![tenant.0.into()], ids).await?;
    rows.iter().map(|row| Ok(CustomerId(row.get(0)?))).collect()
}

/// The current versions of these customers, without identity; unknown ones are left out.
pub async fn bare(
    tx: &Tx,
    tenant: TenantId,
    ids: &[Uuid],
    lock: Lock,
) -> Result<HashMap<CustomerId, Customer>, StoreError> {
    let rows = history::several::<Entity>(tx, Part::Current, tenant, ids, lock).await?;
    let customer = |row| Customer::try_from(row).map(|customer| (customer.id, customer));
    rows.into_iter().map(customer).collect()
}

/// The current versions of these customers; unknown ones are left out.
pub async fn current(
    tx: &Tx,
    vault: &Vault,
    tenant: TenantId,
    ids: &[Uuid],
    lock: Lock,
) -> Result<HashMap<CustomerId, Customer>, StoreError> {
    let mut found = bare(tx, tenant, ids, lock).await?;
    let mut all: Vec<_> = found.values_mut().collect();
    identify(tx, vault, tenant, &mut all).await?;
    Ok(found)
}

/// Adds the identities of these versions.
async fn identify(
    tx: &Tx,
    vault: &Vault,
    tenant: TenantId,
    customers: &mut [&mut Customer],
) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = customers.iter().map(|c| c.id.0).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let sql = "SELECT id, version, sealed FROM customer_identity WHERE tenant = $1 AND id {in}";
    let mut known: HashMap<(Uuid, i64), Vec<u8>> = HashMap::new();
    for row in tx.fetch_in(sql, vec![tenant.0.into()], &ids).await? {
        known.insert((row.get(0)?, row.get(1)?), row.get(2)?);
    }
    // Of all versions that were found only those asked for are opened.
    let asked: Vec<(&mut Customer, &Vec<u8>)> = customers
        .iter_mut()
        .filter_map(|c| {
            let bytes = known.get(&(c.id.0, c.head.version))?;
            Some((&mut **c, bytes))
        })
        .collect();
    let sealed = asked.iter().map(|(_, bytes)| bytes.as_slice());
    let opener = vault.opener(tx, tenant, sealed).await?;
    for (customer, bytes) in asked {
        let place = [
            KeyValue::Uuid(customer.id.0),
            KeyValue::I64(customer.head.version),
        ];
        let plain = opener.open(&IDENTITY.context(&place), bytes)?;
        let stored = Stored::decode(plain.as_slice()).map_err(StoreError::corrupt)?;
        customer.profile.identity = Identity {
            display_name: stored.display_name,
            email: stored.email,
            phone: stored.phone,
        };
    }
    Ok(())
}

/// The version with this number.
pub async fn version(
    tx: &Tx,
    vault: &Vault,
    tenant: TenantId,
    id: CustomerId,
    version: i64,
) -> Result<Customer, StoreError> {
    let row = history::version::<Entity>(tx, tenant, id.0, version).await?;
    let mut customer = Customer::try_from(row.ok_or(StoreError::Missing)?)?;
    identify(tx, vault, tenant, &mut [&mut customer]).await?;
    Ok(customer)
}

/// The content digests of all former versions of these customers.
pub async fn former(
    tx: &Tx,
    tenant: TenantId,
    ids: &[Uuid],
) -> Result<HashSet<(CustomerId, [u8; 32])>, StoreError> {
    let sql = "SELECT id, content FROM customer_history WHERE tenant = $1 AND id {in}";
    let rows = tx.fetch_in(sql, vec![tenant.0.into()], ids).await?;
    rows.iter()
        .map(|row| Ok((CustomerId(row.get(0)?), row.digest(1)?)))
        .collect()
}

/// Inserts first versions; `customers` are sorted by id, their places follow one another from `place`. Those with an
/// identity need a sealer.
pub async fn insert(
    tx: &Tx,
    tenant: TenantId,
    (ids, sealer): (&IdKey, Option<&Sealer>),
    customers: &[Customer],
    place: Place,
) -> Result<(), StoreError> {
    if customers.is_empty() {
        return Ok(());
    }
    let mut columns = vec![
        ("tenant", ColumnData::OneUuid(tenant.0)),
        (
            "id",
            customers
                .iter()
                .map(|c| c.id.0)
                .collect::<Vec<Uuid>>()
                .into(),
        ),
        ("lane", ColumnData::OneI64(i64::from(place.lane))),
        ("created", each(customers, |c| c.head.created.0)),
        (
            "key_source",
            text(customers, |c| c.key.as_ref().map(|k| k.source.as_str())),
        ),
        (
            "key_external",
            text(customers, |c| {
                c.key.as_ref().map(|k| k.external_id.as_str())
            }),
        ),
    ];
    columns.extend(changing(customers, place)?);
    tx.bulk_insert("customer", &columns, Conflict::Fail).await?;
    insert_identity(tx, tenant, (ids, sealer), customers).await
}

/// Moves the stored versions to the history and writes the next ones; as [`insert`] otherwise.
pub async fn replace(
    tx: &Tx,
    tenant: TenantId,
    (ids, sealer): (&IdKey, Option<&Sealer>),
    customers: &[Customer],
    place: Place,
) -> Result<(), StoreError> {
    if customers.is_empty() {
        return Ok(());
    }
    let changed: Vec<Uuid> = customers.iter().map(|c| c.id.0).collect();
    history::keep::<Entity>(tx, tenant, &changed).await?;
    let at = [
        ("tenant", ColumnData::OneUuid(tenant.0)),
        ("id", ColumnData::from(&changed)),
        ("version", each(customers, |c| c.head.version - 1)),
    ];
    let mut set = vec![("lane", ColumnData::OneI64(i64::from(place.lane)))];
    set.extend(changing(customers, place)?);
    let found = tx.bulk_update("customer", &at, &set).await?;
    if found != customers.len() as u64 {
        return Err(StoreError::Stale);
    }
    // Look-ups find what a customer is called now.
    let sql = "DELETE FROM customer_key WHERE tenant = $1 AND customer {in}";
    tx.run_in(sql, vec![tenant.0.into()], &changed).await?;
    insert_identity(tx, tenant, (ids, sealer), customers).await
}

/// The columns that a version changes.
fn changing(
    customers: &[Customer],
    place: Place,
) -> Result<Vec<(&'static str, ColumnData<'_>)>, StoreError> {
    let positions = (place.position..)
        .take(customers.len())
        .map(u64::cast_signed);
    let attributes = customers
        .iter()
        .map(|c| serde_json::to_string(&c.profile.attributes));
    let attributes: Result<Vec<String>, _> = attributes.collect();
    let since = |c: &Customer| c.profile.since.map(|day| i64::from(day.0));
    Ok(vec![
        ("position", positions.collect::<Vec<i64>>().into()),
        ("version", each(customers, |c| c.head.version)),
        ("updated", each(customers, |c| c.head.updated.0)),
        (
            "kind",
            customers
                .iter()
                .map(|c| c.profile.kind.as_str())
                .collect::<Vec<&str>>()
                .into(),
        ),
        (
            "attributes",
            attributes.map_err(StoreError::corrupt)?.into(),
        ),
        (
            "since_day",
            customers
                .iter()
                .map(since)
                .collect::<Vec<Option<i64>>>()
                .into(),
        ),
        ("revision", each(customers, |c| c.revision)),
        (
            "content",
            customers
                .iter()
                .map(|c| c.content.to_vec())
                .collect::<Vec<_>>()
                .into(),
        ),
    ])
}

fn each(customers: &[Customer], value: impl Fn(&Customer) -> i64) -> ColumnData<'_> {
    customers.iter().map(value).collect::<Vec<i64>>().into()
}

fn text<'a>(
    customers: &'a [Customer],
    value: impl Fn(&'a Customer) -> Option<&'a str>,
) -> ColumnData<'a> {
    customers
        .iter()
        .map(value)
        .collect::<Vec<Option<&str>>>()
        .into()
}

/// Identity and look-ups of those that have one.
async fn insert_identity(
    tx: &Tx,
    tenant: TenantId,
    (ids, sealer): (&IdKey, Option<&Sealer>),
    customers: &[Customer],
) -> Result<(), StoreError> {
    let known: Vec<&Customer> = customers
        .iter()
        .filter(|c| !c.profile.identity.is_empty())
        .collect();
    if known.is_empty() {
        return Ok(());
    }
    let sealer =
        sealer.ok_or_else(|| StoreError::corrupt("an identity was written without a sealer"))?;
    sealer.fence(tx).await?;
    let mut sealed = Vec::with_capacity(known.len());
    for c in &known {
        let Identity {
            display_name,
            email,
            phone,
        } = c.profile.identity.clone();
        let stored = Stored {
            display_name,
            email,
            phone,
        };
        let place = [KeyValue::Uuid(c.id.0), KeyValue::I64(c.head.version)];
        sealed.push(sealer.seal(&IDENTITY.context(&place), &stored.encode_to_vec())?);
    }
    let columns = [
        ("tenant", ColumnData::OneUuid(tenant.0)),
        (
            "id",
            known.iter().map(|c| c.id.0).collect::<Vec<Uuid>>().into(),
        ),
        (
            "version",
            known
                .iter()
                .map(|c| c.head.version)
                .collect::<Vec<i64>>()
                .into(),
        ),
        ("sealed", sealed.into()),
    ];
    tx.bulk_insert("customer_identity", &columns, Conflict::Fail)
        .await?;
    let mut rows: Vec<(Lookup, [u8; 32], Uuid)> = Vec::new();
    for customer in known {
        for (kind, value) in customer.profile.identity.lookups() {
            rows.push((
                kind,
                ids.digest(kind.as_str(), value.as_bytes()),
                customer.id.0,
            ));
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    rows.sort();
    let columns = [
        ("tenant", ColumnData::OneUuid(tenant.0)),
        (
            "kind",
            rows.iter()
                .map(|r| r.0.as_str())
                .collect::<Vec<&str>>()
                .into(),
        ),
        (
            "digest",
            rows.iter().map(|r| r.1.to_vec()).collect::<Vec<_>>().into(),
        ),
        (
            "customer",
            rows.iter().map(|r| r.2).collect::<Vec<Uuid>>().into(),
        ),
    ];
    tx.bulk_insert("customer_key", &columns, Conflict::Fail)
        .await?;
    Ok(())
}

/// What a list of customers asks for.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only of this kind.
    pub kind: Option<CustomerKind>,
    /// Only with this e-mail address.
    pub email: String,
}

/// Customers by id, after one.
pub async fn page(
    tx: &Tx,
    (ids, vault): (&IdKey, &Vault),
    tenant: TenantId,
    filter: &Filter,
    after: Option<Uuid>,
    limit: u64,
) -> Result<Vec<Customer>, StoreError> {
    let mut found = Vec::new();
    for row in page_query(tenant, ids, filter, after, limit)
        .all(tx)
        .await?
    {
        found.push(Customer::try_from(row)?);
    }
    identify(tx, vault, tenant, &mut found.iter_mut().collect::<Vec<_>>()).await?;
    Ok(found)
}

pub(crate) fn page_query(
    tenant: TenantId,
    ids: &IdKey,
    filter: &Filter,
    after: Option<Uuid>,
    limit: u64,
) -> sea_orm::Select<Entity> {
    let mut query = Entity::find()
        .filter(Column::Tenant.eq(tenant.0))
        .order_by_asc(Column::Id)
        .limit(limit);
    if let Some(kind) = filter.kind {
        query = query.filter(Column::Kind.eq(kind.as_str()));
    }
    if let Some(after) = after {
        query = query.filter(Column::Id.gt(after));
    }
    if !filter.email.is_empty() {
        let email = normal_email(&filter.email).unwrap_or_default();
        let digest = ids.digest(Lookup::Email.as_str(), email.as_bytes());
        query = query.filter(Column::Id.in_subquery(having(tenant, Lookup::Email, &digest)));
    }
    query
}

/// The customers with this look-up.
fn having(tenant: TenantId, kind: Lookup, digest: &[u8; 32]) -> SelectStatement {
    use sea_orm::sea_query::{Alias, ExprTrait as _};
    let column = |name: &'static str| Expr::col(Alias::new(name));
    sea_orm::sea_query::Query::select()
        .column(Alias::new("customer"))
        .from(Alias::new("customer_key"))
        .and_where(column("tenant").eq(tenant.0))
        .and_where(column("kind").eq(kind.as_str()))
        .and_where(column("digest").eq(digest.to_vec()))
        .take()
}

/// A row of the current table or the history, as the change that wrote it.
pub fn change(row: Paged<Model>) -> Result<ChangeRow, StoreError> {
    change_row((row.tenant, row.place), &Customer::try_from(row.model)?)
}

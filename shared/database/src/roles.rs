//! PostgreSQL: who may do what. The owner (`migrate_url`) makes tables; the service's role (`url`) works in them, owns
//! nothing and sees one tenant's rows; the service's own jobs become the system role (`<service role>_system`, which
//! cannot log in) for one transaction. The owner's schema steps see every row. Row-level security is the second wall: a query that forgot its tenant, or a door
//! that set another, finds nothing.

use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult, Statement};

use crate::error::StoreError;
use crate::row::Row;

/// The tenant that a transaction acts in; none set means none matches.
const TENANT: &str = "tenant = nullif(current_setting('regard.tenant', true), '')::uuid";

/// [`TENANT`] as the server tells it.
const READ_BACK: &str =
    "(tenant = (NULLIF(current_setting('regard.tenant'::text, true), ''::text))::uuid)";

/// The role that a service's own transactions take.
pub(crate) fn system_role(service: &str) -> String {
    format!("{service}_system")
}

/// A name as SQL wants it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// One table of the schema.
struct Found {
    name: String,
    tenant: bool,
    walled: bool,
    active: bool,
    policies: bool,
}

fn tables(system: &str) -> String {
    format!(
        "SELECT c.relname::text, \
         EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant' AND NOT a.attisdropped), \
         c.relrowsecurity AND c.relforcerowsecurity, c.relrowsecurity, \
         (SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid AND p.polpermissive AND p.polcmd = '*' AND \
          p.polwithcheck IS NULL AND \
          (p.polname = 'tenant' AND p.polroles = '{{0}}' AND pg_get_expr(p.polqual, p.polrelid) = {} OR \
           p.polname = 'owner' AND pg_get_expr(p.polqual, p.polrelid) = 'true' AND p.polroles = ARRAY[c.relowner] OR \
           p.polname = 'system' AND pg_get_expr(p.polqual, p.polrelid) = 'true' AND p.polroles = \
           (SELECT array_agg(r.oid) FROM pg_roles r WHERE r.rolname = {}))) = 3 AND \
         (SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid AND p.polpermissive) = 3 \
         FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') \
         AND pg_has_role(c.relowner, 'USAGE') ORDER BY 1",
        literal(READ_BACK),
        literal(system)
    )
}

fn found(row: &QueryResult) -> Result<Found, StoreError> {
    Ok(Found {
        name: row.try_get_by_index(0)?,
        tenant: row.try_get_by_index(1)?,
        walled: row.try_get_by_index(2)?,
        active: row.try_get_by_index(3)?,
        policies: row.try_get_by_index(4)?,
    })
}

/// After the schema's steps, in their transaction: grants for the service's role, and the wall (or, without row security,
/// none). Run again it changes nothing.
pub(crate) async fn arrange(
    tx: &DatabaseTransaction,
    service: &str,
    row_security: bool,
) -> Result<(), StoreError> {
    let all = |sql: String| async move {
        let statement = Statement::from_string(sea_orm::DbBackend::Postgres, sql);
        tx.query_all_raw(statement).await
    };
    let owner: String = match all("SELECT current_user::text".to_owned()).await?.first() {
        Some(row) => row.try_get_by_index(0)?,
        None => return Err(StoreError::Missing),
    };
    let system = system_role(service);
    if row_security {
        make_system_role(tx, &owner, service, &system).await?;
    }
    let mut statements = vec![ANALYZE.to_owned()];
    let mut names = Vec::new();
    for row in all(tables(&system)).await? {
        let table = found(&row)?;
        let name = quoted(&table.name);
        match (row_security, table.tenant) {
            (true, true) => {
                if !table.walled {
                    statements.push(format!(
                        "ALTER TABLE {name} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"
                    ));
                }
                if !table.policies {
                    statements.extend([
                        format!("DROP POLICY IF EXISTS tenant ON {name}"),
                        format!("DROP POLICY IF EXISTS system ON {name}"),
                        format!("DROP POLICY IF EXISTS owner ON {name}"),
                        format!("CREATE POLICY tenant ON {name} USING ({TENANT})"),
                        // schema steps move rows of every tenant, or would silently move none
                        format!("CREATE POLICY owner ON {name} TO CURRENT_USER USING (true)"),
                        format!(
                            "CREATE POLICY system ON {name} TO {} USING (true)",
                            quoted(&system)
                        ),
                    ]);
                }
            }
            _ if table.active => statements.push(format!(
                "ALTER TABLE {name} DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY"
            )),
            _ => {}
        }
        names.push(table.name);
    }
    if owner != service {
        statements.extend(grants(service, row_security.then_some(&system), &names));
    }
    for statement in statements {
        tx.execute_unprepared(&statement).await?;
    }
    Ok(())
}

fn grants(service: &str, system: Option<&String>, tables: &[String]) -> Vec<String> {
    let roles = match system {
        Some(system) => format!("{}, {}", quoted(service), quoted(system)),
        None => quoted(service),
    };
    let (migrations, data): (Vec<_>, Vec<_>) =
        tables.iter().partition(|name| *name == "seaql_migrations");
    let list = |tables: &[&String]| {
        let names: Vec<_> = tables.iter().map(|name| quoted(name)).collect();
        names.join(", ")
    };
    let mut all = vec![format!(
        "DO $do$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO {roles}', current_schema()); END $do$"
    )];
    if !data.is_empty() {
        all.push(format!(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {roles}",
            list(&data)
        ));
    }
    if !migrations.is_empty() {
        all.push(format!("GRANT SELECT ON {} TO {roles}", list(&migrations)));
    }
    // append-only; retention and sealing are the system's
    all.push(format!(
        "REVOKE UPDATE, TRUNCATE ON audit, audit_seal FROM {roles}"
    ));
    if system.is_some() {
        let service = quoted(service);
        all.extend([
            format!("REVOKE DELETE ON audit FROM {service}"),
            format!(
                "REVOKE INSERT, UPDATE, DELETE ON audit_seal, audit_trim, audit_roll FROM {service}"
            ),
        ]);
    }
    all.push("REVOKE ALL ON FUNCTION regard_analyze(text) FROM PUBLIC".to_owned());
    all.push(format!(
        "GRANT EXECUTE ON FUNCTION regard_analyze(text) TO {roles}"
    ));
    all
}

/// Only the owner may look at a table anew.
const ANALYZE: &str = "DO $do$ BEGIN EXECUTE format(\
    'CREATE OR REPLACE FUNCTION regard_analyze(name text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER \
     SET search_path = %I, pg_temp AS $f$ BEGIN EXECUTE format(''ANALYZE %%I'', name); END $f$', current_schema()); \
    END $do$";

/// The system role, and the service's right to become it without having its rights by itself.
async fn make_system_role(
    tx: &DatabaseTransaction,
    owner: &str,
    service: &str,
    system: &str,
) -> Result<(), StoreError> {
    let sql = format!(
        "SELECT s.oid IS NOT NULL, coalesce(pg_has_role(v.oid, s.oid, 'MEMBER'), false), \
         coalesce(pg_has_role(v.oid, s.oid, 'USAGE'), false), current_setting('server_version_num')::int >= 160000 \
         FROM pg_roles v LEFT JOIN pg_roles s ON s.rolname = {} WHERE v.rolname = {}",
        literal(system),
        literal(service)
    );
    let statement = Statement::from_string(sea_orm::DbBackend::Postgres, sql);
    let Some(row) = tx.query_one_raw(statement).await? else {
        return Err(StoreError::corrupt(format!(
            "the service's role {service} is not there"
        )));
    };
    let [made, member, inherits, newer]: [bool; 4] = [
        row.try_get_by_index(0)?,
        row.try_get_by_index(1)?,
        row.try_get_by_index(2)?,
        row.try_get_by_index(3)?,
    ];
    if owner == service {
        return Err(StoreError::corrupt(format!(
            "the role {service} would own the tables that it works in, and an owner can pass row-level security: set \
             migrate_url to a role that owns the database (CREATE ROLE … LOGIN CREATEROLE; ALTER DATABASE … OWNER TO …) and \
             keep {service} for url; or, without this second wall, set row_security = \"off\""
        )));
    }
    let (s, v) = (quoted(system), quoted(service));
    let (grant, alter) = if newer {
        (
            format!("GRANT {s} TO {v} WITH INHERIT FALSE, SET TRUE"),
            None,
        )
    } else {
        (
            format!("GRANT {s} TO {v}"),
            Some(format!("ALTER ROLE {v} NOINHERIT")),
        )
    };
    let mut needed = Vec::new();
    if !made {
        needed.push(format!("CREATE ROLE {s} NOLOGIN"));
    }
    if !member || (inherits && newer) {
        needed.push(grant);
    }
    if (!made || !member || inherits)
        && let Some(alter) = alter
    {
        needed.push(alter);
    }
    if needed.is_empty() {
        return Ok(());
    }
    let all = needed.join("; ");
    for sql in needed {
        // the migration of another database of this server may do the same at this moment
        let tolerant = format!(
            "DO $do$ BEGIN {sql}; EXCEPTION WHEN duplicate_object OR unique_violation OR internal_error THEN NULL; END $do$"
        );
        tx.execute_unprepared(&tolerant).await.map_err(|error| {
            StoreError::corrupt(format!(
                "the role {owner} cannot make the role that the service's own work takes ({error}); let an administrator run, \
                 in this order: {all}; or, without row-level security, set row_security = \"off\""
            ))
        })?;
    }
    Ok(())
}

/// What opening asks the server about the service's role: (may bypass, owns, may become the system role, has its rights
/// by itself, a table without the wall, a table whose wall stands).
pub(crate) fn question(system: &str) -> String {
    let (tables, system) = (tables(system), literal(system));
    let tables = tables.replace("AND pg_has_role(c.relowner, 'USAGE') ", "");
    format!(
        "WITH t(name, tenant, walled, active, policies) AS ({tables}), \
         s AS (SELECT oid FROM pg_roles WHERE rolname = {system}) \
         SELECT (SELECT min(r.rolname::text) FROM pg_roles r WHERE (r.rolsuper OR r.rolbypassrls) AND pg_has_role(r.oid, 'MEMBER')), \
         (SELECT min(c.relname::text) FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace \
          AND c.relkind IN ('r', 'p') AND pg_has_role(c.relowner, 'MEMBER')), \
         coalesce((SELECT pg_has_role(oid, 'MEMBER') FROM s), false), \
         coalesce((SELECT pg_has_role(oid, 'USAGE') FROM s), false), \
         (SELECT min(name) FROM t WHERE tenant AND NOT (walled AND policies)), \
         (SELECT min(name) FROM t WHERE tenant AND row_security_active(quote_ident(name)::regclass::oid)), \
         current_user::text"
    )
}

/// Judges the answer to [`question`].
pub(crate) fn judge(row: &Row, row_security: bool) -> Result<(), StoreError> {
    let bypasses: Option<String> = row.get(0)?;
    let owns: Option<String> = row.get(1)?;
    let (member, inherits): (bool, bool) = (row.get(2)?, row.get(3)?);
    let bare: Option<String> = row.get(4)?;
    let walled: Option<String> = row.get(5)?;
    let me: String = row.get(6)?;
    let off = "or, without row-level security as the second wall between tenants, set row_security = \"off\"";
    let refuse = |why: String| Err(StoreError::corrupt(why));
    if !row_security {
        return match walled {
            Some(table) => refuse(format!(
                "row_security is \"off\", and the table {table} has row-level security: run the migrations with this setting"
            )),
            None => Ok(()),
        };
    }
    if let Some(role) = bypasses {
        return refuse(format!(
            "the service's role {me} is, or may become, {role}, which passes row-level security: use a role without SUPERUSER \
             and BYPASSRLS in url; {off}"
        ));
    }
    if let Some(table) = owns {
        return refuse(format!(
            "the service's role {me} owns the table {table}, and an owner can pass row-level security: set migrate_url to the \
             owner, and url to a role of its own; {off}"
        ));
    }
    if !member || inherits {
        let system = quoted(&system_role(&me));
        return refuse(format!(
            "the service's role {me} must be able to become {system} and not have its rights by itself: run the migrations, or \
             let an administrator run GRANT {system} TO {me}; ALTER ROLE {me} NOINHERIT; {off}",
            me = quoted(&me)
        ));
    }
    if let Some(table) = bare {
        return refuse(format!(
            "the table {table} is without row-level security, or its policies are not those of the migrations: run them; {off}"
        ));
    }
    Ok(())
}

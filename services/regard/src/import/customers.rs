//! Customers: id, and what else the file has.

use std::collections::HashMap;

use regard_client::Client;
use regard_proto::customer::v1::{
    Customer, CustomerKind, CustomerRow, IngestCustomersRequest, IngestCustomersResponse,
};
use regard_server::wire;
use regard_types::{Day, Zone};

use super::columns::{Columns, Place, Role, at, missing, names};
use super::pump::{Parse, Way, pump};
use super::reading::Row;
use super::{Outcome, Plan};
use crate::reach::key;
use crate::read::{DayReader, Delimited, LineFault, Record};
use crate::score::CUSTOMER;

/// `attribute.NAME=COLUMN` in `--columns`.
const ATTRIBUTE: &str = "attribute.";

const ROLES: &[Role] = &[
    Role::required("customer", CUSTOMER),
    Role::optional("name", &["name", "displayname", "fullname", "customername"]),
    Role::optional("email", &["email", "emailaddress", "mail"]),
    Role::optional("phone", &["phone", "phonenumber", "telephone", "mobile"]),
    Role::optional("kind", &["kind", "customerkind", "customertype"]),
    Role::optional(
        "since",
        &[
            "customersince",
            "since",
            "firstpurchase",
            "signupdate",
            "joined",
        ],
    ),
    Role::optional("revision", &["revision"]),
];

/// Imports a file of customers.
///
/// # Errors
/// The file cannot be read, its columns are not found, or the server refuses.
pub async fn customers(client: &Client, plan: &Plan) -> anyhow::Result<Outcome> {
    plan.columns
        .check(ROLES, |role| role.starts_with(ATTRIBUTE))?;
    let days = DayReader::new(Zone::utc(), plan.day_order);
    let mut file = Delimited::open(&plan.file)?;
    let mut header = Record::default();
    file.next(&mut header)?;
    let shown = plan.file.display().to_string();
    let mut columns = Columns::by_header(&header, ROLES, &plan.columns, &shown)?;
    // A file's only id may be an e-mail address: then it is the key, and no contact point as well.
    if columns.place("email") == columns.place("customer") {
        columns.remove("email");
    }
    let names = names(&header);
    let mut attributes = Vec::new();
    for (attribute, column) in plan.columns.beginning(ATTRIBUTE) {
        let role = format!("{ATTRIBUTE}{attribute}");
        match at(&names, column) {
            Some(Place::Column(at, name)) => attributes.push((attribute.to_owned(), at, name)),
            _ => return Err(missing(&shown, &role, column, &names)),
        }
    }
    let source = plan.source.clone();
    let parse: Parse<CustomerRow> =
        Box::new(move |record| row(record, &columns, &attributes, &days, &source));
    let way = Way {
        wrap: |rows| IngestCustomersRequest {
            rows,
            validate_only: false,
        },
        result: |answer: IngestCustomersResponse| answer.result,
    };
    let mut customers = client.customers();
    pump(plan, file, None, parse, way, |requests| async move {
        customers.ingest_customers(requests).await
    })
    .await
}

fn row(
    record: &Record,
    columns: &Columns,
    attributes: &[(String, usize, String)],
    days: &DayReader,
    source: &str,
) -> Result<CustomerRow, LineFault> {
    let row = Row { record, columns };
    let id = row.needed_id("customer", "the customer's id")?;
    let kind = match row.text("kind")?.to_lowercase().as_str() {
        "" => CustomerKind::Unspecified,
        "person" => CustomerKind::Person,
        "organisation" | "organization" | "company" => CustomerKind::Organisation,
        _ => return Err(row.fault("kind", "person or organisation")),
    };
    let since = row.text("since")?;
    let since: Option<Day> = if since.is_empty() {
        None
    } else {
        Some(
            days.day(&since)
                .map_err(|expected| row.fault("since", expected))?,
        )
    };
    let mut found = HashMap::new();
    for (attribute, at, name) in attributes {
        let fault = || LineFault::new(record.line(), name, &record.lossy(*at), "text in UTF-8");
        let text = if *at < record.len() {
            record.text(*at).ok_or_else(fault)?
        } else {
            ""
        };
        if !text.is_empty() {
            found.insert(attribute.clone(), text.to_owned());
        }
    }
    Ok(CustomerRow {
        customer: Some(Customer {
            key: Some(key(source, &id)),
            kind: kind.into(),
            display_name: row.text("name")?.into_owned(),
            email: row.text("email")?.into_owned(),
            phone: row.text("phone")?.into_owned(),
            attributes: found.into_iter().collect(),
            customer_since: since.map(wire::date),
            ..Customer::default()
        }),
        revision: row.whole("revision")?,
    })
}

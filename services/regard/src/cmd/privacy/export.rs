//! `regard privacy export`: a person's data from all services that hold some, as one JSON document.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _, stdout};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use regard_client::Client;
use regard_proto::common::v1::{CustomerRef, PersonalItem};
use regard_proto::{customer, feedback};
use serde_json::{Value, json};

use crate::reach::{self, Server, refused};

/// Items of a page.
const PAGE: i32 = 1_000;
/// Customers in one question.
const CUSTOMERS: usize = 1_000;

/// Arguments of `regard privacy export`.
#[derive(Debug, Args)]
pub struct Export {
    /// A customer of the person: a UUID, SOURCE:ID, or an id of --source.
    customer: String,
    /// The file to write; readable by its owner alone. An existing one is replaced.
    #[arg(long, value_name = "FILE.json")]
    out: PathBuf,
    /// Source of ids that name none.
    #[arg(long, default_value = "csv")]
    source: String,
    #[command(flatten)]
    server: Server,
}

impl Export {
    /// Runs the command.
    ///
    /// # Errors
    /// The server is away or refuses; the file cannot be written.
    pub fn run(self) -> anyhow::Result<()> {
        let (ids, held) = reach::runtime()?.block_on(async {
            let client = self.server.client().await?;
            let person = reach::customer(&self.customer, &self.source);
            let (ids, mut held) = customers(&client, person).await?;
            for ids in ids.chunks(CUSTOMERS) {
                held.extend(said(&client, ids).await?);
            }
            anyhow::Ok((ids, held))
        })?;
        let document = json!({ "customer_ids": ids, "items": held });
        let cannot = || format!("--out: cannot write {}", self.out.display());
        let mut file = BufWriter::new(private(&self.out).with_context(cannot)?);
        serde_json::to_writer_pretty(&mut file, &document).with_context(cannot)?;
        writeln!(file).with_context(cannot)?;
        file.flush().with_context(cannot)?;
        let records = ids.len();
        writeln!(
            stdout(),
            "{} values about {records} customer{} that {} this person are in {}",
            held.len(),
            if records == 1 { "" } else { "s" },
            if records == 1 { "is" } else { "are" },
            self.out.display()
        )?;
        Ok(())
    }
}

/// What the customer service holds, and all customers that are this person.
async fn customers(
    client: &Client,
    person: CustomerRef,
) -> anyhow::Result<(Vec<String>, Vec<Value>)> {
    let (mut held, mut token, mut ids);
    (held, token) = (Vec::new(), String::new());
    loop {
        let request = customer::v1::ExportPersonalDataRequest {
            customer: Some(person.clone()),
            page_size: PAGE,
            page_token: token,
        };
        let answer = client.privacy().export_personal_data(request).await;
        let answer = answer.map_err(refused)?.into_inner();
        held.extend(answer.items.iter().map(|item| value("customer", item)));
        (token, ids) = (answer.next_page_token, answer.customer_ids);
        if token.is_empty() {
            return Ok((ids, held));
        }
    }
}

/// What the feedback service holds about these customers.
async fn said(client: &Client, ids: &[String]) -> anyhow::Result<Vec<Value>> {
    let (mut held, mut token) = (Vec::new(), String::new());
    loop {
        let request = feedback::v1::ExportPersonalDataRequest {
            customers: ids.iter().map(|id| reach::customer(id, "")).collect(),
            page_size: PAGE,
            page_token: token,
        };
        let answer = client
            .feedback_privacy()
            .export_personal_data(request)
            .await;
        let answer = answer.map_err(refused)?.into_inner();
        held.extend(answer.items.iter().map(|item| value("feedback", item)));
        token = answer.next_page_token;
        if token.is_empty() {
            return Ok(held);
        }
    }
}

fn value(service: &str, item: &PersonalItem) -> Value {
    json!({
        "service": service,
        "kind": item.kind,
        "record_id": item.record_id,
        "version": item.version,
        "path": item.path,
        "value": item.value,
        "personal": item.personal,
        "recorded": item.record_time.map(|at| at.to_string()),
    })
}

/// A file that its owner alone reads, whoever made it.
fn private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(file)
}

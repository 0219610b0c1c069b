//! From a file to a bulk stream and back: one thread reads and checks, the caller's sends batches and hears what became of
//! them. Memory is bounded by the batches under way.

use std::collections::VecDeque;

use anyhow::{Context as _, anyhow};
use regard_proto::common::v1::{BatchResult, ErrorReason, RejectedRow};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status, Streaming};

use super::{Outcome, Plan};
use crate::reach::refused;
use crate::read::{Delimited, LineFault, Record};
use crate::score::Rejects;
use crate::show;

/// Most rows of a batch, and most bytes of its rows: below the limit of a message, with room for framing.
const ROWS: usize = 5_000;
const BYTES: usize = 3 * 1024 * 1024;
/// Batches sent and not answered yet.
const UNDER_WAY: usize = 2;

/// Reads a record into a row.
pub type Parse<Row> = Box<dyn FnMut(&Record) -> Result<Row, LineFault> + Send>;

/// How rows travel.
pub struct Way<Row, Request, Answer> {
    /// Rows as a batch.
    pub wrap: fn(Vec<Row>) -> Request,
    /// What became of a batch.
    pub result: fn(Answer) -> Option<BatchResult>,
}

/// Rows that are sent together.
struct Batch<Row> {
    rows: Vec<Row>,
    /// The record of each row.
    records: Vec<Record>,
    /// Records that are no rows.
    bad: Vec<(LineFault, Record)>,
    /// Bytes of the file read so far.
    position: u64,
}

/// Sends all records of a file, from `first` on if it is a row itself.
///
/// # Errors
/// The file cannot be read, the call fails, or nothing of the file can be used.
pub async fn pump<Row, Request, Answer, Call>(
    plan: &Plan,
    mut file: Delimited,
    first: Option<Record>,
    parse: Parse<Row>,
    way: Way<Row, Request, Answer>,
    call: impl FnOnce(ReceiverStream<Request>) -> Call,
) -> anyhow::Result<Outcome>
where
    Row: prost::Message + 'static,
    Call: Future<Output = Result<Response<Streaming<Answer>>, Status>>,
{
    let bar = if plan.shown {
        show::bytes_bar(file.bytes(), "importing")
    } else {
        indicatif::ProgressBar::hidden()
    };
    let (ready, mut batches) = mpsc::channel(1);
    let reader = tokio::task::spawn_blocking(move || read(&mut file, first, parse, &ready));
    let (to, requests) = mpsc::channel(1);
    let mut answers = call(ReceiverStream::new(requests))
        .await
        .map_err(refused)?
        .into_inner();
    let mut to = Some(to);
    let mut told = Told {
        rejects: Rejects::to(&plan.rejected),
        outcome: Outcome::default(),
        first_fault: None,
    };
    let mut under_way = VecDeque::new();
    loop {
        while let Some(sender) = &to
            && under_way.len() < UNDER_WAY
        {
            let Some(batch) = batches.recv().await else {
                to = None;
                break;
            };
            told.bad(&batch.bad)?;
            if !batch.rows.is_empty() {
                // If the other side is gone, its last word is in the answers.
                let _ = sender.send((way.wrap)(batch.rows)).await;
                under_way.push_back((batch.records, batch.position));
            }
        }
        let Some((records, position)) = under_way.pop_front() else {
            break;
        };
        let answer = answers.message().await.map_err(refused);
        let answer = answer.with_context(|| told.so_far())?;
        let result = answer.and_then(way.result);
        let result =
            result.ok_or_else(|| anyhow!("the server ended the stream; {}", told.so_far()))?;
        told.batch(result, &records)?;
        bar.set_position(position);
    }
    reader.await.context("the reader of the file failed")??;
    bar.finish_and_clear();
    told.finish(plan)
}

fn read<Row: prost::Message>(
    file: &mut Delimited,
    first: Option<Record>,
    mut parse: Parse<Row>,
    ready: &mpsc::Sender<Batch<Row>>,
) -> anyhow::Result<()> {
    let mut batch = empty();
    let mut bytes = 0;
    let given = first.is_some();
    let mut record = first.unwrap_or_default();
    let mut more = given || file.next(&mut record)?;
    while more {
        match parse(&record) {
            Ok(row) => {
                let size = row.encoded_len() + 8;
                if batch.rows.len() >= ROWS || bytes + size > BYTES {
                    batch.position = file.position();
                    let full = std::mem::replace(&mut batch, empty());
                    if ready.blocking_send(full).is_err() {
                        return Ok(()); // whoever asked has given up, and says why
                    }
                    bytes = 0;
                }
                bytes += size;
                batch.rows.push(row);
                batch.records.push(record.clone());
            }
            Err(fault) => batch.bad.push((fault, record.clone())),
        }
        if batch.bad.len() >= ROWS {
            batch.position = file.position();
            let full = std::mem::replace(&mut batch, empty());
            if ready.blocking_send(full).is_err() {
                return Ok(());
            }
            bytes = 0;
        }
        more = file.next(&mut record)?;
    }
    batch.position = file.bytes();
    let _ = ready.blocking_send(batch);
    Ok(())
}

const fn empty<Row>() -> Batch<Row> {
    Batch {
        rows: Vec::new(),
        records: Vec::new(),
        bad: Vec::new(),
        position: 0,
    }
}

/// What was heard so far.
struct Told {
    rejects: Rejects,
    outcome: Outcome,
    first_fault: Option<LineFault>,
}

impl Told {
    fn so_far(&self) -> String {
        format!(
            "{} rows are stored; run the import again, they will count as unchanged",
            self.outcome.accepted + self.outcome.unchanged
        )
    }

    fn bad(&mut self, bad: &[(LineFault, Record)]) -> anyhow::Result<()> {
        for (fault, record) in bad {
            self.outcome.rejected += 1;
            self.rejects.add(fault, record)?;
            self.first_fault.get_or_insert_with(|| fault.clone());
        }
        Ok(())
    }

    fn batch(&mut self, result: BatchResult, records: &[Record]) -> anyhow::Result<()> {
        self.outcome.accepted += u64::from(result.accepted);
        self.outcome.unchanged += u64::from(result.unchanged);
        if !result.change_token.is_empty() {
            self.outcome.change_token = result.change_token;
        }
        for rejected in &result.rejected {
            let index = usize::try_from(rejected.index)?;
            let record = records
                .get(index)
                .ok_or_else(|| anyhow!("the server rejects row {index}, which was not sent"))?;
            let fault = why(rejected, record.line());
            self.bad(&[(fault, record.clone())])?;
        }
        Ok(())
    }

    fn finish(mut self, plan: &Plan) -> anyhow::Result<Outcome> {
        self.outcome.rejected_file = self.rejects.finish()?;
        if self.outcome.accepted + self.outcome.unchanged == 0 {
            let shown = plan.file.display();
            return Err(match self.first_fault {
                Some(fault) => anyhow!(
                    "{shown}: none of its {} rows can be used; first, {fault}",
                    self.outcome.rejected
                ),
                None => anyhow!("{shown} has a header but no rows"),
            });
        }
        Ok(self.outcome)
    }
}

/// What the server says of a row.
fn why(rejected: &RejectedRow, line: u64) -> LineFault {
    let reason = ErrorReason::try_from(rejected.reason).map_or("rejected", ErrorReason::reason);
    let field = rejected.violations.first().map_or("", |v| v.field.as_str());
    let said: Vec<String> = rejected
        .violations
        .iter()
        .map(|v| {
            if v.field == field {
                v.description.clone()
            } else {
                format!("{}: {}", v.field, v.description)
            }
        })
        .collect();
    let expected = if said.is_empty() {
        reason.to_owned()
    } else {
        format!("{reason}: {}", said.join("; "))
    };
    LineFault::new(line, field, "", expected)
}

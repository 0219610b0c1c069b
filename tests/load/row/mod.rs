//! One file a row, or a family of rows.

pub mod ingest;
pub mod l1;
pub mod l12;
pub mod l4;
pub mod l8;
pub mod l9;
pub mod platform;
pub mod rls;

use std::time::{Duration, Instant};

use anyhow::bail;
use regard_proto::scoring::v1 as scoring;
use regard_types::ChangeToken;

use crate::serve::Serve;

const LIMIT: Duration = Duration::from_secs(600);

/// Waits until scoring has applied everything up to the token.
///
/// # Errors
/// When it does not in time.
pub fn scored(serve: &Serve, customer: u64, token: &ChangeToken) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let answer: anyhow::Result<scoring::GetScoresResponse> =
            serve.call(l1::GET, &l1::ask(customer, Some(token)));
        match answer {
            Ok(answer) if answer.scores.as_ref().is_some_and(|s| !s.scores.is_empty()) => {
                return Ok(());
            }
            Ok(_) => bail!("customer {customer} has no scores after {token:?}"),
            // A call that waits for the token ends at its deadline.
            Err(why) if began.elapsed() > LIMIT => return Err(why),
            Err(why) => {
                let code = why.downcast_ref::<tonic::Status>().map(tonic::Status::code);
                if !matches!(
                    code,
                    Some(
                        tonic::Code::DeadlineExceeded
                            | tonic::Code::Unavailable
                            | tonic::Code::Cancelled
                    )
                ) {
                    return Err(why);
                }
            }
        }
    }
}

//! A master key that stays in a key service, reached by a program of the operator's (a small script around the service's own
//! client). The program is called as `PROGRAM [ARGUMENTS] wrap|unwrap|id`:
//!
//! | call | standard input | standard output |
//! |---|---|---|
//! | `id` | nothing | the key's id, 1 to 128 visible ASCII characters |
//! | `wrap` | base64 of 48 bytes | base64 of the wrapped bytes |
//! | `unwrap` | base64 of the wrapped bytes | base64 of the 48 bytes |
//!
//! Exit status 0 is success. What it writes to its standard error goes to that of the service.

use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use zeroize::Zeroizing;

use super::master::{KeyBytes, MasterError, MasterKey};

/// Most bytes of an answer.
const ANSWER: u64 = 64 * 1024;
/// Bytes of the digest of the context that travels with a key: the service need not know contexts.
const MARK: usize = 16;

/// A key behind a program.
#[derive(Debug)]
pub struct CommandKey {
    id: String,
    program: Program,
}

#[derive(Debug)]
struct Program {
    words: Vec<String>,
    limit: Duration,
}

impl CommandKey {
    /// The key of this program, whose id is asked for. `line` is split at spaces; no shell reads it.
    ///
    /// # Errors
    /// [`MasterError::Away`] if the program does not answer within `limit`; [`MasterError::Wrong`] for an id that is none.
    pub async fn connect(line: &str, limit: Duration) -> Result<Self, MasterError> {
        let words = line.split_ascii_whitespace().map(str::to_owned).collect();
        let program = Program { words, limit };
        let id = program.call("id", b"").await?;
        let id = String::from_utf8_lossy(&id).trim().to_owned();
        if id.is_empty() || id.len() > 128 || !id.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(MasterError::Wrong(
                "the master key command's answer to `id` is not 1 to 128 visible ASCII characters"
                    .to_owned(),
            ));
        }
        Ok(Self {
            id: format!("command-{id}"),
            program,
        })
    }
}

impl Program {
    async fn call(&self, verb: &str, input: &[u8]) -> Result<Zeroizing<Vec<u8>>, MasterError> {
        match tokio::time::timeout(self.limit, self.talk(verb, input)).await {
            Ok(done) => done,
            Err(_) => Err(MasterError::Away(format!(
                "the master key command did not answer `{verb}` within {} ms",
                self.limit.as_millis()
            ))),
        }
    }

    async fn talk(&self, verb: &str, input: &[u8]) -> Result<Zeroizing<Vec<u8>>, MasterError> {
        let failed = |error: std::io::Error| {
            MasterError::Away(format!(
                "the master key command could not be run for `{verb}`: {error}"
            ))
        };
        let (program, arguments) = self
            .words
            .split_first()
            .ok_or_else(|| MasterError::Wrong("the master key command is empty".to_owned()))?;
        let mut child = Command::new(program)
            .args(arguments)
            .arg(verb)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        if let Some(mut pipe) = child.stdin.take() {
            // One that answers without reading has closed its end.
            if let Err(error) = pipe.write_all(input).await
                && error.kind() != std::io::ErrorKind::BrokenPipe
            {
                return Err(failed(error));
            }
        }
        let mut answer = Zeroizing::new(Vec::new());
        if let Some(pipe) = child.stdout.take() {
            pipe.take(ANSWER)
                .read_to_end(&mut answer)
                .await
                .map_err(failed)?;
        }
        let status = child.wait().await.map_err(failed)?;
        if status.success() {
            return Ok(answer);
        }
        Err(MasterError::Away(format!(
            "the master key command failed at `{verb}` with {status}; see its standard error"
        )))
    }
}

fn mark(context: &[u8]) -> [u8; 32] {
    Sha256::digest(context).into()
}

#[async_trait::async_trait]
impl MasterKey for CommandKey {
    fn id(&self) -> &str {
        &self.id
    }

    async fn wrap(&self, key: &KeyBytes, context: &[u8]) -> Result<Vec<u8>, MasterError> {
        let mut plain = Zeroizing::new(Vec::with_capacity(32 + MARK));
        plain.extend_from_slice(key.as_slice());
        plain.extend(mark(context).iter().take(MARK));
        let input = Zeroizing::new(STANDARD.encode(&plain));
        let answer = self.program.call("wrap", input.as_bytes()).await?;
        decode("wrap", &answer).map(|bytes| bytes.to_vec())
    }

    async fn unwrap(&self, wrapped: &[u8], context: &[u8]) -> Result<KeyBytes, MasterError> {
        let input = STANDARD.encode(wrapped);
        let answer = self.program.call("unwrap", input.as_bytes()).await?;
        let plain = decode("unwrap", &answer)?;
        let (key, given) = plain
            .split_at_checked(32)
            .filter(|(_, given)| given.len() == MARK)
            .ok_or_else(|| {
                MasterError::Wrong("the master key command unwrapped no data key".to_owned())
            })?;
        if !mark(context).starts_with(given) {
            return Err(MasterError::Wrong(
                "a wrapped data key belongs to another tenant or service".to_owned(),
            ));
        }
        let mut bytes = Zeroizing::new([0; 32]);
        bytes.copy_from_slice(key);
        Ok(bytes)
    }
}

fn decode(verb: &str, answer: &[u8]) -> Result<Zeroizing<Vec<u8>>, MasterError> {
    let text = answer.trim_ascii();
    match STANDARD.decode(text) {
        Ok(bytes) if !bytes.is_empty() => Ok(Zeroizing::new(bytes)),
        _ => Err(MasterError::Wrong(format!(
            "the master key command's answer to `{verb}` is not base64"
        ))),
    }
}

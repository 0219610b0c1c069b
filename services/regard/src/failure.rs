//! How a command ends when it does not succeed.

/// The command was used wrongly: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// An error of wrong use.
pub fn usage(message: impl Into<String>) -> anyhow::Error {
    Usage(message.into()).into()
}

/// 2 for wrong use, 1 for everything else.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<Usage>() || error.chain().any(<dyn std::error::Error>::is::<Usage>) {
        2
    } else {
        1
    }
}

/// Whoever read our output has left (`| head`): no failure.
#[must_use]
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|e| {
        e.downcast_ref::<std::io::Error>()
            .is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
            || e.downcast_ref::<serde_json::Error>()
                .is_some_and(|e| e.io_error_kind() == Some(std::io::ErrorKind::BrokenPipe))
    })
}

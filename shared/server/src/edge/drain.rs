//! The rest of a refused call.

use std::time::Duration;

use http_body_util::BodyExt as _;
use tonic::body::Body;

/// Most bytes that are read, and the longest wait for them.
const MOST: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_millis(100);

/// Reads what the caller still sends, in bounds. A call that is answered before it is whole is reset, and what comes for
/// streams that were reset is what HTTP/2 counts as an attack: after a thousand of them the connection would be ended, and
/// with it the calls that are in work.
pub(crate) async fn drain(mut body: Body) {
    let read = async {
        let mut bytes = 0;
        while bytes < MOST
            && let Some(Ok(frame)) = body.frame().await
        {
            bytes += frame.data_ref().map_or(0, bytes::Bytes::len);
        }
    };
    let _ = tokio::time::timeout(PATIENCE, read).await;
}

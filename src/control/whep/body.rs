//! Bodies of offers and fragments.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use futures_util::StreamExt;

use super::Problem;

/// Bytes of an offer: browsers send 5 to 10 kB.
const OFFER_BYTES: usize = 64 << 10;

/// Bytes of a too large body that are read away, so that its sender gets to
/// read the refusal instead of a broken connection.
const PATIENCE_BYTES: usize = 16 << 20;

/// Time for a body to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// The body as text, if it is of the `wanted` type and not too large.
pub(super) async fn text(
    headers: &HeaderMap,
    body: Body,
    wanted: &'static str,
) -> Result<String, Problem> {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    let fits = kind.trim().eq_ignore_ascii_case(wanted);
    let read = tokio::time::timeout(BODY_WITHIN, read(body)).await;
    let body = read.map_err(|_| {
        Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")
    })??;
    if !fits {
        let detail = format!("the body must be {wanted}: set its Content-Type");
        return Err(Problem::unsupported_media_type(detail));
    }
    String::from_utf8(body).map_err(|_| Problem::unprocessable("the body must be UTF-8 text"))
}

async fn read(body: Body) -> Result<Vec<u8>, Problem> {
    let mut whole = Vec::new();
    let mut length = 0;
    let mut parts = body.into_data_stream();
    while let Some(part) = parts.next().await {
        let part = part.map_err(|_| Problem::bad_request("the body ended too early"))?;
        length += part.len();
        if length <= OFFER_BYTES {
            whole.extend_from_slice(&part);
        } else if length > PATIENCE_BYTES {
            break;
        }
    }
    if length > OFFER_BYTES {
        let detail = format!("the body is larger than {OFFER_BYTES} bytes");
        return Err(Problem::too_large(detail));
    }
    Ok(whole)
}

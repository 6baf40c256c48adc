//! Forms and files on their way in: bounded in size and in time, and in what they
//! keep in memory.
//!
//! A form is read by a parser that keeps what it can't yet tell apart, so what
//! it was given and didn't give back is counted.

use std::fs::File;
use std::io::{self, Write};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::body::Body;
use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::StatusCode;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use tokio::time::timeout;

use super::problem::Problem;

/// How long a body may pause.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a form beside its files: names and small fields, 64 kB, and what one
/// read of the connection brings ahead, at most twice its buffer of 64 kB.
pub(super) const BESIDE: u64 = 192 << 10;
/// Longest value of a field that is no file, in bytes.
const VALUE: usize = 1_000;

/// How much is read, and how long it is waited for.
#[derive(Clone)]
pub(super) struct Bounds {
    /// Bytes of all files.
    pub most: u64,
    /// How long a body may pause.
    pub patience: Duration,
    /// What is said of more bytes.
    pub too_large: Problem,
}

impl Bounds {
    /// The parts of `body`, until it pauses for too long or has more bytes than files
    /// may have, and `beside`.
    pub fn arriving(
        &self,
        body: Body,
        beside: u64,
    ) -> impl Stream<Item = Result<Bytes, Problem>> + Send + use<> {
        let Self {
            most,
            patience,
            too_large,
        } = self.clone();
        let begun = (body.into_data_stream(), 0);
        stream::try_unfold(begun, move |(mut body, length)| {
            let too_large = too_large.clone();
            async move {
                // Between two parts it is the viewers' turn, whose media runs on
                // this thread; and the parser takes what comes as long as
                // anything comes, before it gives anything back.
                tokio::task::yield_now().await;
                let part = timeout(patience, body.next()).await.map_err(|_| {
                    let detail = format!("Nothing came for {} s.", patience.as_secs());
                    Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
                })?;
                let Some(part) = part else {
                    return Ok(None);
                };
                let part =
                    part.map_err(|e| Problem::bad_request(format!("The body breaks off: {e}.")))?;
                let length = length + part.len() as u64;
                if length > most + beside {
                    return Err(too_large);
                }
                Ok(Some((part, (body, length))))
            }
        })
    }

    /// Writes `parts` to `file`, as many bytes as may come. Returns the file and how
    /// many came; `full` says what it means that they can't be written.
    pub async fn write(
        &self,
        mut file: File,
        parts: impl Stream<Item = Result<Bytes, Problem>>,
        full: impl Fn(io::Error) -> Problem,
    ) -> Result<(File, u64), Problem> {
        let mut parts = pin!(parts);
        let mut size = 0;
        while let Some(part) = parts.next().await {
            let part = part?;
            size += part.len() as u64;
            if size > self.most {
                return Err(self.too_large.clone());
            }
            file = tokio::task::spawn_blocking(move || file.write_all(&part).map(|()| file))
                .await
                .expect("writing doesn't panic")
                .map_err(&full)?;
        }
        Ok((file, size))
    }
}

/// A form that is read field by field.
pub(super) struct Form {
    fields: Multipart,
    given_back: Arc<AtomicU64>,
}

impl Form {
    /// Begins to read the form that `request` brings.
    pub async fn begin(request: Request, bounds: &Bounds) -> Result<Self, Problem> {
        let (head, body) = request.into_parts();
        let given_back = Arc::new(AtomicU64::new(0));
        let body = {
            let given_back = Arc::clone(&given_back);
            let mut handed = 0;
            bounds.arriving(body, BESIDE).map(move |part| {
                let part = part?;
                handed += part.len() as u64;
                if handed - given_back.load(Relaxed) > BESIDE {
                    return Err(Problem::bad_request(
                        "The form has too much beside its field `file`: send nothing else.",
                    ));
                }
                Ok(part)
            })
        };
        let request = Request::from_parts(head, Body::from_stream(body));
        let fields = Multipart::from_request(request, &()).await;
        let fields = fields.map_err(|e| {
            Problem::bad_request(format!("The form can't be read: {}.", e.body_text()))
        })?;
        Ok(Self { fields, given_back })
    }

    /// The next field; `None` at the end. What wasn't read of the one before is
    /// passed over.
    pub async fn next(&mut self) -> Result<Option<Part<'_>>, Problem> {
        let field = self.fields.next_field().await.map_err(broken)?;
        Ok(field.map(|field| Part {
            field,
            given_back: &self.given_back,
        }))
    }
}

/// A field of a form.
pub(super) struct Part<'f> {
    field: Field<'f>,
    given_back: &'f AtomicU64,
}

impl<'f> Part<'f> {
    /// What it is called.
    pub fn name(&self) -> &str {
        self.field.name().unwrap_or_default()
    }

    /// Whether it is called a file by its sender.
    pub fn is_file(&self) -> bool {
        self.field.file_name().is_some()
    }

    /// Its file's name or type, as its sender called it.
    pub fn hint(&self) -> &str {
        let hint = self.field.file_name().or(self.field.content_type());
        hint.unwrap_or_default()
    }

    /// Its content, as it comes.
    pub fn content(self) -> impl Stream<Item = Result<Bytes, Problem>> + 'f {
        let given_back = self.given_back;
        self.field.map_err(broken).inspect_ok(|part| {
            given_back.fetch_add(part.len() as u64, Relaxed);
        })
    }

    /// Its content as a short text.
    pub async fn text(mut self) -> Result<String, Problem> {
        let mut text = Vec::new();
        while let Some(part) = self.field.chunk().await.map_err(broken)? {
            text.extend_from_slice(&part);
            if text.len() > VALUE {
                return Err(Problem::unprocessable(format!(
                    "The field `{}` is longer than {VALUE} bytes.",
                    self.name()
                )));
            }
        }
        String::from_utf8(text)
            .map_err(|_| Problem::unprocessable("A field that is no file must be text in UTF-8."))
    }
}

/// Why a form can't be read on: for what came to it, or for what it is.
fn broken(error: MultipartError) -> Problem {
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        if let Some(problem) = error.downcast_ref::<Problem>() {
            return problem.clone();
        }
        cause = error.source();
    }
    Problem::bad_request(format!("The form breaks off: {}.", error.body_text()))
}

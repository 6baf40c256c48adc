//! `POST /v1/avatars`, `POST /v1/models` and `/v1/jobs`: uploads, and the jobs that
//! make something of them.

mod fields; // what the forms may have

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::form::{Bounds, Form, PATIENCE, Part};
use super::problem::{self, Problem};
use super::session::aside;
use super::upload::kind;
use crate::run::imports::{Error, FILE, HeadError, Job, Kind, Place, SECOND, Wanted};
use fields::{AvatarForm, ModelForm, OPTIONS, example, fields};

/// Jobs that are known, the oldest first.
#[derive(Serialize, ToSchema)]
#[schema(as = Jobs)]
pub(super) struct All {
    jobs: Vec<Job>,
}

/// A job that began.
#[derive(Serialize, ToSchema)]
struct Begun {
    /// Where it is asked for.
    job: String,
    /// The id of what it makes.
    id: String,
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        if let Some(time) = error.retry_after() {
            return Self::too_many(detail).retry_after(time);
        }
        match error {
            Error::Unknown(_) => Self::not_found(detail),
            Error::Taken { .. } | Error::Coming { .. } => Self::conflict(detail),
            Error::Ending => Self::unavailable(detail),
            Error::ReadOnly(_) => Self::of(problem::Kind::NotWritable, detail),
            Error::DiskFull => Self::of(problem::Kind::DiskFull, detail),
            Error::Head(HeadError::Read(_)) => Self::internal(detail),
            Error::Id { .. } | Error::Head(_) | Error::Full => Self::unprocessable(detail),
        }
    }
}

/// Every import that is known
#[utoipa::path(
    get, path = "/v1/jobs", operation_id = "list_jobs", tag = "bundles",
    responses(
        (status = 200, description = "The oldest first", body = All),
        (status = 408, description = "too-slow"),
    )
)]
pub(super) async fn jobs(State(app): State<App>) -> Json<All> {
    let jobs = app.imports.jobs();
    Json(All { jobs })
}

/// One import
#[utoipa::path(
    get, path = "/v1/jobs/{id}", operation_id = "get_job", tag = "bundles",
    params(("id" = String, Path, description = "The job")),
    responses(
        (status = 200, description = "As it is", body = Job),
        (status = 404, description = "not-found"),
        (status = 408, description = "too-slow"),
    )
)]
pub(super) async fn job(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<Job>, Problem> {
    Ok(Json(app.imports.job(&id)?))
}

/// Stops an import, or forgets one that is over
#[utoipa::path(
    delete, path = "/v1/jobs/{id}", operation_id = "stop_job", tag = "bundles",
    params(("id" = String, Path, description = "The job")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, description = "not-found"),
        (status = 408, description = "too-slow"),
    )
)]
pub(super) async fn stop(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    aside(move || app.imports.stop(&id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes an avatar of a video or a photo
#[utoipa::path(
    post, path = "/v1/avatars", operation_id = "create_avatar", tag = "bundles",
    request_body(content = AvatarForm, content_type = "multipart/form-data"),
    responses(
        (
            status = 202,
            description = "It is imported",
            body = Begun,
            headers(("Location" = String, description = "The job"))
        ),
        (status = 408, description = "too-slow"),
        (status = 409, description = "conflict"),
        (status = 413, description = "too-large"),
        (status = 415, description = "unsupported-media-type"),
        (status = 422, description = "unprocessable"),
        (status = 429, description = "too-many"),
        (status = 503, description = "unavailable"),
        (status = 507, description = "disk-full, not-writable"),
    )
)]
pub(super) async fn avatar(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    receive(app, Kind::Avatar, request).await
}

/// Takes a model in, of ONNX files
#[utoipa::path(
    post, path = "/v1/models", operation_id = "create_model", tag = "bundles",
    request_body(content = ModelForm, content_type = "multipart/form-data"),
    responses(
        (
            status = 202,
            description = "It is imported",
            body = Begun,
            headers(("Location" = String, description = "The job"))
        ),
        (status = 408, description = "too-slow"),
        (status = 409, description = "conflict"),
        (status = 413, description = "too-large"),
        (status = 415, description = "unsupported-media-type"),
        (status = 422, description = "unprocessable"),
        (status = 429, description = "too-many"),
        (status = 503, description = "unavailable"),
        (status = 507, description = "disk-full, not-writable"),
    )
)]
pub(super) async fn model(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    receive(app, Kind::Model, request).await
}

/// Takes an upload to the disk, and begins the job that imports it.
async fn receive(app: App, kind: Kind, request: Request) -> Result<Response, Problem> {
    if !self::kind(request.headers()).starts_with("multipart/form-data") {
        return Err(Problem::unsupported_media_type(example(kind)));
    }
    let imports = Arc::clone(&app.imports);
    let place = aside(move || imports.place()).await?;
    let most_mb = app.max_upload_mb;
    let bounds = Bounds {
        most: most_mb << 20,
        patience: PATIENCE,
        too_large: Problem::too_large(format!(
            "The upload is larger than {most_mb} MB (imports.max_upload_mb)."
        )),
    };
    let mut form = Form::begin(request, &bounds).await?;
    let mut given = Given::default();
    while let Some(part) = form.next().await? {
        let name = part.name().to_owned();
        let known = fields(kind).contains(&name.as_str());
        if !known {
            return Err(Problem::unprocessable(format!(
                "The form has a field `{name}`, and nobody knows it: send {}.",
                fields(kind).join(", ")
            )));
        }
        if name == FILE || name == SECOND {
            given.file(&place, &name, part, &bounds).await?;
        } else {
            given.value(name, part.text().await?)?;
        }
        // What is refused anyway is refused before the rest of it comes.
        if let Some(id) = given.values.get("id") {
            app.imports.check_id(kind, id)?;
        }
    }
    if !given.files.iter().any(|file| file == FILE) {
        return Err(Problem::unprocessable(format!(
            "The form has no field `{FILE}`. {}",
            example(kind)
        )));
    }
    let second = given.files.iter().any(|file| file == SECOND);
    let wanted = given.wanted(kind)?;
    let id = wanted.id.clone();
    let job = aside(move || app.imports.begin(place, wanted, second)).await?;
    let job = format!("/v1/jobs/{}", job.id);
    let place = HeaderValue::try_from(&job).expect("an id has letters and digits");
    let begun = Json(Begun { job, id });
    Ok((StatusCode::ACCEPTED, [(LOCATION, place)], begun).into_response())
}

/// What a form brought.
#[derive(Default)]
struct Given {
    values: BTreeMap<String, String>,
    files: Vec<String>,
}

impl Given {
    async fn file(
        &mut self,
        place: &Place,
        name: &str,
        part: Part<'_>,
        bounds: &Bounds,
    ) -> Result<(), Problem> {
        if self.files.iter().any(|file| file == name) {
            return Err(twice(name));
        }
        let disk = |error| Problem::from(Error::of_disk(error));
        let path = place.upload(name);
        let file = aside(move || File::create(path).map_err(disk)).await?;
        let (_, size) = bounds.write(file, part.content(), disk).await?;
        if size == 0 {
            return Err(Problem::unprocessable(format!(
                "The field `{name}` is empty: send a file, with curl as `-F {name}=@…`."
            )));
        }
        self.files.push(name.to_owned());
        Ok(())
    }

    fn value(&mut self, name: String, value: String) -> Result<(), Problem> {
        match self.values.insert(name.clone(), value) {
            Some(_) => Err(twice(&name)),
            None => Ok(()),
        }
    }

    /// What is to be made of it, with every value checked.
    fn wanted(mut self, kind: Kind) -> Result<Wanted, Problem> {
        let id = self.values.remove("id").ok_or_else(|| {
            Problem::unprocessable(format!("The form has no field `id`. {}", example(kind)))
        })?;
        let mut options = Vec::new();
        for (name, value) in self.values {
            // Forms of pages send every field, filled in or not.
            if value.is_empty() {
                continue;
            }
            let (_, option, wants, fits) = OPTIONS
                .iter()
                .find(|(known, ..)| *known == name)
                .expect("other fields were refused");
            if !fits(&value) {
                return Err(Problem::unprocessable(format!(
                    "The field `{name}` is {value:?}, and {wants} is wanted."
                )));
            }
            options.push((*option, value));
        }
        Ok(Wanted { kind, id, options })
    }
}

fn twice(name: &str) -> Problem {
    Problem::unprocessable(format!(
        "The form has the field `{name}` twice: send it once."
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(values: &[(&str, &str)]) -> Result<Vec<(&'static str, String)>, String> {
        let mut given = Given::default();
        for (name, value) in values {
            given
                .value((*name).into(), (*value).into())
                .map_err(|p| p.detail)?;
        }
        let wanted = given.wanted(Kind::Avatar).map_err(|p| p.detail)?;
        Ok(wanted.options)
    }

    #[test]
    fn fields_become_options_and_empty_ones_are_left_out() {
        let options = wanted(&[
            ("id", "anna"),
            ("height", "360"),
            ("key", ""),
            ("start", "1.5"),
        ]);
        let expected = [
            ("--height", "360".to_owned()),
            ("--start", "1.5".to_owned()),
        ];
        assert_eq!(options.as_deref(), Ok(&expected[..]));
    }

    #[test]
    fn values_that_cannot_be_are_named_with_what_is_wanted() {
        for (name, value) in [
            ("height", "63"),
            ("height", "12.5"),
            ("height", "--detector=x"),
            ("face", "0"),
            ("start", "nan"),
            ("start", "-1"),
            ("key", "mauve"),
            ("name", "a\nb"),
        ] {
            let error = wanted(&[("id", "anna"), (name, value)]).expect_err("refused");
            assert!(error.contains(name) && error.contains("wanted"), "{error}");
        }
        assert!(wanted(&[]).expect_err("no id").contains("curl -F id="));
        let twice = wanted(&[("id", "a"), ("id", "b")]).expect_err("twice");
        assert!(twice.contains("twice"), "{twice}");
    }

    #[test]
    fn every_field_of_a_form_is_known_to_the_programs() {
        for kind in [Kind::Avatar, Kind::Model] {
            for field in fields(kind) {
                let known = OPTIONS.iter().any(|(name, ..)| name == field);
                assert!(known || ["id", FILE, SECOND].contains(field), "{field}");
            }
        }
    }
}

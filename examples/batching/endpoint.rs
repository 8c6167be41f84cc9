//! An HTTP endpoint that takes a list and answers with one, and a client for it.

use crate::{Error, Single, failure};
use axum::body::Body;
use axum::routing::post;
use axum::{Json, Router};
use buttress::batcher::batch_fn;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use std::fmt;
use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use tokio::net::TcpListener;
use tower::util::BoxCloneSyncService;

/// The endpoint takes no more in one request.
const MOST: NonZeroU32 = NonZeroU32::new(50).unwrap();

/// What the endpoint has to say of one text: its length, or what is wrong with it.
#[derive(serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Length(usize),
    Error(String),
}

/// Has a hundred texts measured, of which one is empty.
pub(crate) async fn show() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}/lengths", listener.local_addr()?);
    let server =
        tokio::spawn(axum::serve(listener, Router::new().route("/lengths", post(lengths))).into_future());

    let client = Client::builder(TokioExecutor::new()).build_http();
    let ask = batch_fn(move |texts: Vec<String>| lengths_at(client.clone(), url.clone(), texts));
    let lengths = Single::new("lengths", MOST, BoxCloneSyncService::new(ask));
    let (found, calls) = lengths.ask((0..100).map(|length| "x".repeat(length))).await;
    let count = found.iter().zip(0..).filter(|(found, length)| found.as_ref().ok() == Some(length)).count();
    println!("endpoint: {count} of {} texts were measured, in {calls} calls", found.len());
    for error in found.into_iter().filter_map(Result::err) {
        println!("endpoint: {error}");
    }
    server.abort();
    Ok(())
}

/// The endpoint.
async fn lengths(Json(texts): Json<Vec<String>>) -> Result<Json<Vec<Answer>>, StatusCode> {
    if texts.len() > MOST.get() as usize {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let answer = |text: String| match text.len() {
        0 => Answer::Error("an empty text".to_owned()),
        length => Answer::Length(length),
    };
    Ok(Json(texts.into_iter().map(answer).collect()))
}

/// A request that fails is an error for all, and what is wrong with one text an error for that caller alone.
async fn lengths_at(
    client: Client<HttpConnector, Body>,
    url: String,
    texts: Vec<String>,
) -> Result<Vec<Result<usize, Error>>, Error> {
    let texts = serde_json::to_vec(&texts).map_err(failure)?;
    let request = Request::post(url).header("content-type", "application/json").body(texts.into());
    let response = client.request(request.map_err(failure)?).await.map_err(failure)?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(failure)?.to_bytes();
    if status != StatusCode::OK {
        return Err(failure(Refused(status.to_string())));
    }
    let answers: Vec<Answer> = serde_json::from_slice(&body).map_err(failure)?;
    let result = |answer| match answer {
        Answer::Length(length) => Ok(length),
        Answer::Error(why) => Err(failure(Refused(why))),
    };
    Ok(answers.into_iter().map(result).collect())
}

/// The endpoint's own words.
#[derive(Debug)]
struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the endpoint refused: {}", self.0)
    }
}

impl std::error::Error for Refused {}

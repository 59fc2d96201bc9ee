//! A service that campus calls, played by the test: it answers, refuses, says nonsense, hangs, or is away.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::atomicity::until;

/// How it treats whoever calls.
#[derive(Clone)]
pub(crate) enum Mood {
    /// Answers, with the number of the request.
    Kind(fn(usize) -> Value),
    /// Answers this, with that status.
    Odd(u16, String),
    /// Has enough for so many seconds.
    Busy(u64),
    /// Takes the request and says nothing, ever.
    Silent,
}

/// What it was asked.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) path: String,
    pub(crate) authorization: String,
    pub(crate) body: Value,
    /// Whether it answered as it should.
    pub(crate) is_accepted: bool,
}

struct Shared {
    mood: Mutex<Mood>,
    heard: watch::Sender<Vec<Heard>>,
}

/// The service.
pub(crate) struct StandIn {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl StandIn {
    pub(crate) async fn new(mood: Mood) -> Self {
        let shared = Arc::new(Shared { mood: Mutex::new(mood), heard: watch::Sender::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { address, server: serve(listener, shared.clone()), shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn is_now(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
    }

    /// Refuses every connection from now on.
    pub(crate) async fn leaves(&mut self) {
        self.server.abort();
        let _ = (&mut self.server).await;
    }

    /// Is at the same address again.
    pub(crate) async fn returns(&mut self) {
        let mut listener = None;
        // Somebody else may have been given the port for a moment.
        until(async || {
            listener = TcpListener::bind(self.address).await.ok();
            listener.is_some()
        })
        .await;
        self.server = serve(listener.unwrap(), self.shared.clone());
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.shared.heard.borrow().clone()
    }

    /// What it was asked and answered as it should.
    pub(crate) fn accepted(&self) -> Vec<Value> {
        self.heard().into_iter().filter(|heard| heard.is_accepted).map(|heard| heard.body).collect()
    }

    /// Waits until it was asked so often.
    pub(crate) async fn has_heard(&self, count: usize) {
        let mut heard = self.shared.heard.subscribe();
        let all = heard.wait_for(|heard| heard.len() >= count);
        tokio::time::timeout(Duration::from_mins(1), all).await.expect("in time").unwrap();
    }
}

fn serve(listener: TcpListener, shared: Arc<Shared>) -> JoinHandle<()> {
    let router = Router::new().fallback(answer).with_state(shared);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() })
}

async fn answer(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let mood = shared.mood.lock().unwrap().clone();
    let mut number = 0;
    shared.heard.send_modify(|heard| {
        number = heard.len();
        heard.push(Heard {
            path: uri.path().to_owned(),
            authorization: headers.get(header::AUTHORIZATION).map_or("", |value| value.to_str().unwrap()).to_owned(),
            body: serde_json::from_slice(&body).unwrap(),
            is_accepted: matches!(mood, Mood::Kind(_)),
        });
    });
    // Nobody keeps a connection that outlives the listener.
    let close = [(header::CONNECTION, "close")];
    match mood {
        Mood::Kind(answer) => (close, axum::Json(answer(number))).into_response(),
        Mood::Odd(status, body) => (StatusCode::from_u16(status).unwrap(), close, body).into_response(),
        Mood::Busy(seconds) => {
            (StatusCode::TOO_MANY_REQUESTS, close, [(header::RETRY_AFTER, seconds)], "").into_response()
        }
        Mood::Silent => std::future::pending().await,
    }
}

//! An open loop: requests leave when they are due, whether or not earlier ones were answered, and each is timed from the moment
//! it was due. A server that falls behind cannot hide it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

/// What people look for.
const WORDS: [&str; 12] = [
    "chess", "dinner", "founders", "reunion", "library", "research", "music", "rowing", "travel", "career", "garden",
    "data",
];

/// How long every request of a kind took.
#[derive(Default)]
pub(super) struct Times {
    pub(super) home: Vec<Duration>,
    pub(super) search: Vec<Duration>,
    pub(super) post: Vec<Duration>,
}

#[derive(Clone, Copy)]
enum Kind {
    Home,
    Search,
    Post,
}

/// Somebody signed in, and a group that they are in.
pub(super) struct Visitor {
    cookie: String,
    group: String,
}

#[derive(Clone)]
pub(super) struct Visits {
    client: Client<HttpConnector, Full<Bytes>>,
    address: String,
}

impl Visits {
    pub(super) fn new(address: &str) -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http(), address: address.to_owned() }
    }

    /// Signs somebody in as the demo's picker does.
    pub(super) async fn sign_in(&self, person: &str, group: &str) -> Visitor {
        let request = self.request(Method::POST, "/people", format!("person={person}"));
        let response = self.client.request(request).await.expect("campus answers");
        let cookie = response.headers().get(header::SET_COOKIE).and_then(|value| value.to_str().ok());
        let cookie =
            cookie.and_then(|cookie| cookie.split(';').next()).unwrap_or_else(|| panic!("{person} may not sign in"));
        Visitor { cookie: cookie.to_owned(), group: group.to_owned() }
    }

    fn request(&self, method: Method, path: &str, body: String) -> Request<Full<Bytes>> {
        Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header(header::ORIGIN, format!("http://{}", self.address))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(body)))
            .expect("it is a request")
    }

    /// One visit, timed from when it was due.
    async fn visit(&self, visitor: &Visitor, kind: Kind, number: usize, due: Instant) -> (Kind, Duration) {
        let (method, path, body) = match kind {
            Kind::Home => (Method::GET, "/".to_owned(), String::new()),
            Kind::Search => (Method::GET, format!("/search?q={}", WORDS[number % WORDS.len()]), String::new()),
            Kind::Post => (
                Method::POST,
                format!("/groups/{}/posts", visitor.group),
                format!(
                    "title=A+note+about+{}&body=Number+{number}+of+many%2C+for+whoever+reads+this.",
                    WORDS[number % WORDS.len()]
                ),
            ),
        };
        let mut request = self.request(method, &path, body);
        request.headers_mut().insert(header::COOKIE, visitor.cookie.parse().expect("it was a header before"));
        let response = self.client.request(request).await.expect("campus answers");
        let status = response.status();
        let body = response.into_body().collect().await.expect("the answer ends").to_bytes();
        assert!(
            status == StatusCode::OK || status == StatusCode::SEE_OTHER,
            "{path}: {status}: {}",
            String::from_utf8_lossy(&body[..body.len().min(500)])
        );
        (kind, due.elapsed())
    }

    /// So many requests a second for so long: of ten, five for the home page, three searches, two posts.
    pub(super) async fn run(&self, visitors: Vec<Visitor>, rate: u32, length: Duration) -> Times {
        const MIX: [Kind; 10] = [
            Kind::Home,
            Kind::Search,
            Kind::Home,
            Kind::Post,
            Kind::Home,
            Kind::Search,
            Kind::Home,
            Kind::Search,
            Kind::Home,
            Kind::Post,
        ];
        let visitors = Arc::new(visitors);
        let (begin, gap) = (Instant::now(), Duration::from_secs(1) / rate);
        let mut flying = JoinSet::new();
        for number in 0..(length.as_secs_f64() * f64::from(rate)) as u32 {
            let due = begin + gap * number;
            sleep_until(due.into()).await;
            let (visits, visitors, number) = (self.clone(), visitors.clone(), number as usize);
            flying.spawn(async move {
                visits.visit(&visitors[number % visitors.len()], MIX[number % MIX.len()], number, due).await
            });
        }
        let mut times = Times::default();
        for (kind, took) in flying.join_all().await {
            match kind {
                Kind::Home => times.home.push(took),
                Kind::Search => times.search.push(took),
                Kind::Post => times.post.push(took),
            }
        }
        times
    }
}

//! Sign-in, limits and refusals, on both databases.

use std::num::NonZeroU32;
use std::process::Command;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::request::Builder;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use campus::app::App;
use campus::backend::Sqlite;
use campus::http::auth::{Expected, Keys, demo_secret};
use campus::http::{Options, Rate, Rates, router, routes};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use stoa_audit::{self as audit, Personal, Trust};
use stoa_membership::{By, Scope, UserId};
use tower::ServiceExt as _;

use crate::fixture::{Fixture, OnPostgres, OnSqlite, a_member};
use crate::pages::{Browser, fixture_stranger};

const SECRET: &[u8] = b"of the people who issue tokens here";
const ISSUER: &str = "https://login.example";
const FOREVER: u64 = 4_102_444_800;

/// A public key, in two of its forms, and the one token that was ever signed with it: for `amara-okafor`, until [`FOREVER`].
const RSA_MODULUS: &str = "yMMtKebu0VtezoBK7FOmXaLpSu8kOsRxSt1LGYR-IGd_IA_jhlTMGHEYmZ8O18veTuUuWTe-c66zArguFDDDFwITVLE-SbpGSSJUYWoMCCC027V-enSVkUvI6u6D1ITt_Lxa5-Nsv-dY9_tkVAkjpX0PwBhUv0o2izLMksDSFoPaS9WXwBir24VYvHTCdeT2JJun4O7yjxWX0MCHcrR_PMBaewak74SUpsrydAv99ox-Ue7ZSPqsdOsvH5rSokmBlhpHvCDO-8u-3Fy15A4N8ZPtJgMl4BtJGyF6nY-ynpKWjNxZIirbQ_zjOrdSxkobP6vNXx5XYxoSBVsCCzwIpw";
const RSA_PEM: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAyMMtKebu0VtezoBK7FOm
XaLpSu8kOsRxSt1LGYR+IGd/IA/jhlTMGHEYmZ8O18veTuUuWTe+c66zArguFDDD
FwITVLE+SbpGSSJUYWoMCCC027V+enSVkUvI6u6D1ITt/Lxa5+Nsv+dY9/tkVAkj
pX0PwBhUv0o2izLMksDSFoPaS9WXwBir24VYvHTCdeT2JJun4O7yjxWX0MCHcrR/
PMBaewak74SUpsrydAv99ox+Ue7ZSPqsdOsvH5rSokmBlhpHvCDO+8u+3Fy15A4N
8ZPtJgMl4BtJGyF6nY+ynpKWjNxZIirbQ/zjOrdSxkobP6vNXx5XYxoSBVsCCzwI
pwIDAQAB
-----END PUBLIC KEY-----
";
const RSA_TOKEN: &str = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InJzYSJ9.eyJzdWIiOiJhbWFyYS1va2Fmb3IiLCJleHAiOjQxMDI0NDQ4MDAsImlzcyI6Imh0dHBzOi8vbG9naW4uZXhhbXBsZSIsImF1ZCI6WyJjYW1wdXMiLCJtYWlsIl19.ZzQV2J6nx2nI0lLG5owgHIRxUKnQmJxjhFoDTb4AxatuspL5wWxw_By46pw6skIcNxisBb_XaCd15Y86K3FVCbXshPYsLDWBXOl8mBjY6I6XXY-xkOaNntq7NbKNGIVGXlL_Qqba4iMvs1Sx-DoqgE0LvnrClVeveENZLk6-Dg-KaXpi2nGTNRtcyyw3GymrJPS3V5_7IYXwEEagGpNIsXPVgjS0tjbB0jU6rro3_-AOMK-4vkXsKi6IAwVs-cGIXjnhVCCxnmAoAVQ-dGjhA0w0pX9MzlbmVSg1Gmab8rSYVRFdWLM7PuQ63xcsIC6qp-P07zGZBU3TGZZSm28Q2g";

/// The key of somebody who signs with Ed25519: every byte of it is this one.
fn ed25519(byte: u8) -> EncodingKey {
    let pkcs8 = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20].into_iter();
    EncodingKey::from_ed_der(&pkcs8.chain([byte; 32]).collect::<Vec<_>>())
}

fn rsa_jwk(kid: &str) -> Value {
    json!({"kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256", "n": RSA_MODULUS, "e": "AQAB"})
}

fn ed_jwk(kid: &str) -> Value {
    let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&ed25519(7), Algorithm::EdDSA).unwrap()).unwrap();
    jwk["kid"] = kid.into();
    jwk
}

fn keys() -> Keys {
    let expected = Expected { issuer: Some(ISSUER.into()), audience: Some("campus".into()) };
    let jwks = json!({"keys": [rsa_jwk("rsa"), ed_jwk("ed")]}).to_string();
    Keys::new(expected).secret(SECRET).unwrap().jwks(&jwks).unwrap()
}

fn claims(user: &str) -> Value {
    json!({"sub": user, "exp": FOREVER, "iss": ISSUER, "aud": "campus"})
}

fn signed(algorithm: Algorithm, kid: Option<&str>, key: &EncodingKey, claims: &Value) -> String {
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
    jsonwebtoken::encode(&header, claims, key).unwrap()
}

fn hs256(secret: &[u8], claims: &Value) -> String {
    signed(Algorithm::HS256, None, &EncodingKey::from_secret(secret), claims)
}

/// A token for this person.
fn token(user: &str) -> String {
    hs256(SECRET, &claims(user))
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// A problem that says of itself what its status is.
    fn is_problem(&self) -> bool {
        let Ok(problem) = serde_json::from_str::<Value>(&self.body) else { return false };
        self.header("content-type") == "application/problem+json"
            && problem["status"] == self.status.as_u16()
            && problem["type"] == "about:blank"
            && ["title", "detail"].iter().all(|field| problem[field].as_str().is_some_and(|text| !text.is_empty()))
    }

    /// A page with a heading.
    fn is_page(&self) -> bool {
        self.header("content-type").starts_with("text/html") && self.body.contains("<h1>")
    }
}

async fn send(router: &Router, mut request: Builder, body: impl Into<Body>) -> Answer {
    if request.headers_ref().is_none_or(|headers| !headers.contains_key(header::HOST)) {
        request = request.header(header::HOST, "localhost:8080");
    }
    let response = router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 1 << 22).await.unwrap();
    Answer { status: parts.status, headers: parts.headers, body: String::from_utf8(body.to_vec()).unwrap() }
}

fn bearer(request: Builder, token: &str) -> Builder {
    request.header(header::AUTHORIZATION, format!("Bearer {token}"))
}

fn json_post(path: &str, token: &str) -> Builder {
    bearer(Request::post(path), token).header(header::CONTENT_TYPE, "application/json")
}

/// The demo's database, in production.
async fn production<F: Fixture>() -> (F, App<F::Backend>, Router) {
    let (fixture, app) = F::demo().await;
    (fixture, app.clone(), router(app, Options::production(keys()).rates(None)))
}

fn few(burst: u32) -> Rates {
    let rate = Rate { burst: NonZeroU32::new(burst).unwrap(), refill: Duration::from_hours(1) };
    Rates { reads: rate, writes: rate }
}

async fn a_token_of_any_key_signs_in<F: Fixture>() {
    let (_fixture, _app, router) = production::<F>().await;
    let amara = claims("amara-okafor");
    let mut several = amara.clone();
    several["aud"] = json!(["mail", "campus"]);
    let just_over = hs256(SECRET, &{
        let mut claims = amara.clone();
        claims["exp"] = (jsonwebtoken::get_current_timestamp() - 5).into();
        claims
    });
    let tokens = [
        token("amara-okafor"),
        RSA_TOKEN.to_owned(),
        signed(Algorithm::EdDSA, Some("ed"), &ed25519(7), &amara),
        hs256(SECRET, &several),
        just_over,
    ];
    for token in tokens {
        let answer = send(&router, bearer(Request::get("/api/v1/groups/chess"), &token), "").await;
        assert_eq!(answer.status, StatusCode::OK, "{token} {}", answer.body);
        let cookie = format!("other=1; campus_session={token}");
        let page = send(&router, Request::get("/").header(header::COOKIE, cookie), "").await;
        assert!(page.status == StatusCode::OK && page.body.contains(", Amara</h1>"), "{token}");
    }
}

async fn tokens_that_prove_nothing_get_401_and_write_nothing<F: Fixture>() {
    let (fixture, _app, router) = production::<F>().await;
    let before = fixture.counts().await;
    let amara = claims("amara-okafor");
    let with = |claim: &str, value: Value| {
        let mut claims = amara.clone();
        claims[claim] = value;
        hs256(SECRET, &claims)
    };
    let without = |claim: &str| {
        let mut claims = amara.clone();
        claims.as_object_mut().unwrap().remove(claim);
        hs256(SECRET, &claims)
    };
    let plain = |header: Value, signature: &str| {
        format!("{}.{}.{signature}", BASE64.encode(header.to_string()), BASE64.encode(amara.to_string()))
    };
    let good = token("amara-okafor");
    let (head, signature) = good.rsplit_once('.').unwrap();
    let (rsa_head, rsa_signature) = RSA_TOKEN.rsplit_once('.').unwrap();
    let rsa_header = rsa_head.split('.').next().unwrap();
    let confused = |kid, key: &[u8]| signed(Algorithm::HS256, kid, &EncodingKey::from_secret(key), &amara);
    let modulus = BASE64.decode(RSA_MODULUS).unwrap();
    let now = jsonwebtoken::get_current_timestamp();
    let forged = [
        ("nonsense", "nonsense".into()),
        ("empty", String::new()),
        ("dots", "..".into()),
        ("too long", format!("{head}.{}", "A".repeat(9000))),
        ("expired", with("exp", (now - 3600).into())),
        ("not yet", with("nbf", (now + 3600).into())),
        ("never ends", without("exp")),
        ("ends in words", with("exp", "tomorrow".into())),
        ("nobody", without("sub")),
        ("nobody by name", with("sub", "".into())),
        ("a name with a line in it", with("sub", "amara\nokafor".into())),
        ("somebody else's issuer", with("iss", "https://evil.example".into())),
        ("no issuer", without("iss")),
        ("somebody else's audience", with("aud", "mail".into())),
        ("no audience", without("aud")),
        ("another secret", hs256(b"of somebody else who issues tokens", &amara)),
        ("another payload", {
            let other = BASE64.encode(claims("bilal-khan").to_string());
            format!("{}.{other}.{signature}", head.split('.').next().unwrap())
        }),
        ("another payload under an RSA signature", {
            format!("{rsa_header}.{}.{rsa_signature}", BASE64.encode(claims("bilal-khan").to_string()))
        }),
        ("no signature", format!("{head}.")),
        ("no algorithm", plain(json!({"alg": "none"}), "")),
        ("no algorithm, in capitals", plain(json!({"alg": "NONE", "kid": "rsa"}), "")),
        ("no algorithm, with a signature", plain(json!({"alg": "none"}), signature)),
        ("the public key as a secret: PEM", confused(Some("rsa"), RSA_PEM.as_bytes())),
        ("the public key as a secret: bytes", confused(Some("rsa"), &modulus)),
        ("the public key as a secret: text", confused(Some("rsa"), RSA_MODULUS.as_bytes())),
        ("the public key as a secret: without kid", confused(None, RSA_PEM.as_bytes())),
        ("the secret for another algorithm", {
            signed(Algorithm::HS512, None, &EncodingKey::from_secret(SECRET), &amara)
        }),
        ("the secret under the name of a key", confused(Some("ed"), SECRET)),
        ("an unknown kid", confused(Some("other"), SECRET)),
        ("an unknown key", signed(Algorithm::EdDSA, Some("ed"), &ed25519(8), &amara)),
        ("a key under no name", signed(Algorithm::EdDSA, None, &ed25519(7), &amara)),
        ("a key under another name", signed(Algorithm::EdDSA, Some("rsa"), &ed25519(7), &amara)),
        ("a key that came along", {
            let jwk = Jwk::from_encoding_key(&ed25519(8), Algorithm::EdDSA).unwrap();
            let header = Header { jwk: Some(jwk), kid: Some("ed".into()), ..Header::new(Algorithm::EdDSA) };
            jsonwebtoken::encode(&header, &amara, &ed25519(8)).unwrap()
        }),
    ];
    for (what, token) in forged {
        let cookie = |request: Builder| {
            request
                .header(header::COOKIE, format!("campus_session={token}"))
                .header(header::ORIGIN, "http://localhost:8080")
        };
        for path in ["/api/v1/groups/chess/join", "/groups/chess/join"] {
            for request in [bearer(Request::post(path), &token), cookie(Request::post(path))] {
                let answer = send(&router, request, "").await;
                assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what}: {}", answer.body);
                assert_eq!(answer.header("www-authenticate"), r#"Bearer error="invalid_token""#, "{what}");
                assert_eq!(answer.is_problem(), path.starts_with("/api"), "{what}: {}", answer.body);
            }
        }
        // A good cookie does not make up for a bad header.
        let both = bearer(Request::get("/"), &token).header(header::COOKIE, format!("campus_session={good}"));
        assert_eq!(send(&router, both, "").await.status, StatusCode::UNAUTHORIZED, "{what}");
    }
    let two = Request::get("/").header(header::COOKIE, format!("campus_session={good}; campus_session={good}"));
    assert_eq!(send(&router, two, "").await.status, StatusCode::UNAUTHORIZED, "a planted cookie");
    let unknown = send(&router, json_post("/api/v1/groups/chess/join", &token("nobody-here")), "").await;
    assert!(
        unknown.status == StatusCode::UNAUTHORIZED && unknown.is_problem(),
        "nobody campus knows: {}",
        unknown.body
    );
    let nobody = send(&router, Request::get("/api/v1/groups/chess"), "").await;
    assert!(nobody.status == StatusCode::UNAUTHORIZED && nobody.is_problem(), "{}", nobody.body);
    assert_eq!(nobody.header("www-authenticate"), "Bearer");
    assert_eq!(fixture.counts().await, before);
}

async fn the_demo_signs_in_with_a_token_of_its_own_secret<F: Fixture>() {
    let (_fixture, app) = F::demo().await;
    let secret = demo_secret(&app).await.unwrap();
    assert_eq!(demo_secret(&app).await.unwrap(), secret, "it is made once");
    let ours = router(app.clone(), Options::demo_with(&secret));
    let pick = Request::post("/people")
        .header(header::ORIGIN, "http://localhost:8080")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let picked = send(&ours, pick, "person=amara-okafor").await;
    assert_eq!(picked.status, StatusCode::SEE_OTHER, "{}", picked.body);
    let cookie = picked.header("set-cookie").to_owned();
    for part in ["campus_session=", "; Path=/", "; HttpOnly", "; SameSite=Strict", "; Max-Age=43200"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let home = |router: Router, cookie: String| async move {
        send(&router, Request::get("/").header(header::COOKIE, cookie), "").await.status
    };
    assert_eq!(home(ours.clone(), cookie.clone()).await, StatusCode::OK);
    let restarted = router(app.clone(), Options::demo_with(&demo_secret(&app).await.unwrap()));
    assert_eq!(home(restarted, cookie.clone()).await, StatusCode::OK, "a restart signs nobody out");
    assert_eq!(
        home(router(app.clone(), Options::demo()), cookie.clone()).await,
        StatusCode::UNAUTHORIZED,
        "another secret"
    );
    let elsewhere = router(app, Options::production(keys()));
    assert_eq!(
        home(elsewhere, cookie.clone()).await,
        StatusCode::UNAUTHORIZED,
        "production knows no secret of the demo"
    );
    // One letter of the signature, in the middle: the last one has bits that nobody reads.
    let (head, signature) = cookie.rsplit_once('.').unwrap();
    let other = if &signature[20..21] == "A" { "B" } else { "A" };
    let forged = format!("{head}.{}{other}{}", &signature[..20], &signature[21..]);
    assert_eq!(home(ours, forged).await, StatusCode::UNAUTHORIZED);
}

async fn whoever_signs_out_is_forgotten<F: Fixture>() {
    let (fixture, app, production) = production::<F>().await;
    let before = fixture.counts().await;
    let good = format!("campus_session={}", token("amara-okafor"));
    let stale = "campus_session=of.another.time".to_owned();
    let page = send(&production, Request::get("/").header(header::COOKIE, &good), "").await;
    assert!(page.body.contains("Amara Okafor") && page.body.contains("action=\"/sign-out\""), "{}", page.body);
    assert!(!page.body.contains("\"/people\""), "in production there is nobody to pick: {}", page.body);
    let demo = router(app, Options::demo());
    for (site, cookie, is_demo) in [(&production, &good, false), (&production, &stale, false), (&demo, &stale, true)] {
        let out = || Request::post("/sign-out").header(header::COOKIE, cookie);
        for origin in ["http://evil.example", "null"] {
            let answer = send(site, out().header(header::ORIGIN, origin), "").await;
            assert_eq!((answer.status, answer.header("set-cookie")), (StatusCode::FORBIDDEN, ""), "{origin}");
        }
        let answer = send(site, out().header(header::ORIGIN, "http://localhost:8080"), "").await;
        assert_eq!(answer.header("set-cookie"), "campus_session=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
        if is_demo {
            assert_eq!((answer.status, answer.header("location")), (StatusCode::SEE_OTHER, "/people"));
        } else {
            assert!(answer.status == StatusCode::OK && answer.is_page(), "{}", answer.body);
        }
    }
    assert_eq!(send(&demo, Request::get("/sign-out"), "").await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(fixture.counts().await, before);
}

async fn requests_from_elsewhere_are_refused<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let stranger = fixture_stranger(&app).await;
    let mut browser = Browser::signed_in(router(app.clone(), Options::demo()), &stranger).await;
    let before = fixture.counts().await;
    for path in ["/", "/people", "/nowhere", "/api/v1/groups/chess"] {
        for host in ["evil.example", "evil.example:8080", "localhost.evil.example", ""] {
            let answer = browser.send(Request::get(path).header(header::HOST, host), Body::empty()).await;
            assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "{host}{path}");
        }
    }
    for path in ["/groups/chess/join", "/api/v1/groups/chess/join", "/people"] {
        for origin in ["http://evil.example", "https://localhost:8080", "http://localhost:8081", "null", ""] {
            let request = Request::post(path).header(header::ORIGIN, origin);
            assert_eq!(browser.send(request, Body::empty()).await.status, StatusCode::FORBIDDEN, "{origin} {path}");
        }
        assert_eq!(browser.send(Request::post(path), Body::empty()).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    // In production, any host; with the cookie, only from there; with the header, from anywhere.
    let production = router(app, Options::production(keys()));
    let host = |request: Builder| request.header(header::HOST, "campus.example");
    let cookie = format!("campus_session={}", token(&stranger));
    for path in ["/groups/chess/join", "/api/v1/groups/chess/join"] {
        for origin in ["https://evil.example", "https://campus.example:8443", "null", ""] {
            let request = host(Request::post(path)).header(header::COOKIE, &cookie).header(header::ORIGIN, origin);
            assert_eq!(send(&production, request, "").await.status, StatusCode::FORBIDDEN, "{origin}");
        }
        let silent = host(Request::post(path)).header(header::COOKIE, &cookie);
        assert_eq!(send(&production, silent, "").await.status, StatusCode::FORBIDDEN);
    }
    assert_eq!(fixture.counts().await, before);
    let page = host(Request::get("/")).header(header::COOKIE, &cookie);
    assert_eq!(send(&production, page, "").await.status, StatusCode::OK);
    for origin in ["http://campus.example", "https://campus.example"] {
        let join = host(Request::post("/api/v1/groups/chess/join")).header(header::COOKIE, &cookie);
        let answer = send(&production, join.header(header::ORIGIN, origin), "").await;
        assert_eq!(answer.status, StatusCode::OK, "{origin}");
    }
    let program = host(bearer(Request::post("/api/v1/groups/chess/leave"), &token(&stranger)));
    assert_eq!(send(&production, program, "").await.status, StatusCode::OK);
}

async fn bad_input_is_a_problem_and_writes_nothing<F: Fixture>() {
    let (fixture, app, router) = production::<F>().await;
    let (_, member) = a_member(&app).await;
    let token = token(member.as_str());
    let before = fixture.counts().await;
    let huge = json!({"title": "a", "body": "x".repeat(300_000)}).to_string();
    let long = json!({"title": "a", "body": "x".repeat(20_001)}).to_string();
    let posts = "/api/v1/groups/chess/posts";
    let bodies: [(&str, Vec<u8>, u16); 14] = [
        (posts, vec![], 400),
        (posts, b"{".to_vec(), 400),
        (posts, b"[]".to_vec(), 400),
        (posts, br#"{"title": "a"}"#.to_vec(), 400),
        (posts, br#"{"title": 1, "body": "b"}"#.to_vec(), 400),
        (posts, br#"{"title": null, "body": ["b"]}"#.to_vec(), 400),
        (posts, b"{\"title\": \"\xff\", \"body\": \"b\"}".to_vec(), 400),
        (posts, br#"{"title": "a\u0000b", "body": "b"}"#.to_vec(), 422),
        (posts, br#"{"title": "\ud800", "body": "b"}"#.to_vec(), 400),
        (posts, long.into_bytes(), 422),
        (posts, huge.into_bytes(), 413),
        ("/api/v1/groups/none/posts", br#"{"title": "a", "body": "b"}"#.to_vec(), 404),
        ("/api/v1/groups/%FF/posts", br#"{"title": "a", "body": "b"}"#.to_vec(), 400),
        ("/api/v1/groups/%00/posts", br#"{"title": "a", "body": "b"}"#.to_vec(), 404),
    ];
    for (path, body, status) in bodies {
        let what = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let answer = send(&router, json_post(path, &token), body).await;
        assert_eq!(answer.status, status, "{path} {what}: {}", answer.body);
        assert!(answer.is_problem(), "{path} {what}: {}", answer.body);
    }
    let untyped = bearer(Request::post(posts), &token);
    assert!(send(&router, untyped, r#"{"title": "a", "body": "b"}"#).await.is_problem(), "no content type");
    for (path, status) in [
        ("/api/v1/groups/%ff", 400),
        ("/api/v1/groups/%c0%80", 400),
        ("/api/v1/groups/none", 404),
        ("/api/v1/posts/none", 404),
        ("/api/v1/groups/chess/posts?limit=%ff", 400),
        ("/api/v1/groups/chess/posts?limit=0", 422),
        ("/api/v1/groups/chess/posts?limit=101", 422),
        ("/api/v1/groups/chess/posts?limit=many", 400),
        ("/api/v1/groups/chess/posts?limit=-1", 400),
        ("/api/v1/nowhere", 404),
        ("/api/", 404),
        ("/api", 404),
        ("/api/v2/groups/chess", 404),
    ] {
        let answer = send(&router, bearer(Request::get(path), &token), "").await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert!(answer.is_problem(), "{path}: {}", answer.body);
    }
    for path in ["/groups/%ff", "/search?q=%ff", "/groups/chess?before=%ff", "/%ff", "/nowhere"] {
        let answer = send(&router, bearer(Request::get(path), &token), "").await;
        assert!(answer.status.is_client_error() && answer.is_page(), "{path}: {} {}", answer.status, answer.body);
    }
    for form in ["title=%ff&body=b", "title=a&body=%c3%28", "title=a&%fe=1&body=b"] {
        let request = bearer(Request::post("/groups/chess/posts"), &token)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let answer = send(&router, request, form).await;
        assert!(answer.status == StatusCode::BAD_REQUEST && answer.is_page(), "{form}: {}", answer.body);
    }
    let oversized = bearer(Request::post("/groups/chess/posts"), &token)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let answer = send(&router, oversized, format!("title=a&body={}", "x".repeat(300_000))).await;
    assert!(answer.status == StatusCode::PAYLOAD_TOO_LARGE && answer.is_page(), "{}", answer.body);

    let delete = send(&router, bearer(Request::delete("/api/v1/groups/chess/posts"), &token), "").await;
    assert!(delete.status == StatusCode::METHOD_NOT_ALLOWED && delete.is_problem(), "{}", delete.body);
    let mut allowed: Vec<_> = delete.header("allow").split(',').collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
    let page = send(&router, bearer(Request::put("/groups/chess"), &token), "").await;
    assert!(page.status == StatusCode::METHOD_NOT_ALLOWED && page.is_page() && page.header("allow").contains("GET"));
    assert_eq!(fixture.counts().await, before);

    let generous = r#"{"title": "a", "body": "b", "colour": "red"}"#;
    let answer = send(&router, json_post(posts, &token), generous).await;
    assert_eq!(answer.status, StatusCode::OK, "an unknown field is ignored: {}", answer.body);
}

async fn whoever_asks_too_much_is_told_when_to_come_back<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let (_, member) = a_member(&app).await;
    let router = router(app.clone(), Options::production(keys()).rates(Some(few(2))));
    let group = "/api/v1/groups/chess";
    let before = fixture.counts().await;
    let read = |user: String| send(&router, bearer(Request::get(group), &token(&user)), "");
    let write = |user: String| send(&router, json_post("/api/v1/groups/none/join", &token(&user)), "");
    for _ in 0..2 {
        assert_eq!(read(member.to_string()).await.status, StatusCode::OK);
    }
    let refused = read(member.to_string()).await;
    assert!(refused.status == StatusCode::TOO_MANY_REQUESTS && refused.is_problem(), "{}", refused.body);
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((3000..=3600).contains(&seconds), "{seconds}");
    for _ in 0..2 {
        assert_eq!(write(member.to_string()).await.status, StatusCode::NOT_FOUND, "writes are counted apart");
    }
    assert_eq!(write(member.to_string()).await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(read("amara-okafor".into()).await.status, StatusCode::OK, "somebody else has not asked yet");

    // Nobody in particular is counted by the address.
    let from = |address: &str, path: &str| {
        let address: std::net::SocketAddr = address.parse().unwrap();
        send(&router, Request::get(path).extension(ConnectInfo(address)), "")
    };
    for _ in 0..2 {
        assert_eq!(from("192.0.2.1:4000", group).await.status, StatusCode::UNAUTHORIZED);
    }
    let page = from("192.0.2.1:4001", "/").await;
    assert!(page.status == StatusCode::TOO_MANY_REQUESTS && page.is_page() && !page.header("retry-after").is_empty());
    assert_eq!(from("192.0.2.2:4000", group).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(fixture.counts().await, before);

    let unlimited = campus::http::router(app, Options::production(keys()).rates(None));
    for _ in 0..10 {
        let request = bearer(Request::get(group), &token(member.as_str()));
        assert_eq!(send(&unlimited, request, "").await.status, StatusCode::OK);
    }
}

async fn what_takes_too_long_is_given_up_and_leaves_nothing<F: Fixture>() {
    let (fixture, app) = F::demo().await;
    let stranger = UserId::new(fixture_stranger(&app).await).unwrap();
    let chess = Scope::group("chess").unwrap();
    let router = router(app.clone(), Options::production(keys()).time_limit(Duration::from_millis(300)));
    let before = fixture.counts().await;
    // The same person joins elsewhere, and takes their time.
    let mut other = app.begin().await.unwrap();
    app.membership.join(&mut other, &stranger, &chess, &By::user(&stranger)).await.unwrap();
    let answer = send(&router, json_post("/api/v1/groups/chess/join", &token(stranger.as_str())), "").await;
    assert!(answer.status == StatusCode::GATEWAY_TIMEOUT && answer.is_problem(), "{}", answer.body);
    drop(other);
    // Whoever writes next comes after what was given up.
    let mut tx = app.begin().await.unwrap();
    assert!(app.membership.get(&mut tx, &stranger, &chess).await.unwrap().is_none());
    app.membership.join(&mut tx, &stranger, &chess, &By::user(&stranger)).await.unwrap();
    drop(tx);
    assert_eq!(fixture.counts().await, before);
}

async fn a_request_keeps_its_names_in_the_answer_the_records_and_the_jobs<F: Fixture>() {
    let (fixture, app, router) = production::<F>().await;
    let (_, member) = a_member(&app).await;
    let post = |request: Builder| {
        let request =
            request
                .header(header::CONTENT_TYPE, "application/json")
                .extension(ConnectInfo::<std::net::SocketAddr>("192.0.2.7:4000".parse().unwrap()));
        send(&router, bearer(request, &token(member.as_str())), r#"{"title": "a", "body": "b"}"#)
    };
    let newest = async || {
        let mut tx = app.read().await.unwrap();
        let page = app.audit.list(&mut tx, &audit::Filter::new(), &audit::PageRequest::first(1)).await.unwrap();
        page.items[0].record.request.clone()
    };
    let path = "/api/v1/groups/chess/posts";
    let (trace, step) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let named =
        Request::post(path).header("x-request-id", "abc-1").header("traceparent", format!("00-{trace}-{step}-01"));
    let answer = post(named).await;
    assert_eq!((answer.status, answer.header("x-request-id")), (StatusCode::OK, "abc-1"), "{}", answer.body);
    let told = answer.header("traceparent");
    assert!(told.starts_with(&format!("00-{trace}-")) && told.ends_with("-01") && !told.contains(step), "{told}");
    let request = newest().await;
    assert_eq!(request.request_id.unwrap().as_str(), "abc-1");
    assert_eq!(request.trace_id.unwrap().as_str(), trace);
    let client = request.client.unwrap();
    assert_eq!((client.ip, client.trust), (Personal::Kept("192.0.2.7".parse().unwrap()), Trust::Direct));
    let jobs = fixture.texts("SELECT trace FROM jobs_queue_job WHERE trace IS NOT NULL").await;
    assert_eq!(jobs, [told], "the job carries the trace on");

    for (id, traceparent) in
        [("", ""), ("a b", "00-zz"), (&*"x".repeat(65), "00-00000000000000000000000000000000-00f067aa0ba902b7-01")]
    {
        let answer = post(Request::post(path).header("x-request-id", id).header("traceparent", traceparent)).await;
        let (own, request) = (answer.header("x-request-id"), newest().await);
        assert!(own != id && uuid::Uuid::parse_str(own).is_ok(), "{own}");
        assert_eq!(request.request_id.unwrap().as_str(), own);
        assert_eq!(request.trace_id.unwrap().as_str(), &answer.header("traceparent")[3..35]);
    }
    for path in ["/nowhere", "/style.css", "/api/v1/nowhere"] {
        let answer = send(&router, Request::get(path), "").await;
        assert!(!answer.header("x-request-id").is_empty() && !answer.header("traceparent").is_empty(), "{path}");
        for name in
            ["content-security-policy", "permissions-policy", "cross-origin-opener-policy", "x-content-type-options"]
        {
            assert!(!answer.header(name).is_empty(), "{path} {name}");
        }
        assert_eq!(answer.header("strict-transport-security"), "", "only when told");
    }
    let told = campus::http::router(app.clone(), Options::production(keys()).https_only());
    assert!(!send(&told, Request::get("/"), "").await.header("strict-transport-security").is_empty());
}

async fn the_api_describes_every_route_and_no_other<F: Fixture>() {
    let (_fixture, _app, router) = production::<F>().await;
    let answer = send(&router, Request::get("/api/v1/openapi.json"), "").await;
    assert_eq!(answer.status, StatusCode::OK);
    let document: Value = serde_json::from_str(&answer.body).unwrap();
    let mut described = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            described.push(format!("{} {path}", method.to_uppercase()));
            assert!(operation["summary"].as_str().is_some_and(|summary| !summary.is_empty()), "{method} {path}");
            assert_eq!(operation["tags"].as_array().map(Vec::len), Some(1), "{method} {path}");
            let named = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
            for name in named {
                let parameters = operation["parameters"].as_array().unwrap();
                assert!(
                    parameters.iter().any(|one| one["name"] == name && one["in"] == "path"),
                    "{name} of {method} {path}"
                );
            }
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')), "{method} {path}");
            for (status, response) in responses {
                assert!(
                    response["description"].as_str().is_some_and(|text| !text.is_empty()),
                    "{status} of {method} {path}"
                );
                let problem = &response["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(
                    *problem == "#/components/schemas/ProblemBody",
                    status.as_str() >= "400",
                    "{status} of {path}"
                );
            }
        }
    }
    let is_api =
        |(method, path): (Method, &'static str)| path.starts_with("/api/v1/").then(|| format!("{method} {path}"));
    let mut served: Vec<_> = routes::<F::Backend>().into_iter().filter_map(is_api).collect();
    served.sort_unstable();
    described.sort_unstable();
    assert_eq!(described, served);
    assert_eq!(document["security"], json!([{"token": []}]));
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    every_reference_resolves(&document, &document);

    let page = send(&router, Request::get("/api/docs"), "").await;
    assert!(page.status == StatusCode::OK && page.is_page(), "{}", page.body);
    for path in document["paths"].as_object().unwrap().keys() {
        assert!(page.body.contains(path.as_str()), "{path}");
    }
    for schema in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(page.body.contains(&format!("id=\"schema-{schema}\"")), "{schema}");
    }
    assert!(!page.body.contains("<script"));
}

fn every_reference_resolves(document: &Value, part: &Value) {
    if let Some(reference) = part.get("$ref").and_then(Value::as_str) {
        let pointer = reference.strip_prefix('#').unwrap_or(reference);
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    match part {
        Value::Object(members) => members.values().for_each(|member| every_reference_resolves(document, member)),
        Value::Array(items) => items.iter().for_each(|item| every_reference_resolves(document, item)),
        _ => {}
    }
}

#[test]
fn keys_that_would_let_anybody_in_are_refused() {
    let none = || Keys::new(Expected::default());
    assert!(none().secret(b"short").is_err());
    assert!(none().secret(&[b'x'; 32]).unwrap().secret(&[b'y'; 32]).is_err(), "two keys without a kid");
    let with = |jwk: Value| none().jwks(&json!({"keys": [jwk]}).to_string());
    assert!(with(rsa_jwk("rsa")).is_ok() && with(ed_jwk("ed")).is_ok());
    let changed = |mut jwk: Value, field: &str, value: &str| {
        jwk[field] = value.into();
        with(jwk)
    };
    assert!(changed(rsa_jwk("rsa"), "use", "enc").is_err(), "a key for something else");
    assert!(changed(rsa_jwk("rsa"), "alg", "RS512").is_err(), "another algorithm");
    assert!(changed(rsa_jwk("rsa"), "n", &RSA_MODULUS[..170]).is_err(), "a short modulus");
    assert!(changed(rsa_jwk("rsa"), "n", "***").is_err(), "no number");
    assert!(
        with(json!({"kty": "oct", "kid": "oct", "k": BASE64.encode([0; 32])})).is_err(),
        "a secret is no public key"
    );
    for nonsense in ["", "{}", "[]", r#"{"keys": []}"#] {
        assert!(none().jwks(nonsense).is_err(), "{nonsense}");
    }
    let twice = json!({"keys": [rsa_jwk("one"), ed_jwk("one")]}).to_string();
    assert!(none().jwks(&twice).is_err(), "two keys share a kid");
    let others = json!({"keys": [rsa_jwk("one"), {"kty": "oct", "k": "AAAA"}]}).to_string();
    assert!(none().jwks(&others).is_ok(), "what cannot be used is left out");
}

#[tokio::test]
async fn a_server_where_nobody_could_sign_in_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.into_os_string().into_string().unwrap()
    };
    // A database that is not the demo's, and has something in it.
    let fixture = OnSqlite::empty().await;
    App::<Sqlite>::open(fixture.backend()).await.unwrap();
    fixture.execute("INSERT INTO campus_person (id, name, headline) VALUES ('ada', 'Ada', '')").await;
    let ours = fixture.url().to_owned();
    let fresh = format!("sqlite:{}", directory.path().join("fresh.sqlite").display());
    let short = file("short", "0123456789");
    let empty = file("empty.json", r#"{"keys": []}"#);
    for (database, arguments, why) in [
        (&fresh, vec!["--listen", "0.0.0.0:0"], "--jwks-file"),
        (&ours, vec!["--listen", "127.0.0.1:0"], "--jwks-file"),
        (&fresh, vec!["--listen", "127.0.0.1:0", "--jwt-secret-file", &short], "32 bytes"),
        (&fresh, vec!["--listen", "127.0.0.1:0", "--jwks-file", &empty], "no key"),
        (&fresh, vec!["--listen", "127.0.0.1:0", "--jwks-file", "/nowhere/keys.json"], "cannot read"),
        (&fresh, vec!["--listen", "127.0.0.1:0", "--jwt-issuer", ISSUER], "--jwt-secret-file"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_campus"));
        let output = command.args(["--database", database]).args(&arguments).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains(why), "{arguments:?}: {told}");
        assert!(output.stdout.is_empty(), "{arguments:?} says that it serves");
    }
}

macro_rules! on_both {
    ($($test:ident)*) => {
        mod on_sqlite {
            $( #[tokio::test] async fn $test() { super::$test::<super::OnSqlite>().await } )*
        }
        mod on_postgres {
            $( #[tokio::test] async fn $test() { super::$test::<super::OnPostgres>().await } )*
        }
    };
}

on_both! {
    a_token_of_any_key_signs_in
    tokens_that_prove_nothing_get_401_and_write_nothing
    the_demo_signs_in_with_a_token_of_its_own_secret
    whoever_signs_out_is_forgotten
    requests_from_elsewhere_are_refused
    bad_input_is_a_problem_and_writes_nothing
    whoever_asks_too_much_is_told_when_to_come_back
    what_takes_too_long_is_given_up_and_leaves_nothing
    a_request_keeps_its_names_in_the_answer_the_records_and_the_jobs
    the_api_describes_every_route_and_no_other
}

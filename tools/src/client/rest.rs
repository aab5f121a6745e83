//! REST, as a person with a terminal would speak it: a method, a path, perhaps a body, and the whole
//! answer back whatever its status. What counts as an error is the caller's to say (`Answer::expect`).

use std::ops::Index;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, multipart};
use serde_json::{Value, json};

/// What everybody's password is, in seeds and tests. It satisfies the contract's rules (5.2).
pub const PASSWORD: &str = "Password123";

/// A gateway's (or the balancer's) REST door. Cloning is cheap and shares the connections.
#[derive(Clone, Debug)]
pub struct Rest {
    http: Client,
    base: String,
    headers: HeaderMap,
}

/// Everything that came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    /// The body as JSON; `Null` when it is empty or something else.
    pub body: Value,
    /// The body as text, for error messages and for what is not JSON.
    pub text: String,
    /// The body as it came, for images.
    pub bytes: Vec<u8>,
}

/// Somebody who has just registered or logged in.
#[derive(Clone, Debug)]
pub struct LoggedIn {
    pub id: String,
    pub username: String,
    pub access_token: String,
    pub refresh_token: String,
    /// The same door, with this person's access token.
    pub rest: Rest,
}

impl Rest {
    /// `base` is scheme, host and port: `http://127.0.0.1:3000`. Paths are given in full (`/api/…`).
    ///
    /// Proxies from the environment are ignored: what we talk to is on this machine.
    pub fn new(base: impl Into<String>) -> Self {
        Self::built(base, Client::builder())
    }

    /// The same over TLS, believing this certificate and no other.
    pub fn trusting(base: impl Into<String>, certificate: &str) -> Result<Self> {
        let certificate = reqwest::Certificate::from_pem(certificate.as_bytes())?;
        Ok(Self::built(base, Client::builder().tls_certs_only([certificate])))
    }

    fn built(base: impl Into<String>, http: reqwest::ClientBuilder) -> Self {
        let http = http
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(120))
            .build()
            .expect("a client without proxies or files to read has nothing to fail on");
        let base = base.into().trim_end_matches('/').to_owned();
        Self {
            http,
            base,
            headers: HeaderMap::new(),
        }
    }

    /// The same door, speaking as the owner of `token`.
    pub fn with_token(&self, token: &str) -> Self {
        self.with_header("authorization", &format!("Bearer {token}"))
    }

    /// The same door, speaking as nobody.
    pub fn without_token(&self) -> Self {
        let mut rest = self.clone();
        rest.headers.remove(AUTHORIZATION);
        rest
    }

    /// The same door with one more header on every request. An existing one of that name is replaced.
    pub fn with_header(&self, name: &str, value: &str) -> Self {
        let mut rest = self.clone();
        let name: HeaderName = name.parse().expect("a header's name");
        rest.headers
            .insert(name, HeaderValue::from_str(value).expect("a header's value"));
        rest
    }

    /// The same door on fresh connections, each used once: what a newcomer would see. For tests that
    /// care which replica answers.
    pub fn without_keep_alive(&self) -> Self {
        let mut rest = Self::new(self.base.clone());
        rest.headers = self.headers.clone();
        rest.headers
            .insert(reqwest::header::CONNECTION, HeaderValue::from_static("close"));
        rest
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.ask(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: impl Into<Option<Value>>) -> Result<Answer> {
        self.ask(Method::POST, path, body.into()).await
    }

    pub async fn put(&self, path: &str, body: impl Into<Option<Value>>) -> Result<Answer> {
        self.ask(Method::PUT, path, body.into()).await
    }

    pub async fn patch(&self, path: &str, body: impl Into<Option<Value>>) -> Result<Answer> {
        self.ask(Method::PATCH, path, body.into()).await
    }

    pub async fn delete(&self, path: &str) -> Result<Answer> {
        self.ask(Method::DELETE, path, None).await
    }

    pub async fn head(&self, path: &str) -> Result<Answer> {
        self.ask(Method::HEAD, path, None).await
    }

    /// Any method, with a JSON body or none (and then no `Content-Type` either).
    pub async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Answer> {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(&body);
        }
        answer(request).await
    }

    /// Any bytes under any name: for the bodies that a well-meaning client would never send.
    pub async fn raw(
        &self,
        method: Method,
        path: &str,
        content_type: Option<&str>,
        body: impl Into<Vec<u8>>,
    ) -> Result<Answer> {
        let mut request = self.request(method, path).body(body.into());
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        answer(request).await
    }

    /// A form with one file in it, as a browser sends it.
    pub async fn upload(
        &self,
        method: Method,
        path: &str,
        field: &str,
        file_name: &str,
        mime: &str,
        bytes: impl Into<Vec<u8>>,
    ) -> Result<Answer> {
        let part = multipart::Part::bytes(bytes.into())
            .file_name(file_name.to_owned())
            .mime_str(mime)?;
        let form = multipart::Form::new().part(field.to_owned(), part);
        answer(self.request(method, path).multipart(form)).await
    }

    /// The request itself, for whatever the methods above do not offer; finish with [`answer`].
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.base))
            .headers(self.headers.clone())
    }

    /// Register with [`PASSWORD`].
    pub async fn register(&self, username: &str) -> Result<LoggedIn> {
        let body = json!({"username": username, "password": PASSWORD, "passwordConfirm": PASSWORD});
        let answer = self.post("/api/auth/register", body).await?.expect(201)?;
        self.logged_in(&answer)
    }

    pub async fn log_in(&self, username: &str, password: &str) -> Result<LoggedIn> {
        let body = json!({"username": username, "password": password});
        let answer = self.post("/api/auth/login", body).await?.expect(200)?;
        self.logged_in(&answer)
    }

    /// Read the answer of register, login or refresh.
    pub fn logged_in(&self, answer: &Answer) -> Result<LoggedIn> {
        let access_token = answer.str("accessToken")?.to_owned();
        Ok(LoggedIn {
            id: answer.at("/user/id")?.to_owned(),
            username: answer.at("/user/username")?.to_owned(),
            refresh_token: answer.str("refreshToken")?.to_owned(),
            rest: self.with_token(&access_token),
            access_token,
        })
    }
}

/// Send a request and take the whole answer.
pub async fn answer(request: RequestBuilder) -> Result<Answer> {
    let (client, request) = request.build_split();
    let request = request.context("this is not a request that can be sent")?;
    let what = format!("{} {}", request.method(), request.url());
    let response = client
        .execute(request)
        .await
        .with_context(|| format!("{what} got no answer"))?;
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let bytes = response
        .bytes()
        .await
        .with_context(|| format!("the answer to {what} broke off"))?
        .to_vec();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    Ok(Answer {
        status,
        headers,
        body,
        text,
        bytes,
    })
}

impl Answer {
    /// The answer itself when it has this status, otherwise an error that shows what came instead.
    pub fn expect(self, status: u16) -> Result<Self> {
        if self.status != status {
            bail!("expected {status}, got {}: {}", self.status, self.excerpt());
        }
        Ok(self)
    }

    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// A header as text; `None` when it is absent or not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A string at the top of the body.
    pub fn str(&self, key: &str) -> Result<&str> {
        self.at(&format!("/{key}"))
    }

    /// A string anywhere in the body, by JSON pointer: `/user/id`, `/data/0/content`.
    pub fn at(&self, pointer: &str) -> Result<&str> {
        self.body
            .pointer(pointer)
            .and_then(Value::as_str)
            .with_context(|| format!("no string at {pointer} in {}", self.excerpt()))
    }

    /// How long the gateway asks us to wait, on a 429 or 503.
    pub fn retry_after(&self) -> Option<Duration> {
        self.header("retry-after")?.parse().ok().map(Duration::from_secs)
    }

    fn excerpt(&self) -> &str {
        let end = self
            .text
            .char_indices()
            .nth(600)
            .map_or(self.text.len(), |(at, _)| at);
        &self.text[..end]
    }
}

/// `answer["user"]["id"]`; a missing key is `Null`, as with [`Value`].
impl Index<&str> for Answer {
    type Output = Value;

    fn index(&self, key: &str) -> &Value {
        &self.body[key]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer_with(body: Value) -> Answer {
        let text = body.to_string();
        Answer {
            status: 200,
            headers: HeaderMap::new(),
            bytes: text.clone().into_bytes(),
            text,
            body,
        }
    }

    #[test]
    fn a_missing_string_is_reported_with_the_body() {
        let answer = answer_with(json!({"user": {"id": "7"}}));
        assert_eq!(answer.at("/user/id").expect("there"), "7");
        let error = answer.at("/user/name").expect_err("absent").to_string();
        assert!(
            error.contains("/user/name") && error.contains(r#""id":"7""#),
            "{error}"
        );
    }

    #[test]
    fn an_unexpected_status_shows_the_body() {
        let error = answer_with(json!({"error": "no"}))
            .expect(201)
            .expect_err("200")
            .to_string();
        assert_eq!(error, r#"expected 201, got 200: {"error":"no"}"#);
    }
}

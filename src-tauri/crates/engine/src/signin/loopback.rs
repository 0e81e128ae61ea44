//! Receives the browser's redirect on this machine (RFC 8252, 7.3): a port of 127.0.0.1 that is open for the length
//! of one sign-in and understands one request.
//!
//! Whoever runs on this machine, and any page in its browser, can reach the port. So: a request counts only with our
//! own address in `Host` (else a foreign name was pointed at us), with the right path and `state`; a stray one gets
//! a page and changes nothing; connections are few, short and small; nothing from a request is ever shown.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::http::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY};
use ::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use commission::secret::Token;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::signin::SignInError;
use crate::signin::callback::{self, Callback};

/// The path of the redirect address.
const PATH: &str = "/callback";
/// Browsers open a few connections ahead; more are somebody else's.
const MOST_VISITORS: usize = 32;
/// A browser sends its request at once.
const HEADER_TIME: Duration = Duration::from_secs(5);
/// No visit takes longer.
const VISIT_TIME: Duration = Duration::from_secs(10);
/// Codes and states are short; issuers that put a whole token into a code stay below this, in bytes.
const MOST_BYTES: usize = 32 << 10;

/// The open port.
pub(super) struct Loopback {
    listener: TcpListener,
    host: String,
}

/// What an answer must carry.
struct Expected {
    host: String,
    state: Token,
    issuer: String,
}

impl Loopback {
    /// Opens a port that the system chooses.
    ///
    /// # Errors
    /// [`SignInError::Listener`].
    pub(super) async fn open() -> Result<Self, SignInError> {
        let fault = |error: std::io::Error| SignInError::Listener(error.to_string());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(fault)?;
        let host = listener.local_addr().map_err(fault)?.to_string();
        Ok(Self { listener, host })
    }

    /// Where the browser is to come back to.
    pub(super) fn redirect(&self) -> String {
        format!("http://{}{PATH}", self.host)
    }

    /// Waits for the answer, however long it takes, and closes the port.
    pub(super) async fn answer(self, state: Token, issuer: String) -> Callback {
        let expected = Arc::new(Expected {
            host: self.host,
            state,
            issuer,
        });
        let (found, mut answers) = mpsc::channel(1);
        let mut visitors = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                Some(answer) = answers.recv() => return answer,
                Some(_) = visitors.join_next() => {}
                visitor = self.listener.accept(), if visitors.len() < MOST_VISITORS => match visitor {
                    Ok((stream, _)) => {
                        visitors.spawn(visit(stream, expected.clone(), found.clone()));
                    }
                    // Out of descriptors, most likely: trying at once again would only burn time.
                    Err(error) => {
                        tracing::warn!(%error, "the browser's connection was not accepted");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
    }
}

/// Serves one request. The answer is handed on after the page is out, so that the browser is not left without one.
async fn visit(stream: TcpStream, expected: Arc<Expected>, found: mpsc::Sender<Callback>) {
    let answer = Mutex::new(None);
    let service = service_fn(|request: Request<Incoming>| {
        let response = match judge(request.method(), request.uri(), request.headers(), &expected) {
            Ok(callback) => {
                let page = page_for(&callback);
                answer
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_or_insert(callback);
                page
            }
            Err(status) => page(status, NOT_OURS),
        };
        async { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .keep_alive(false)
        .max_buf_size(MOST_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(VISIT_TIME, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a visit to the loopback port broke off"),
        Err(_) => tracing::debug!("a visit to the loopback port took too long"),
    }
    let answer = answer.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(answer) = answer {
        // Only a second answer finds the channel closed, and the first one counts.
        let _ = found.send(answer).await;
    }
}

fn judge(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    expected: &Expected,
) -> Result<Callback, StatusCode> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    if host != Some(&expected.host) {
        return Err(StatusCode::MISDIRECTED_REQUEST);
    }
    if uri.path() != PATH {
        return Err(StatusCode::NOT_FOUND);
    }
    if method != Method::GET {
        return Err(StatusCode::METHOD_NOT_ALLOWED);
    }
    callback::read(uri.query().unwrap_or_default(), &expected.state, &expected.issuer).map_err(|stray| {
        tracing::warn!(
            ?stray,
            "a request to the loopback port was no answer to this sign-in"
        );
        StatusCode::BAD_REQUEST
    })
}

fn page_for(callback: &Callback) -> Response<String> {
    match callback {
        Callback::Code(_) => page(StatusCode::OK, DONE),
        Callback::Refused { .. } => page(StatusCode::OK, REFUSED),
    }
}

/// Title and sentence.
type Words = (&'static str, &'static str);
const DONE: Words = (
    "You can close this page",
    "Fieldkey has what it needs and goes on by itself. Go back to it.",
);
const REFUSED: Words = (
    "You are not signed in",
    "The sign-in was refused. Fieldkey says why and what to do. You can close this page.",
);
const NOT_OURS: Words = (
    "This page is not for you",
    "It does not belong to the sign-in that Fieldkey is waiting for. Close it, and start again from Fieldkey if nothing \
     happens there.",
);

fn page(status: StatusCode, (title, text): Words) -> Response<String> {
    let body = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>{title}</title>\
         <style>body{{font:1.25rem/1.5 system-ui,sans-serif;max-width:32rem;margin:15vh auto;padding:0 1rem;\
         color:#1a1a1a;background:#fff}}@media(prefers-color-scheme:dark){{body{{color:#eee;background:#1a1a1a}}}}\
         </style></head><body><main><h1>{title}</h1><p>{text}</p></main></body></html>"
    );
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (ALLOW, "GET"),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn send(host: &str, bytes: &str) -> String {
        let mut stream = TcpStream::connect(host).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        answer
    }

    async fn waiting() -> (String, tokio::task::JoinHandle<Callback>) {
        let loopback = Loopback::open().await.unwrap();
        let host = loopback.host.clone();
        let answer = loopback.answer(Token::new("s1"), "https://id.example".into());
        (host, tokio::spawn(answer))
    }

    #[tokio::test]
    async fn strays_get_a_page_and_the_real_answer_still_counts() {
        let (host, answer) = waiting().await;
        let get = |path: &str, named: &str| format!("GET {path} HTTP/1.1\r\nHost: {named}\r\n\r\n");
        let table = [
            (get("/favicon.ico", &host), "404"),
            (get("/callback?code=x&state=s2", &host), "400"),
            (get("/callback?code=x&state=s1", "evil.example"), "421"),
            (get("/callback?code=x&state=s1", ""), "421"),
            (
                "GET /callback?code=x&state=s1 HTTP/1.0\r\n\r\n".to_string(),
                "421",
            ),
            (
                format!(
                    "POST /callback?code=x&state=s1 HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n"
                ),
                "405",
            ),
            (
                get(&format!("/callback?code={}", "x".repeat(64 << 10)), &host),
                "4",
            ),
            ("\u{16}\u{3}\u{1} hello\r\n\r\n".into(), "400"),
        ];
        for (request, status) in table {
            let answer = send(&host, &request).await;
            let shown: String = request.chars().take(60).collect();
            // A flood may be cut off before its answer is read.
            if request.len() < 1000 {
                assert!(
                    answer.starts_with(&format!("HTTP/1.1 {status}"))
                        || answer.starts_with(&format!("HTTP/1.0 {status}")),
                    "{shown}: {answer}"
                );
            }
            assert!(!answer.contains("You can close this page</h1>"), "{shown}");
        }
        let page = send(&host, &get("/callback?code=real&state=s1", &host)).await;
        assert!(page.starts_with("HTTP/1.1 200"), "{page}");
        assert!(
            page.contains("no-store") && page.contains("default-src 'none'"),
            "{page}"
        );
        assert_eq!(answer.await.unwrap(), Callback::Code(Token::new("real")));
        assert!(
            TcpStream::connect(&host).await.is_err(),
            "the port is closed afterwards"
        );
    }

    #[tokio::test]
    async fn a_connection_that_says_nothing_does_not_keep_the_answer_out() {
        let (host, answer) = waiting().await;
        let mut silent = Vec::new();
        for _ in 0..4 {
            silent.push(TcpStream::connect(&host).await.unwrap());
        }
        let request = format!("GET /callback?error=access_denied&state=s1 HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let page = send(&host, &request).await;
        assert!(page.contains("You are not signed in"), "{page}");
        assert!(matches!(answer.await.unwrap(), Callback::Refused { code, .. } if code == "access_denied"));
    }
}

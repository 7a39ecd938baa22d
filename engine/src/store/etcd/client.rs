//! Requests to one etcd, over its JSON gateway: every request has a deadline, and every failure names its cause.

use std::error::Error as _;
use std::io;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use nix::sys::socket::{setsockopt, sockopt};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::endpoint::Endpoint;
use super::failure::{Failure, REQUEST_TIMEOUT};
use super::message;
use super::tls;
use super::token::{self, Token};
use super::user::User;

/// How long the other end may leave unacknowledged what was sent, in milliseconds.
const TCP_USER_TIMEOUT_MS: u32 = 2000;

/// How large an answer may be, in bytes: what is larger is no etcd's.
const MAX_ANSWER_BYTES: usize = 256 << 20;

/// A connection to one etcd, made when it is needed.
#[derive(Debug)]
pub(super) struct Client {
    endpoint: Endpoint,
    /// The user of its requests, if etcd is to know.
    user: Option<User>,
    token: Token,
    connection: Option<Connection>,
}

/// What takes requests, and what carries them.
#[derive(Debug)]
struct Connection {
    requests: SendRequest<Full<Bytes>>,
    carrier: JoinHandle<Result<(), hyper::Error>>,
}

impl Connection {
    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure> {
        let error = match self.requests.send_request(request).await {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        // A request that was not even sent: the carrier knows why.
        if error.is_canceled()
            && let Ok(Err(error)) = (&mut self.carrier).await
        {
            return Err(failure_of(&error));
        }
        Err(failure_of(&error))
    }
}

/// Distinguishes a connection that broke from one that brought nonsense.
fn failure_of(error: &hyper::Error) -> Failure {
    let cause = error.source();
    // A request that waited is cancelled because of something else.
    if let Some(cause) = cause.and_then(|cause| cause.downcast_ref::<hyper::Error>()) {
        return failure_of(cause);
    }
    let broken = cause.is_some_and(|cause| cause.is::<io::Error>());
    if broken || error.is_canceled() || error.is_closed() || error.is_incomplete_message() {
        Failure::broken(error)
    } else {
        Failure::Protocol(error.to_string())
    }
}

impl Client {
    /// For the etcd at `endpoint`. Connects to nothing yet.
    pub(super) fn new(endpoint: Endpoint) -> Self {
        let user = endpoint.user.clone().or_else(User::from_environment);
        Self {
            endpoint,
            user,
            token: Token::default(),
            connection: None,
        }
    }

    /// Another connection to the same etcd, with the same token.
    pub(super) fn another(&self) -> Self {
        Self {
            endpoint: self.endpoint.clone(),
            user: self.user.clone(),
            token: self.token.clone(),
            connection: None,
        }
    }

    /// Asks, and waits for the whole answer.
    pub(super) async fn call(&mut self, path: &str, question: &Value) -> Result<Value, Failure> {
        let answer = self.ask(path, question).await?;
        whole(answer).await
    }

    /// Asks, and leaves the answer to the caller, piece by piece; this connection is its own from now on.
    pub(super) async fn open(mut self, path: &str, question: &Value) -> Result<Lines, Failure> {
        let answer = self.ask(path, question).await?;
        Ok(Lines {
            answer,
            text: Vec::new(),
            searched: 0,
            _connection: self.connection,
        })
    }

    /// Asks; with a new token where the last one is void.
    async fn ask(&mut self, path: &str, question: &Value) -> Result<Incoming, Failure> {
        let Some(user) = self.user.clone() else {
            let answer = self.send(path, question, None).await;
            return answer.map_err(token::without_user);
        };
        let token = match self.token.get() {
            Some(token) => Some(token),
            None => self.authenticate(&user).await?,
        };
        match self.send(path, question, token.clone()).await {
            Err(Failure::Refused(what)) if token::is_void(&what) => {
                self.token.forget(token.as_ref());
                let token = self.authenticate(&user).await?;
                self.send(path, question, token).await
            }
            answer => answer,
        }
    }

    /// Asks for a token; none where etcd does not ask who its clients are.
    async fn authenticate(&mut self, user: &User) -> Result<Option<HeaderValue>, Failure> {
        let question = user.question();
        let answer = match self.send("/v3/auth/authenticate", &question, None).await {
            Ok(answer) => whole(answer).await?,
            Err(Failure::Refused(what)) if token::is_not_needed(&what) => return Ok(None),
            Err(Failure::Refused(what)) => {
                return Err(Failure::Refused(format!(
                    "the user `{}`: {what}",
                    user.name
                )));
            }
            Err(failure) => return Err(failure),
        };
        match answer["token"]
            .as_str()
            .and_then(|text| self.token.set(text))
        {
            Some(token) => Ok(Some(token)),
            None => Err(Failure::Protocol("it gives no token".into())),
        }
    }

    /// Gets a new token for the next request; returns whether there was one.
    pub(super) fn forget_token(&self) -> bool {
        let token = self.token.get();
        self.token.forget(token.as_ref());
        token.is_some()
    }

    async fn send(
        &mut self,
        path: &str,
        question: &Value,
        token: Option<HeaderValue>,
    ) -> Result<Incoming, Failure> {
        let mut request = Request::post(path)
            .header(HOST, self.endpoint.authority())
            .header(CONTENT_TYPE, "application/json")
            // A member that has lost its cluster must not answer from what it remembers.
            .header("Grpc-Metadata-hasleader", "true")
            .body(Full::new(Bytes::from(question.to_string())))
            .map_err(Failure::broken)?;
        if let Some(token) = token {
            request.headers_mut().insert(AUTHORIZATION, token);
        }
        // What fails with this connection gets a new one next time.
        let mut connection = match self.connection.take() {
            Some(connection) if connection.requests.is_ready() => connection,
            _ => within(connect(&self.endpoint)).await?,
        };
        let response = within(connection.send(request)).await?;
        self.connection = Some(connection);
        match response.status() {
            StatusCode::OK => Ok(response.into_body()),
            _ => Err(refusal(response).await),
        }
    }
}

/// The whole of an answer.
async fn whole(mut answer: Incoming) -> Result<Value, Failure> {
    let mut text = Vec::new();
    while let Some(piece) = next(&mut answer).await? {
        text.extend_from_slice(&piece);
        if text.len() > MAX_ANSWER_BYTES {
            return Err(Failure::Protocol("its answer never ends".into()));
        }
    }
    serde_json::from_slice(&text)
        .map_err(|error| Failure::Protocol(format!("it is not JSON: {error}")))
}

/// An answer that comes a line at a time, for as long as the connection lasts.
#[derive(Debug)]
pub(super) struct Lines {
    answer: Incoming,
    text: Vec<u8>,
    /// How much of the text holds no end of a line.
    searched: usize,
    /// Without it hyper would end the connection.
    _connection: Option<Connection>,
}

impl Lines {
    /// The next line. Cancel-safe; waits for as long as it takes.
    pub(super) async fn next(&mut self) -> Result<Value, Failure> {
        loop {
            let fresh = &self.text[self.searched..];
            if let Some(at) = fresh.iter().position(|byte| *byte == b'\n') {
                let rest = self.text.split_off(self.searched + at + 1);
                let line = std::mem::replace(&mut self.text, rest);
                self.searched = 0;
                return serde_json::from_slice(&line)
                    .map_err(|error| Failure::Protocol(format!("it is not JSON: {error}")));
            }
            self.searched = self.text.len();
            if self.searched > MAX_ANSWER_BYTES {
                return Err(Failure::Protocol("its answer never ends".into()));
            }
            match self.answer.frame().await {
                None => return Err(Failure::broken("it has ended the connection")),
                Some(Err(error)) => return Err(Failure::broken(error)),
                Some(Ok(frame)) => {
                    if let Ok(piece) = frame.into_data() {
                        self.text.extend_from_slice(&piece);
                    }
                }
            }
        }
    }

    /// The next line, which must not take long.
    pub(super) async fn next_soon(&mut self) -> Result<Value, Failure> {
        within(self.next()).await
    }
}

async fn next(answer: &mut Incoming) -> Result<Option<Bytes>, Failure> {
    loop {
        let frame = within(async { answer.frame().await.transpose().map_err(Failure::broken) });
        match frame.await? {
            None => return Ok(None),
            Some(frame) => {
                if let Ok(piece) = frame.into_data() {
                    return Ok(Some(piece));
                }
            }
        }
    }
}

/// What a status other than 200 means.
async fn refusal(response: Response<Incoming>) -> Failure {
    let status = response.status();
    let mut answer = response.into_body();
    let text = match next(&mut answer).await {
        Ok(piece) => piece.unwrap_or_default(),
        Err(failure) => return failure,
    };
    // The gateway's errors are JSON; anything else is not the gateway.
    match serde_json::from_slice::<Value>(&text) {
        Ok(error) if error.get("code").is_some() => Failure::Refused(message::complaint(&error)),
        _ if status == StatusCode::NOT_FOUND => Failure::Protocol(format!(
            "it answers {status}, as an etcd does whose --enable-grpc-gateway is off"
        )),
        _ => Failure::Protocol(format!("it answers {status}")),
    }
}

async fn within<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    timeout(REQUEST_TIMEOUT, work)
        .await
        .unwrap_or(Err(Failure::Timeout))
}

async fn connect(endpoint: &Endpoint) -> Result<Connection, Failure> {
    let address = (endpoint.host.as_str(), endpoint.port);
    let stream = TcpStream::connect(address)
        .await
        .map_err(Failure::Unreachable)?;
    // A watch only listens: without these it would never learn that the other end is gone.
    let _ = stream.set_nodelay(true);
    let _ = setsockopt(&stream, sockopt::KeepAlive, &true);
    let _ = setsockopt(&stream, sockopt::TcpKeepIdle, &3);
    let _ = setsockopt(&stream, sockopt::TcpKeepInterval, &1);
    let _ = setsockopt(&stream, sockopt::TcpKeepCount, &3);
    // And a connection from an address that this node has no more is as good as gone.
    let _ = setsockopt(&stream, sockopt::TcpUserTimeout, &TCP_USER_TIMEOUT_MS);
    if endpoint.secure {
        let name = tls::name_of(&endpoint.host)?;
        let secured = tls::connector()?
            .connect(name, stream)
            .await
            .map_err(Failure::Unreachable)?;
        connect_http(secured).await
    } else {
        connect_http(stream).await
    }
}

async fn connect_http(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<Connection, Failure> {
    let (requests, carrier) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(Failure::broken)?;
    let carrier = tokio::spawn(carrier);
    Ok(Connection { requests, carrier })
}

//! Answers `/metrics`, `/healthz` and `/readyz` over HTTP, on a thread of its own: neither
//! a slow reader nor a tunnel that does not answer delays the agent. Idle and slow clients
//! have deadlines, and give way to new ones: Kubernetes restarts an agent whose `/healthz`
//! has to wait.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, oneshot, watch};
use tokio::time::{sleep, timeout};
use wireguard_control::Backend;
use wiremesh_plan::intent::text::message;

use crate::agent::health::{Health, Shared, Standing};
use crate::agent::metrics::{Reading, page};
use crate::host::device::{self, State};

/// The open connections.
mod places;

use places::{Place, Places};

/// How long a client may take to send its request.
const REQUEST_PATIENCE: Duration = Duration::from_secs(2);

/// How large a request may be, in bytes (the least that hyper allows).
const REQUEST_LIMIT: usize = 8192;

/// How long a connection may take from beginning to end.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// How old a device's counters may be (Felix: `defaultCollectionRatelimit`).
const COUNTER_MAX_AGE: Duration = Duration::from_secs(1);

/// How long a device may take to return its counters.
const DEVICE_PATIENCE: Duration = Duration::from_secs(2);

/// How long an agent may work without a pause before it is taken for stuck.
const STUCK_AFTER: Duration = Duration::from_secs(60);

/// How long it may do so and still be in sync.
const BUSY_AFTER: Duration = Duration::from_secs(1);

/// When an address that is taken is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// What serves a record to whoever asks.
#[derive(Debug)]
pub(crate) struct Exporter {
    health: Shared,
    wanted: watch::Sender<Option<SocketAddr>>,
    started: bool,
}

impl Exporter {
    /// Serves nothing yet.
    pub(crate) fn new(health: Shared) -> Self {
        Self {
            health,
            wanted: watch::Sender::new(None),
            started: false,
        }
    }

    /// Serves at that address from now on, or nowhere.
    pub(crate) fn listen(&mut self, at: Option<SocketAddr>) {
        let changed = self
            .wanted
            .send_if_modified(|wanted| std::mem::replace(wanted, at) != at);
        if !changed || self.started {
            return;
        }
        self.started = true;
        let wanted = self.wanted.subscribe();
        let health = self.health.clone();
        let spawned = thread::Builder::new()
            .name("metrics".into())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                match runtime {
                    Ok(runtime) => runtime.block_on(serve(wanted, health)),
                    Err(error) => tracing::error!("metrics are not served: {error}"),
                }
            });
        if let Err(error) = spawned {
            tracing::error!("metrics are not served: {error}");
        }
    }
}

/// Serves where it is wanted, until nobody can want it any more.
async fn serve(mut wanted: watch::Receiver<Option<SocketAddr>>, health: Shared) {
    let server = Arc::new(Server {
        health,
        devices: Mutex::default(),
        places: Places::default(),
    });
    let mut reported = None;
    loop {
        let at = *wanted.borrow_and_update();
        let listening = async {
            let Some(at) = at else {
                return std::future::pending().await;
            };
            match bind(at).await {
                Ok(listener) => {
                    tracing::info!("metrics are served at http://{at}/metrics");
                    server.accept(listener).await;
                }
                Err(error) => {
                    let what = format!("metrics are not served: cannot listen at {at}: {error}");
                    if reported.as_ref() != Some(&what) {
                        tracing::warn!("{what}");
                    }
                    reported = Some(what);
                    sleep(RETRY).await;
                }
            }
        };
        tokio::select! {
            () = listening => {}
            changed = wanted.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

/// All addresses means those of IPv4 only, where there is no IPv6.
async fn bind(at: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(at).await {
        Err(_) if at.ip() == Ipv6Addr::UNSPECIFIED => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, at.port())).await
        }
        bound => bound,
    }
}

struct Server {
    health: Shared,
    devices: Mutex<Devices>,
    places: Places,
}

impl Server {
    async fn accept(self: &Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => self.places.start(|place| {
                    let server = self.clone();
                    let task = tokio::spawn(async move {
                        // A client that is slower than that has lost interest.
                        let _ = timeout(CONNECTION_TIMEOUT, server.converse(stream, &place)).await;
                    });
                    task.abort_handle()
                }),
                // Out of descriptors, for example: they come back.
                Err(error) => {
                    tracing::debug!("cannot accept a connection: {error}");
                    sleep(COUNTER_MAX_AGE).await;
                }
            }
        }
    }

    async fn converse(&self, stream: TcpStream, place: &Place) {
        let service = service_fn(|request: Request<Incoming>| async move {
            place.has_asked();
            Ok::<_, Infallible>(self.answer(request.method(), request.uri().path()).await)
        });
        let conversation = http1::Builder::new()
            .keep_alive(false)
            .timer(TokioTimer::new())
            .header_read_timeout(REQUEST_PATIENCE)
            .max_buf_size(REQUEST_LIMIT)
            .serve_connection(TokioIo::new(stream), service);
        // A reader that has gone away is no reason to complain.
        let _ = conversation.await;
    }

    async fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let known = ["/metrics", "/healthz", "/readyz"];
        let mut response = match path {
            path if !known.contains(&path) => text(
                StatusCode::NOT_FOUND,
                "there are /metrics, /healthz and /readyz\n",
            ),
            _ if method != Method::GET => {
                let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered\n");
                let only = hyper::header::HeaderValue::from_static("GET");
                response.headers_mut().insert(ALLOW, only);
                response
            }
            "/healthz" => verdict(self.health.with(|health| liveness(health, Instant::now()))),
            "/readyz" => verdict(self.health.with(|health| {
                // What does not turn follows nothing, whatever it said last.
                let now = Instant::now();
                liveness(health, now).and_then(|()| readiness(health, now))
            })),
            _ => text(StatusCode::OK, self.metrics().await),
        };
        let plain = "text/plain; version=0.0.4; charset=utf-8";
        let plain = hyper::header::HeaderValue::from_static(plain);
        response.headers_mut().insert(CONTENT_TYPE, plain);
        response
    }

    async fn metrics(&self) -> String {
        let health = self.health.with(|health| health.clone());
        let meshes = health.meshes.iter();
        let named = meshes.filter_map(|(_, mesh)| mesh.device.clone()).collect();
        let ask = |name: &str, backend| device::read(name, backend).ok();
        let readings = self.devices.lock().await.read(named, ask).await;
        page(&health, &readings)
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
}

fn verdict(verdict: Result<(), String>) -> Response<Full<Bytes>> {
    match verdict {
        Ok(()) => text(StatusCode::OK, "ok\n"),
        Err(why) => text(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{}\n", message(&why)),
        ),
    }
}

/// Whether the agent goes on; one that only has trouble does.
fn liveness(health: &Health, now: Instant) -> Result<(), String> {
    if let Some(turned) = health.turned
        && now.saturating_duration_since(turned) > STUCK_AFTER
    {
        let seconds = now.saturating_duration_since(turned).as_secs();
        return Err(format!("the agent's loop has not turned for {seconds} s"));
    }
    match health.busy_since {
        Some(since) if now.duration_since(since) > STUCK_AFTER => Err(format!(
            "the agent has been at the same thing for {} s",
            now.duration_since(since).as_secs()
        )),
        _ => Ok(()),
    }
}

/// Whether the dataplane follows the store.
fn readiness(health: &Health, now: Instant) -> Result<(), String> {
    let busy = health.busy_since.map(|since| now.duration_since(since));
    match &health.standing {
        Standing::InSync => match busy.filter(|busy| *busy > BUSY_AFTER) {
            None => Ok(()),
            Some(busy) => Err(format!(
                "the agent has been at work for {} s",
                busy.as_secs()
            )),
        },
        Standing::Starting => Err("the agent is starting".into()),
        Standing::Struggling(why) => Err(why.clone()),
    }
}

/// The devices' counters, which are read when somebody asks.
#[derive(Debug, Default)]
struct Devices {
    last: Option<(Instant, Arc<Vec<Reading>>)>,
    /// What takes its time is not started a second time.
    underway: Option<oneshot::Receiver<Vec<Reading>>>,
}

impl Devices {
    /// The devices' counters, read one after another, or those that were read just now.
    async fn read(
        &mut self,
        named: Vec<(String, Backend)>,
        ask: impl Fn(&str, Backend) -> Option<State> + Send + 'static,
    ) -> Arc<Vec<Reading>> {
        if let Some((at, readings)) = &self.last
            && at.elapsed() < COUNTER_MAX_AGE
            && readings.len() == named.len()
        {
            return readings.clone();
        }
        let silent = named.iter().map(|(name, _)| (name.clone(), None)).collect();
        let underway = self.underway.get_or_insert_with(|| {
            let (sender, receiver) = oneshot::channel();
            let read = move || {
                let read = |(name, backend): (String, _)| {
                    let state = ask(&name, backend);
                    (name, state)
                };
                drop(sender.send(named.into_iter().map(read).collect()));
            };
            // Where no thread can be started the devices are silent.
            drop(thread::Builder::new().name("devices".into()).spawn(read));
            receiver
        });
        let readings = match timeout(DEVICE_PATIENCE, underway).await {
            Err(_) => return Arc::new(silent),
            Ok(done) => Arc::new(done.unwrap_or(silent)),
        };
        self.underway = None;
        self.last = Some((Instant::now(), readings.clone()));
        readings
    }
}

#[cfg(test)]
mod tests;

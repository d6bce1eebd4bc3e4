//! Requests: where the token goes, where redirects lead, when to try again.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use ureq::http::{Method, Request, Response, Uri};
use ureq::{Agent, Body, Proxy, SendBody};

use super::config::without_secrets;
use super::refusal::{Subject, refusal};
use super::{HubConfig, HubError, LimitConfig, RetryConfig, Token};

/// Redirects in a row, as browsers allow.
const MOST_REDIRECTS: usize = 10;
/// Bytes of an answer in JSON.
const MOST_JSON: u64 = 32 << 20;
/// Bytes read at a time.
const CHUNK: usize = 1 << 16;
/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(30);
/// Without a single byte, either way.
const SILENCE: Duration = Duration::from_mins(1);

/// Sends requests.
pub(super) struct Client {
    agent: Agent,
    endpoint: String,
    origin: Origin,
    token: Option<Token>,
    /// Whether there is a token that this endpoint does not get to see.
    withholds_token: bool,
    retry: RetryConfig,
    limits: LimitConfig,
    sleep: Box<dyn Fn(Duration) + Send + Sync>,
}

/// What a token may be sent to: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin(String, String, u16);

/// A request.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) headers: Vec<(&'a str, String)>,
    pub(super) payload: Payload<'a>,
    pub(super) redirects: Redirects,
    /// Statuses that are answers to the caller though they are failures to others.
    pub(super) expected: &'static [u16],
}

/// What a request carries; it can be sent again.
pub(super) enum Payload<'a> {
    None,
    Bytes(&'a [u8]),
    /// A stretch of a file; `sent` hears how many of its bytes are gone.
    File {
        path: &'a Path,
        offset: u64,
        len: u64,
        sent: &'a dyn Fn(u64),
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Redirects {
    Follow,
    /// One that states the digest of what it leads to is the answer.
    UntilDigest,
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    /// Who answered, at last.
    pub(super) uri: Uri,
    /// Whether that was the Hub, not its storage.
    pub(super) from_hub: bool,
    /// Time for an answer in JSON.
    limit: Duration,
    response: Response<Body>,
}

impl<'a> Ask<'a> {
    pub(super) fn new(method: Method, url: String) -> Self {
        let (headers, payload) = (Vec::new(), Payload::None);
        Self { method, url, headers, payload, redirects: Redirects::Follow, expected: &[] }
    }

    fn only_reads(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD)
    }

    /// A `POST` of something other than a form.
    pub(super) fn post(url: String, content_type: &str, bytes: &'a [u8]) -> Self {
        let headers = vec![("Content-Type", content_type.to_owned())];
        Self { headers, payload: Payload::Bytes(bytes), ..Self::new(Method::POST, url) }
    }
}

impl Client {
    pub(super) fn new(
        config: HubConfig,
        sleep: Box<dyn Fn(Duration) + Send + Sync>,
    ) -> Result<Self, HubError> {
        let endpoint = config.endpoint.trim_end_matches('/').to_owned();
        let uri = endpoint.parse::<Uri>().ok().filter(|uri| Origin::of(uri).is_some());
        let (origin, uri) = uri.and_then(|uri| Some((Origin::of(&uri)?, uri))).ok_or_else(|| {
            let shown = without_secrets(&endpoint);
            let problem = format!("`{shown}` is no address such as https://huggingface.co");
            HubError::BadSetting { name: "HF_ENDPOINT", problem }
        })?;
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            let problem = "a name and a password before the host are sent nowhere: leave them out".to_owned();
            return Err(HubError::BadSetting { name: "HF_ENDPOINT", problem });
        }
        let proxy = proxy(&config)?;
        let is_direct = proxy.as_ref().is_none_or(|proxy| proxy.is_no_proxy(&uri));
        let is_safe = origin.0 == "https" || config.token_over_http || is_direct && is_loopback(&origin.1);
        let withholds_token = config.token.is_some() && !is_safe;
        if withholds_token {
            tracing::warn!("the token is not shown to {endpoint}: whoever is on the way could read it");
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .accept_encoding("identity")
            .user_agent(concat!("cccm/", env!("CARGO_PKG_VERSION")))
            .proxy(proxy)
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(SILENCE))
            .timeout_per_write(Some(SILENCE))
            .build()
            .into();
        let token = config.token.filter(|_| is_safe);
        let (retry, limits) = (config.retry, config.limits);
        Ok(Self { agent, endpoint, origin, token, withholds_token, retry, limits, sleep })
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    pub(super) fn withholds_token(&self) -> bool {
        self.withholds_token
    }

    pub(super) fn limits(&self) -> LimitConfig {
        self.limits
    }

    /// Sends a request until it is answered, or until trying again is of no use.
    pub(super) fn send(&self, ask: &Ask<'_>, subject: &Subject<'_>) -> Result<Answer, HubError> {
        let mut failures = 0;
        loop {
            match self.try_once(ask, subject) {
                Ok(answer) => return Ok(answer),
                // Whether the Hub has done what it was asked to, nobody knows: only asking is safe to repeat.
                Err(error @ HubError::Unreachable { .. }) if !ask.only_reads() => return Err(error),
                Err(error) => {
                    failures += 1;
                    self.wait_or_give_up(error, failures)?;
                }
            }
        }
    }

    /// Sends a request once; an answer that refuses is an error.
    pub(super) fn try_once(&self, ask: &Ask<'_>, subject: &Subject<'_>) -> Result<Answer, HubError> {
        let answer = self.follow(ask)?;
        match answer.status {
            200..=299 => Ok(answer),
            300..=399 if ask.redirects == Redirects::UntilDigest => Ok(answer),
            status if ask.expected.contains(&status) => Ok(answer),
            _ => Err(refusal(&answer, subject, self)),
        }
    }

    /// Follows redirects, showing the token to the Hub only.
    fn follow(&self, ask: &Ask<'_>) -> Result<Answer, HubError> {
        let mut uri: Uri = ask.url.parse().map_err(|_| HubError::protocol(&ask.url, "it is no address"))?;
        for _ in 0..=MOST_REDIRECTS {
            let answer = self.request(ask, &uri)?;
            let Some(next) = answer.redirects_to(&ask.method)? else { return Ok(answer) };
            if ask.redirects == Redirects::UntilDigest && answer.header("X-Linked-Etag").is_some() {
                return Ok(answer);
            }
            if uri.scheme_str() == Some("https") && next.scheme_str() != Some("https") {
                return Err(HubError::protocol(&ask.url, "it redirects from https to http"));
            }
            uri = next;
        }
        Err(HubError::protocol(&ask.url, "it redirects without end"))
    }

    fn request(&self, ask: &Ask<'_>, uri: &Uri) -> Result<Answer, HubError> {
        let origin = Origin::of(uri)
            .ok_or_else(|| HubError::protocol(&uri.to_string(), "that is no address of the web"))?;
        let from_hub = origin == self.origin;
        let mut request = Request::builder().method(ask.method.clone()).uri(uri.clone());
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        if let (true, Some(token)) = (from_hub, &self.token) {
            request = request.header("Authorization", token.bearer());
        }
        let sent = match &ask.payload {
            Payload::None => self.run(request, SendBody::none()),
            Payload::Bytes(bytes) => {
                request = request.header("Content-Length", bytes.len());
                self.run(request, SendBody::from_reader(&mut &bytes[..]))
            }
            Payload::File { path, offset, len, sent } => {
                let mut file = File::open(path).map_err(HubError::io("read", *path))?;
                file.seek(SeekFrom::Start(*offset)).map_err(HubError::io("read", *path))?;
                request = request.header("Content-Length", *len);
                let mut stretch = Counted { inner: file.take(*len), count: 0, sent: *sent };
                self.run(request, SendBody::from_reader(&mut stretch))
            }
        };
        match sent {
            Ok(response) => {
                let (status, limit) = (response.status().as_u16(), self.limits.grace);
                Ok(Answer { status, uri: uri.clone(), from_hub, limit, response })
            }
            // Its text would have all of an address in it.
            Err(ureq::Error::BadUri(_)) => Err(HubError::protocol(&ask.url, "it leads to no address")),
            Err(error @ ureq::Error::Http(_)) => Err(HubError::protocol(&ask.url, error.to_string())),
            Err(source) => Err(HubError::Unreachable { host: host(uri), source }),
        }
    }

    fn run(
        &self,
        request: ureq::http::request::Builder,
        body: SendBody<'_>,
    ) -> Result<Response<Body>, ureq::Error> {
        self.agent.run(request.body(body)?)
    }

    /// Waits for the next try after so many failures, or gives the error back.
    pub(super) fn wait_or_give_up(&self, error: HubError, failures: u32) -> Result<(), HubError> {
        let wait = self.retry.wait(failures).max(error.retry_after().unwrap_or_default());
        if !error.is_passing() || failures >= self.retry.tries || wait > self.retry.longest_wait {
            return Err(error);
        }
        tracing::warn!("{error}; trying again in {} s", wait.as_secs());
        (self.sleep)(wait);
        Ok(())
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Origin {
    fn of(uri: &Uri) -> Option<Self> {
        let scheme = uri.scheme_str()?.to_lowercase();
        let port = match scheme.as_str() {
            "https" => 443,
            "http" => 80,
            _ => return None,
        };
        Some(Self(scheme, uri.host()?.to_lowercase(), uri.port_u16().unwrap_or(port)))
    }
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    pub(super) fn host(&self) -> String {
        host(&self.uri)
    }

    /// Content, as long as it wants to be.
    pub(super) fn into_reader(self) -> impl Read {
        self.response.into_body().into_reader()
    }

    pub(super) fn json<T: DeserializeOwned>(self) -> Result<T, HubError> {
        let (url, host, limit) = (self.uri.to_string(), self.host(), self.limit);
        let broken = |problem: String| HubError::protocol(&url, problem);
        let (mut body, start) = (Vec::new(), Instant::now());
        let mut reader = self.into_reader().take(MOST_JSON + 1);
        let mut chunk = vec![0; CHUNK];
        loop {
            match reader.read(&mut chunk).map_err(|error| broken(error.to_string()))? {
                0 => break,
                count => body.extend_from_slice(&chunk[..count]),
            }
            if start.elapsed() > limit {
                return Err(HubError::TooSlow { what: host, limit });
            }
        }
        if body.len() as u64 > MOST_JSON {
            return Err(broken(format!("it says more than {MOST_JSON} bytes")));
        }
        serde_json::from_slice(&body).map_err(|error| broken(error.to_string()))
    }

    /// Where a redirect leads; `POST` and `PUT` follow only those that keep them what they are.
    fn redirects_to(&self, method: &Method) -> Result<Option<Uri>, HubError> {
        let keeps_method = matches!(self.status, 307 | 308);
        let reads = matches!(*method, Method::GET | Method::HEAD);
        if !(keeps_method || reads && matches!(self.status, 301..=303)) {
            return Ok(None);
        }
        let broken = || HubError::protocol(&self.uri.to_string(), "it redirects to nowhere");
        let target = self.header("Location").ok_or_else(broken)?;
        let (scheme, authority) = (self.uri.scheme_str(), self.uri.authority());
        let absolute = match (scheme, authority) {
            (Some(scheme), _) if target.starts_with("//") => format!("{scheme}:{target}"),
            (Some(scheme), Some(authority)) if target.starts_with('/') => {
                format!("{scheme}://{authority}{target}")
            }
            _ => target.to_owned(),
        };
        absolute.parse().map(Some).map_err(|_| broken())
    }
}

/// Counts what is read.
struct Counted<'a, R> {
    inner: R,
    count: u64,
    sent: &'a dyn Fn(u64),
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count += count as u64;
        (self.sent)(self.count);
        Ok(count)
    }
}

/// The part of a URL behind the host: what is no letter, digit or `-._~/` as `%XX`.
pub(super) fn encode_path(path: &str) -> String {
    let encode = |byte: u8| match byte {
        b if b.is_ascii_alphanumeric() || b"-._~/".contains(&b) => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    path.bytes().map(encode).collect()
}

/// Whether a host is this machine, by its name or address.
fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.map_or(host == "localhost", |address| address.is_loopback())
}

fn host(uri: &Uri) -> String {
    uri.host().unwrap_or("the host").to_owned()
}

/// The configured proxy with its exceptions; the environment, ureq's default, is not asked.
fn proxy(config: &HubConfig) -> Result<Option<Proxy>, HubError> {
    let Some(address) = &config.proxy else { return Ok(None) };
    let broken = |_| HubError::BadSetting {
        name: "the proxy",
        problem: "an address such as http://user:password@host:8080 or socks5://host:1080 is wanted"
            .to_owned(),
    };
    let plain = Proxy::new(address).map_err(broken)?;
    let mut builder = Proxy::builder(plain.protocol()).host(plain.host()).port(plain.port());
    if let Some(name) = plain.username() {
        builder = builder.username(name);
    }
    if let Some(password) = plain.password() {
        builder = builder.password(password);
    }
    let builder = config.no_proxy.iter().fold(builder, |builder, host| builder.no_proxy(host));
    builder.build().map(Some).map_err(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(change: impl FnOnce(&mut HubConfig)) -> Result<Client, HubError> {
        let mut config = HubConfig::new(Path::new("unused"));
        change(&mut config);
        Client::new(config, Box::new(|_| ()))
    }

    #[test]
    fn a_bad_endpoint_or_proxy_is_refused_before_any_request() {
        for endpoint in ["", "huggingface.co", "ftp://x", "https://"] {
            let got = client(|config| config.endpoint = endpoint.into());
            assert!(matches!(got, Err(HubError::BadSetting { name: "HF_ENDPOINT", .. })), "{endpoint}");
        }
        let got = client(|config| config.proxy = Some("gopher://x".into()));
        assert!(matches!(got, Err(HubError::BadSetting { name: "the proxy", .. })));
        let fine = client(|config| {
            config.proxy = Some("http://me:p%40ss@proxy:3128".into());
            config.no_proxy = vec![".lan".into()];
        });
        let proxy = fine.unwrap().agent.config().proxy().cloned().unwrap();
        assert_eq!((proxy.username(), proxy.password(), proxy.port()), (Some("me"), Some("p@ss"), 3128));
        assert!(proxy.is_no_proxy(&"http://a.lan/".parse().unwrap()));
    }

    #[test]
    fn a_token_goes_over_https_or_stays_on_this_machine() {
        let shows = |endpoint: &str, change: fn(&mut HubConfig)| {
            let client = client(|config| {
                config.endpoint = endpoint.into();
                config.token = Token::new("hf_x").unwrap();
                change(config);
            });
            let client = client.unwrap();
            assert_ne!(client.has_token(), client.withholds_token());
            client.has_token()
        };
        for endpoint in ["https://hub", "http://127.0.0.1:80", "http://[::1]:9", "http://localhost"] {
            assert!(shows(endpoint, |_| ()), "{endpoint}");
        }
        for endpoint in
            ["http://hub", "http://192.168.0.1", "http://localhost.example", "http://127.0.0.1.example"]
        {
            assert!(!shows(endpoint, |_| ()), "{endpoint}");
            assert!(shows(endpoint, |config| config.token_over_http = true), "{endpoint}");
        }
        // By a proxy it leaves the machine.
        assert!(!shows("http://127.0.0.1", |config| config.proxy = Some("http://proxy:1".into())));
    }

    #[test]
    fn credentials_of_an_address_are_refused_and_not_repeated() {
        for endpoint in ["https://me:sesame@hub", "me:sesame@hub", "ftp://me:sesame@hub"] {
            let refused = client(|config| config.endpoint = endpoint.into()).unwrap_err();
            assert!(!format!("{refused} {refused:?}").contains("sesame"), "{refused:?}");
        }
    }

    #[test]
    fn the_environment_is_not_asked_for_a_proxy() {
        assert!(client(|_| ()).unwrap().agent.config().proxy().is_none());
    }

    #[test]
    fn paths_are_encoded() {
        assert_eq!(encode_path("a/b c+%ä.pth"), "a/b%20c%2B%25%C3%A4.pth");
    }
}

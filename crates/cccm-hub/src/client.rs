//! Requests: where the token goes, where redirects lead, when to try again.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use ureq::http::{Method, Request, Response, Uri};
use ureq::{Agent, Body, Proxy, SendBody};

use crate::address::{host, is_loopback, without_secrets};
use crate::answer::Answer;
use crate::refusal::{Subject, TokenUse, refusal};
use crate::{Error, HubConfig, LimitConfig, Result, RetryConfig, Token};

/// Redirects in a row, as browsers allow.
const MOST_REDIRECTS: usize = 10;
/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(30);
/// Without a single byte, either way.
const SILENCE: Duration = Duration::from_mins(1);

/// Sends requests.
pub(crate) struct Client {
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
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) headers: Vec<(&'a str, String)>,
    pub(crate) payload: Payload<'a>,
    pub(crate) redirects: Redirects,
    /// Error statuses that this caller handles itself.
    pub(crate) expected: &'static [u16],
}

/// What a request carries; it can be sent again.
pub(crate) enum Payload<'a> {
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
pub(crate) enum Redirects {
    Follow,
    /// A redirect that states the digest of its target is the answer.
    UntilDigest,
}

impl<'a> Ask<'a> {
    pub(crate) fn new(method: Method, url: String) -> Self {
        let (headers, payload) = (Vec::new(), Payload::None);
        Self { method, url, headers, payload, redirects: Redirects::Follow, expected: &[] }
    }

    fn only_reads(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD)
    }

    /// A `POST` of something other than a form.
    pub(crate) fn post(url: String, content_type: &str, bytes: &'a [u8]) -> Self {
        let headers = vec![("Content-Type", content_type.to_owned())];
        Self { headers, payload: Payload::Bytes(bytes), ..Self::new(Method::POST, url) }
    }
}

impl Client {
    pub(crate) fn new(config: HubConfig, sleep: Box<dyn Fn(Duration) + Send + Sync>) -> Result<Self> {
        let endpoint = config.endpoint.trim_end_matches('/').to_owned();
        let uri = endpoint.parse::<Uri>().ok().filter(|uri| Origin::of(uri).is_some());
        let (origin, uri) = uri.and_then(|uri| Some((Origin::of(&uri)?, uri))).ok_or_else(|| {
            let shown = without_secrets(&endpoint);
            let problem = format!("`{shown}` is no address such as https://huggingface.co");
            Error::BadSetting { name: "HF_ENDPOINT", problem }
        })?;
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            let problem = "an address with a user name and a password is refused: leave them out".to_owned();
            return Err(Error::BadSetting { name: "HF_ENDPOINT", problem });
        }
        let proxy = proxy(&config)?;
        let is_direct = proxy.as_ref().is_none_or(|proxy| proxy.is_no_proxy(&uri));
        let is_safe = origin.0 == "https" || config.token_over_http || is_direct && is_loopback(&origin.1);
        let withholds_token = config.token.is_some() && !is_safe;
        if withholds_token {
            tracing::warn!(
                "the token is not sent to {endpoint}: without https, others on the network could read it"
            );
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

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(crate) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    pub(crate) fn withholds_token(&self) -> bool {
        self.withholds_token
    }

    /// How the token was used, to explain a refusal.
    fn token_use(&self) -> TokenUse {
        match (self.has_token(), self.withholds_token) {
            (true, _) => TokenUse::Shown,
            (false, true) => TokenUse::Withheld,
            (false, false) => TokenUse::None,
        }
    }

    pub(crate) fn limits(&self) -> LimitConfig {
        self.limits
    }

    /// Sends a request until it is answered, or until trying again is of no use.
    pub(crate) fn send(&self, ask: &Ask<'_>, subject: &Subject<'_>) -> Result<Answer> {
        let mut failures = 0;
        loop {
            match self.try_once(ask, subject) {
                Ok(answer) => return Ok(answer),
                // The Hub may have done what it was asked to, so only requests that read are safe to repeat.
                Err(error @ Error::Unreachable { .. }) if !ask.only_reads() => return Err(error),
                Err(error) => {
                    failures += 1;
                    self.wait_or_give_up(error, failures)?;
                }
            }
        }
    }

    /// Sends a request once; an answer that refuses is an error.
    pub(crate) fn try_once(&self, ask: &Ask<'_>, subject: &Subject<'_>) -> Result<Answer> {
        let answer = self.follow(ask)?;
        match answer.status {
            200..=299 => Ok(answer),
            300..=399 if ask.redirects == Redirects::UntilDigest => Ok(answer),
            status if ask.expected.contains(&status) => Ok(answer),
            _ => Err(refusal(&answer, subject, &self.endpoint, self.token_use())),
        }
    }

    /// Follows redirects, showing the token to the Hub only.
    fn follow(&self, ask: &Ask<'_>) -> Result<Answer> {
        let mut uri: Uri = ask.url.parse().map_err(|_| Error::protocol(&ask.url, "it is no address"))?;
        for _ in 0..=MOST_REDIRECTS {
            let answer = self.request(ask, &uri)?;
            let Some(next) = answer.redirects_to(&ask.method)? else { return Ok(answer) };
            if ask.redirects == Redirects::UntilDigest && answer.header("X-Linked-Etag").is_some() {
                return Ok(answer);
            }
            if uri.scheme_str() == Some("https") && next.scheme_str() != Some("https") {
                return Err(Error::protocol(&ask.url, "it redirects from https to http"));
            }
            uri = next;
        }
        Err(Error::protocol(&ask.url, "it redirects without end"))
    }

    fn request(&self, ask: &Ask<'_>, uri: &Uri) -> Result<Answer> {
        let origin = Origin::of(uri)
            .ok_or_else(|| Error::protocol(&uri.to_string(), "that is no address of the web"))?;
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
                let mut file = File::open(path).map_err(Error::io("read", *path))?;
                file.seek(SeekFrom::Start(*offset)).map_err(Error::io("read", *path))?;
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
            // The text of this error would show the whole address, including secrets.
            Err(ureq::Error::BadUri(_)) => Err(Error::protocol(&ask.url, "it leads to no address")),
            Err(error @ ureq::Error::Http(_)) => Err(Error::protocol(&ask.url, error.to_string())),
            Err(source) => Err(Error::Unreachable { host: host(uri), source }),
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
    pub(crate) fn wait_or_give_up(&self, error: Error, failures: u32) -> Result<()> {
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

/// The configured proxy with its exceptions; the environment, ureq's default, is not asked.
fn proxy(config: &HubConfig) -> Result<Option<Proxy>> {
    let Some(address) = &config.proxy else { return Ok(None) };
    let broken = |_| Error::BadSetting {
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

    fn client(change: impl FnOnce(&mut HubConfig)) -> Result<Client> {
        let mut config = HubConfig::new(Path::new("unused"));
        change(&mut config);
        Client::new(config, Box::new(|_| ()))
    }

    #[test]
    fn a_bad_endpoint_or_proxy_is_refused_before_any_request() {
        for endpoint in ["", "huggingface.co", "ftp://x", "https://"] {
            let got = client(|config| config.endpoint = endpoint.into());
            assert!(matches!(got, Err(Error::BadSetting { name: "HF_ENDPOINT", .. })), "{endpoint}");
        }
        let got = client(|config| config.proxy = Some("gopher://x".into()));
        assert!(matches!(got, Err(Error::BadSetting { name: "the proxy", .. })));
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
}

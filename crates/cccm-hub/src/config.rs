//! Where the Hub is, and how to talk to it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::address::without_secrets;
use crate::{Error, Result};

/// The Hub itself.
const ENDPOINT: &str = "https://huggingface.co";

/// Where the Hub is, and how to talk to it. Printed by `{:?}`, it shows no secret.
#[derive(Clone)]
pub struct HubConfig {
    /// Address, `http` or `https`, without a slash at its end and without a user's name. Default `https://huggingface.co`.
    pub endpoint: String,
    /// The cache's directory, shared with Python's `huggingface_hub`.
    pub cache_dir: PathBuf,
    /// Token, sent to [`Self::endpoint`] and nowhere else.
    pub token: Option<Token>,
    /// Whether the token may go over plain `http`, where whoever is on the way can read it. Default no; a server on this
    /// machine gets it anyway.
    pub token_over_http: bool,
    /// Whether to answer from the cache alone.
    pub offline: bool,
    /// A proxy's address: `http`, `https`, `socks4`, `socks4a`, `socks5`, `socks5h`.
    pub proxy: Option<String>,
    /// Hosts that are reached without the proxy: names, `.suffix` or `*`.
    pub no_proxy: Vec<String>,
    /// When to try again.
    pub retry: RetryConfig,
    /// What is too much, whatever the Hub says.
    pub limits: LimitConfig,
}

/// What is too much, whatever the Hub says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitConfig {
    /// Bytes of the largest file that is downloaded. Default 64 GiB.
    pub most_bytes: u64,
    /// Time that an answer or a download may take, all tries together. Default 10 minutes.
    pub grace: Duration,
    /// The slowest speed allowed: a file may take one more second for each this many bytes, at least 1.
    /// Default 16 KiB: half a day for 700 MB.
    pub least_bytes_per_sec: u64,
}

impl Default for LimitConfig {
    fn default() -> Self {
        Self { most_bytes: 64 << 30, grace: Duration::from_mins(10), least_bytes_per_sec: 16 << 10 }
    }
}

impl LimitConfig {
    /// Time for so many bytes.
    pub(crate) fn time_for(&self, bytes: u64) -> Duration {
        self.grace.saturating_add(Duration::from_secs(bytes / self.least_bytes_per_sec.max(1)))
    }
}

/// When to try again after a passing failure: a limit (429), a server out of order (5xx), a transfer that broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryConfig {
    /// Tries in a row without progress, at least 1. The count starts again after progress. Default 5.
    pub tries: u32,
    /// Wait before the second try; it doubles with each. Default 1 s.
    pub first_wait: Duration,
    /// The longest wait. A server that asks for more is not waited for. Default 5 minutes, the period of the Hub's
    /// limits.
    pub longest_wait: Duration,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self { tries: 5, first_wait: Duration::from_secs(1), longest_wait: Duration::from_mins(5) }
    }
}

impl RetryConfig {
    /// Wait after so many failures, 1 or more.
    pub(crate) fn wait(&self, failures: u32) -> Duration {
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
        self.first_wait.saturating_mul(doubled).min(self.longest_wait)
    }
}

/// A secret: it prints as dots.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A token as typed; blanks around it do not count, and nothing but blanks is none.
    ///
    /// # Errors
    /// [`Error::BadSetting`] when it holds what no header may hold.
    pub fn new(text: &str) -> Result<Option<Self>> {
        let text = text.trim();
        if text.chars().any(|c| !c.is_ascii_graphic()) {
            let problem = "a token is letters, digits and signs without blanks".to_owned();
            return Err(Error::BadSetting { name: "the token", problem });
        }
        Ok((!text.is_empty()).then(|| Self(text.to_owned())))
    }

    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl std::str::FromStr for Token {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let problem = || "it is empty".to_owned();
        Self::new(text)?.ok_or_else(|| Error::BadSetting { name: "the token", problem: problem() })
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

impl HubConfig {
    /// The public Hub without a token or a proxy.
    pub fn new(cache_dir: &Path) -> Self {
        Self {
            endpoint: ENDPOINT.to_owned(),
            cache_dir: cache_dir.to_owned(),
            token: None,
            token_over_http: false,
            offline: false,
            proxy: None,
            no_proxy: Vec::new(),
            retry: RetryConfig::default(),
            limits: LimitConfig::default(),
        }
    }

    /// What environment variables say, under the names and with the precedence of Python's `huggingface_hub`:
    /// `HF_ENDPOINT`; `HF_HUB_CACHE`, else `HF_HOME`, else the user's cache; `HF_TOKEN`, else the file at
    /// `HF_TOKEN_PATH`, else `token` in `HF_HOME`; `HF_HUB_OFFLINE`; `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`.
    /// - `get`: gives the value of a variable, such as `std::env::var_os`
    ///
    /// # Errors
    /// [`Error::BadSetting`] for a token that is none, for a variable that is no text, or where no home directory is known;
    /// [`Error::Io`] for a token's file that is there but cannot be read.
    pub fn from_variables(get: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let path = |name: &str| get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let text = |name: &str| match get(name).map(OsString::into_string) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value).filter(|value| !value.is_empty())),
            Some(Err(_)) => {
                let problem = format!("{name} is no text in UTF-8");
                Err(Error::BadSetting { name: "a variable of the environment", problem })
            }
        };
        // Variables of proxies are known in both cases.
        let either = |name: &str| match text(name) {
            Ok(None) => text(&name.to_lowercase()),
            found => found,
        };

        let home = match path("HF_HOME") {
            Some(home) => home,
            None => user_cache(&path)?.join("huggingface"),
        };
        let mut config = Self::new(&path("HF_HUB_CACHE").unwrap_or_else(|| home.join("hub")));
        if let Some(endpoint) = text("HF_ENDPOINT")? {
            config.endpoint = endpoint;
        }
        config.token = match text("HF_TOKEN")? {
            Some(token) => Token::new(&token)?,
            None => token_in(&path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token")))?,
        };
        config.offline = text("HF_HUB_OFFLINE")?.is_some_and(|value| is_true(&value));
        let own_proxy = if config.endpoint.starts_with("http:") { "HTTP_PROXY" } else { "HTTPS_PROXY" };
        config.proxy = match either(own_proxy)? {
            None => either("ALL_PROXY")?,
            found => found,
        };
        config.no_proxy = either("NO_PROXY")?
            .map(|list| list.split(',').map(|host| host.trim().to_owned()).collect())
            .unwrap_or_default();
        Ok(config)
    }
}

impl std::fmt::Debug for HubConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HubConfig")
            .field("endpoint", &without_secrets(&self.endpoint))
            .field("cache_dir", &self.cache_dir)
            .field("token", &self.token)
            .field("offline", &self.offline)
            .field("proxy", &self.proxy.as_deref().map(without_secrets))
            .finish_non_exhaustive()
    }
}

/// The token in a file; none if there is no such file.
fn token_in(file: &Path) -> Result<Option<Token>> {
    match std::fs::read_to_string(file) {
        Ok(text) => Token::new(&text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", file)(error)),
    }
}

/// Python's `XDG_CACHE_HOME`, or `.cache` in the home directory.
fn user_cache(path: &impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf> {
    let in_home = |name| path(name).map(|home| home.join(".cache"));
    let found = path("XDG_CACHE_HOME").or_else(|| in_home("HOME")).or_else(|| in_home("USERPROFILE"));
    let problem = || "no home directory is known to keep downloads in: set HF_HOME".to_owned();
    found.ok_or_else(|| Error::BadSetting { name: "HF_HOME", problem: problem() })
}

/// The spellings that Python's `huggingface_hub` takes for yes.
fn is_true(value: &str) -> bool {
    ["1", "ON", "YES", "TRUE"].contains(&value.to_uppercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn from(variables: &[(&str, &str)]) -> HubConfig {
        let variables: BTreeMap<String, OsString> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        HubConfig::from_variables(|name| variables.get(name).cloned()).unwrap()
    }

    #[test]
    fn variables_mean_what_they_mean_to_python() {
        let config = from(&[("HOME", "/h")]);
        assert_eq!(config.cache_dir, Path::new("/h/.cache/huggingface/hub"));
        assert_eq!((config.endpoint.as_str(), config.offline, &config.token), (ENDPOINT, false, &None));
        let cache = |variables: &[(&str, &str)]| from(variables).cache_dir;
        assert_eq!(cache(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]), Path::new("/x/huggingface/hub"));
        assert_eq!(cache(&[("HF_HOME", "/f")]), Path::new("/f/hub"));
        assert_eq!(cache(&[("HF_HOME", "/f"), ("HF_HUB_CACHE", "/c")]), Path::new("/c"));
        for (value, offline) in [("1", true), ("true", true), ("0", false), ("", false)] {
            assert_eq!(from(&[("HF_HOME", "/f"), ("HF_HUB_OFFLINE", value)]).offline, offline, "{value}");
        }
        assert!(HubConfig::from_variables(|_| None).is_err());
    }

    #[test]
    fn the_proxy_is_the_one_for_the_endpoint() {
        let base = [("HF_HOME", "/f"), ("https_proxy", "http://s"), ("HTTP_PROXY", "http://p")];
        assert_eq!(from(&base).proxy.as_deref(), Some("http://s"));
        let plain = from(&[&base[..], &[("HF_ENDPOINT", "http://mirror")]].concat());
        assert_eq!(plain.proxy.as_deref(), Some("http://p"));
        let all = from(&[("HF_HOME", "/f"), ("ALL_PROXY", "socks5://a"), ("NO_PROXY", "localhost, .lan")]);
        assert_eq!(
            (all.proxy.as_deref(), all.no_proxy),
            (Some("socks5://a"), vec!["localhost".to_owned(), ".lan".to_owned()])
        );
    }

    #[test]
    fn the_token_comes_from_the_variable_then_from_its_file() -> anyhow::Result<()> {
        let home = tempfile::tempdir()?;
        std::fs::write(home.path().join("token"), "hf_file\n")?;
        let home = home.path().to_str().unwrap();
        let bearer = |variables: &[(&str, &str)]| from(variables).token.map(|token| token.bearer());
        assert_eq!(bearer(&[("HF_HOME", home)]).as_deref(), Some("Bearer hf_file"));
        let both = [("HF_HOME", home), ("HF_TOKEN", " hf_variable ")];
        assert_eq!(bearer(&both).as_deref(), Some("Bearer hf_variable"));
        assert!(!format!("{:?}", from(&both)).contains("hf_variable"), "a token was printed");
        assert!(Token::new("two words").is_err() && Token::new(" ")?.is_none());
        Ok(())
    }

    #[test]
    fn a_token_that_cannot_be_read_is_no_missing_token() -> anyhow::Result<()> {
        let home = tempfile::tempdir()?;
        // A directory as the token's file: it is there, and cannot be read.
        let get = |name: &str| ["HF_HOME", "HF_TOKEN_PATH"].contains(&name).then(|| home.path().into());
        assert!(matches!(HubConfig::from_variables(get), Err(Error::Io { .. })));
        #[cfg(unix)]
        {
            let no_text = || std::os::unix::ffi::OsStringExt::from_vec(vec![0xff]);
            let get = |name: &str| match name {
                "HF_HOME" => Some(home.path().into()),
                "HF_ENDPOINT" => Some(no_text()),
                _ => None,
            };
            assert!(matches!(HubConfig::from_variables(get), Err(Error::BadSetting { .. })));
        }
        Ok(())
    }

    #[test]
    fn secrets_of_addresses_are_not_printed() {
        for (url, shown) in [
            ("https://me:pass@host:1/a/b?sig=x", "https://…@host:1/a/b"),
            ("http://host/a@b", "http://host/a@b"),
            ("https://a@b@host", "https://…@host"),
            ("me:pass@host", "…@host"),
        ] {
            assert_eq!(without_secrets(url), shown);
        }
        let mut config = HubConfig::new(Path::new("c"));
        config.endpoint = "https://me:sesame@host".into();
        config.proxy = Some("http://me:sesame@proxy".into());
        assert!(!format!("{config:?}").contains("sesame"));
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let retry = RetryConfig { longest_wait: Duration::from_secs(5), ..RetryConfig::default() };
        let waits: Vec<u64> = (1..=5).map(|failures| retry.wait(failures).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 5, 5]);
        assert_eq!(retry.wait(u32::MAX).as_secs(), 5);
    }
}

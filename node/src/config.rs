//! The configuration: one TOML file, one struct.

use std::io::{ErrorKind, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

use crate::refusal::{Refusal, codes};

/// What a site is told from outside. Every field has a default; unknown fields are errors.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the page and the API listen. Default `127.0.0.1:8080`: no password crosses a network in clear.
    pub http: SocketAddr,
    /// Where other sites connect (UDP). Default `0.0.0.0:7440`.
    pub net: SocketAddr,
    /// Addresses under which other sites find this one, as `IP:port`. Empty: those of `net`, if it names one.
    pub advertise: Vec<String>,
    /// The organisation's own relays, as URLs. Empty: direct connections only.
    pub relays: Vec<String>,
    /// Host names under which browsers reach the page, besides loopback names.
    pub hosts: Vec<String>,
    /// Only for the demo and for tests; absent in real life.
    pub demo: Option<Demo>,
}

/// What the demo and the tests switch on.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Demo {
    /// The stage's origin, which may frame the page.
    pub stage: Option<String>,
}

/// Bytes of a configuration: a thousand times a long one.
const MAX_BYTES: u64 = 1024 * 1024;
/// Addresses that an invitation and the site list hold.
const MAX_ADDRESSES: usize = 64;
/// Bytes of each.
const MAX_ADDRESS_BYTES: usize = 256;

impl Default for Config {
    fn default() -> Self {
        Self {
            http: SocketAddr::from(([127, 0, 0, 1], 8080)),
            net: SocketAddr::from(([0, 0, 0, 0], 7440)),
            advertise: Vec::new(),
            relays: Vec::new(),
            hosts: Vec::new(),
            demo: None,
        }
    }
}

/// Why a configuration is not used. Nothing was started.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path} cannot be read")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is larger than a configuration ever is.
    #[error("{path} is larger than {MAX_BYTES} bytes")]
    Large {
        /// Which file.
        path: PathBuf,
    },
    /// It is no text.
    #[error("line {line} of {path} is not UTF-8")]
    Text {
        /// Which file.
        path: PathBuf,
        /// The first such line.
        line: usize,
    },
    /// It is not what it should be; the source names line and field.
    #[error("{path} is not a configuration")]
    Form {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: toml::de::Error,
    },
    /// A field has the right form and does not work.
    #[error("{field} = {value:?}: {why}")]
    Value {
        /// Which field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What it should be.
        why: &'static str,
    },
}

impl From<ConfigError> for Refusal {
    fn from(error: ConfigError) -> Self {
        let code = match &error {
            ConfigError::Read { .. } | ConfigError::Large { .. } => &codes::CONFIG_READ,
            ConfigError::Text { .. } | ConfigError::Form { .. } => &codes::CONFIG_FORM,
            ConfigError::Value { .. } => &codes::CONFIG_VALUE,
        };
        Self::with(code, format!("{:#}", anyhow::Error::from(error)))
    }
}

impl Config {
    /// Reads a file; the defaults if there is none at `path`.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let unread = |source| ConfigError::Read { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        match std::fs::File::open(path) {
            Ok(file) => file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unread)?,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(Self::default());
            }
            Err(source) => return Err(unread(source)),
        };
        if bytes.len() as u64 > MAX_BYTES {
            return Err(ConfigError::Large { path: path.to_owned() });
        }
        let text = std::str::from_utf8(&bytes).map_err(|error| {
            let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
            ConfigError::Text { path: path.to_owned(), line }
        })?;
        let config: Self =
            toml::from_str(text).map_err(|source| ConfigError::Form { path: path.to_owned(), source })?;
        config.check()?;
        Ok(config)
    }

    /// Errors: `Value`, for what would be found out only once it is needed.
    fn check(&self) -> Result<(), ConfigError> {
        let misfit = |field, value: &str, why| {
            let value = value.chars().take(80).collect();
            Err(ConfigError::Value { field, value, why })
        };
        if self.advertise.len() > MAX_ADDRESSES {
            return misfit("advertise", &format!("{} addresses", self.advertise.len()), "at most 64 are told");
        }
        for address in &self.advertise {
            let reachable = address.parse::<SocketAddr>().is_ok_and(|at| at.port() != 0 && !at.ip().is_unspecified());
            if !(reachable || is_url(address) && address.len() <= MAX_ADDRESS_BYTES) {
                return misfit("advertise", address, "must be an address that others can call, as IP:port");
            }
        }
        if let Some(relay) = self.relays.iter().find(|relay| !is_url(relay)) {
            return misfit("relays", relay, "must be a URL that begins with https:// or http://");
        }
        if let Some(host) = self.hosts.iter().find(|host| !is_host(host)) {
            return misfit("hosts", host, "must be a host name alone, without https:// and without a port");
        }
        // It goes into a header, where a mistake would switch the page's protection off.
        let stage = self.demo.as_ref().and_then(|demo| demo.stage.as_deref());
        match stage.filter(|stage| !is_origin(stage)) {
            Some(stage) => misfit("demo.stage", stage, "must be an origin like http://127.0.0.1:8100"),
            None => Ok(()),
        }
    }

    /// The addresses that peers are told.
    pub fn addresses(&self) -> Vec<String> {
        if self.advertise.is_empty() && !self.net.ip().is_unspecified() && self.net.port() != 0 {
            return vec![self.net.to_string()];
        }
        self.advertise.clone()
    }
}

/// `scheme://host`, and perhaps a port and a path.
fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        let authority = rest.split('/').next().unwrap_or_default();
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !authority.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let plain = rest.bytes().all(|byte| byte.is_ascii_graphic());
        is_host(host) && plain && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0))
    })
}

/// A URL without a path, and without what would end a directive of the page's policy.
fn is_origin(text: &str) -> bool {
    is_url(text) && text.matches('/').count() == 2 && !text.contains([';', ','])
}

/// A name, an IPv4 address, or an IPv6 address in brackets.
fn is_host(text: &str) -> bool {
    let name = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_');
    match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !text.is_empty() && text.chars().all(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_named_by_line() {
        let error = toml::from_str::<Config>("http = \"127.0.0.1:1\"\nhtpp = 3\n").unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("htpp"), "{error}");
        assert!(toml::from_str::<Config>("http = \"here\"").is_err(), "not an address");
    }

    #[test]
    fn urls_hosts_and_origins_are_what_they_say() {
        for good in ["https://relay.example", "http://127.0.0.1:3340/", "https://[2001:db8::1]:443/relay"] {
            assert!(is_url(good), "{good}");
        }
        for bad in
            ["relay.example", "ftp://a", "https://", "https://a:99999", "https://a:0", "https://a b", "https://:1"]
        {
            assert!(!is_url(bad), "{bad}");
        }
        for bad in ["https://desk.example", "desk.example:8080", "", "a b", "[::g]"] {
            assert!(!is_host(bad), "{bad}: browsers send a name alone");
        }
        assert!(is_host("desk.example") && is_host("[2001:db8::1]"));
        assert!(
            is_origin("http://127.0.0.1:8100") && !is_origin("http://a/; script-src *") && !is_origin("http://a;b")
        );
    }
}

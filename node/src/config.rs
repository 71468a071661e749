//! The configuration: one TOML file, one struct.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

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
    #[error("the configuration {path} cannot be read [CONFIG-READ]")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is not what it should be; the source names line and field.
    #[error("nothing was started; the configuration {path} has a mistake: correct the line named below [CONFIG-FORM]")]
    Form {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: toml::de::Error,
    },
}

impl Config {
    /// Reads a file; the defaults if there is none at `path`.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(ConfigError::Read { path: path.to_owned(), source }),
        };
        toml::from_str(&text).map_err(|source| ConfigError::Form { path: path.to_owned(), source })
    }

    /// The addresses that peers are told.
    pub fn addresses(&self) -> Vec<String> {
        if self.advertise.is_empty() && !self.net.ip().is_unspecified() && self.net.port() != 0 {
            return vec![self.net.to_string()];
        }
        self.advertise.clone()
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
}

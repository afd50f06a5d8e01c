//! Configuration files: TOML, unknown keys refused, errors with line and column.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// Why a configuration cannot be used. Text fits after "failed to ".
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    #[error("read {path}: {source}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("read {path}:{line}:{column}: {message}")]
    Malformed { path: PathBuf, line: usize, column: usize, message: Box<str> },
    #[error("find the address of {name} (HOST:PORT is wanted): {source}")]
    Unresolved { name: Box<str>, source: std::io::Error },
    #[error("use {key} = {value}: {wanted}")]
    BadValue { key: &'static str, value: Box<str>, wanted: &'static str },
    #[error("print the configuration: {0}")]
    Unprintable(#[from] toml::ser::Error),
}

/// Reads `path` into `T`, which must `#[serde(deny_unknown_fields)]`.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    toml::from_str(&text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        ConfigError::Malformed { path: path.to_owned(), line, column, message: error.message().trim().into() }
    })
}

/// The address of `HOST:PORT`; names are resolved once, at start.
pub async fn resolve(host_and_port: &str) -> Result<SocketAddr, ConfigError> {
    let unresolved = |source| ConfigError::Unresolved { name: host_and_port.into(), source };
    let mut found = tokio::net::lookup_host(host_and_port).await.map_err(unresolved)?;
    found.next().ok_or_else(|| unresolved(std::io::ErrorKind::NotFound.into()))
}

/// The configuration as it is in force, defaults filled in. Types that hold a secret do not serialize.
pub fn effective<T: Serialize>(config: &T) -> Result<String, ConfigError> {
    Ok(toml::to_string_pretty(config)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Example {
        #[serde(rename = "listen")]
        _listen: SocketAddr,
    }

    fn load_text(text: &str) -> Result<Example, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("example.toml");
        std::fs::write(&path, text).unwrap();
        load(&path)
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let error = load_text("# a comment\nlisten = \"127.0.0.1:5060\"\nlissten = 1\n").unwrap_err();
        let ConfigError::Malformed { line, column, message, .. } = error else { panic!("{error}") };
        assert_eq!((line, column), (3, 1));
        assert!(message.contains("lissten") && message.contains("listen"), "{message}");
    }

    #[test]
    fn a_bad_value_is_refused_with_its_line() {
        let ConfigError::Malformed { line, .. } = load_text("\nlisten = \"nowhere\"\n").unwrap_err() else {
            panic!("malformed")
        };
        assert_eq!(line, 2);
        assert!(matches!(load::<Example>(Path::new("/nonexistent")), Err(ConfigError::Unreadable { .. })));
    }
}

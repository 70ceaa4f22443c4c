//! Where records go: `sqlite:PATH` or `postgres://…`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

use super::StoreError;

/// The default file in `$STATE_DIRECTORY` or the working directory.
const DEFAULT_FILE: &str = "netmoth.db";

/// A store's address. Its `Display` and `Debug` never show a password.
#[derive(Clone)]
pub enum StoreUrl {
    /// A file that SQLite reads and writes.
    Sqlite(PathBuf),
    /// A PostgreSQL server.
    Postgres(Box<PgConnectOptions>),
}

/// systemd's `$STATE_DIRECTORY` (the first one where there are several), else the working directory, as an empty path.
pub fn state_folder() -> PathBuf {
    let folder = std::env::var("STATE_DIRECTORY").unwrap_or_default();
    PathBuf::from(folder.split(':').next().unwrap_or_default())
}

impl StoreUrl {
    /// `sqlite:` `netmoth.db` in systemd's `$STATE_DIRECTORY` (the first one where there are several), else in the working directory.
    pub fn default_sqlite() -> Self {
        Self::Sqlite(state_folder().join(DEFAULT_FILE))
    }

    /// The store of the configuration's `postgres` section; `host` is `HOST`, `HOST:PORT`, `[V6]:PORT` or a socket's folder.
    ///
    /// # Errors
    /// [`StoreError::Url`] where the port is none.
    pub fn from_postgres_parts(user: &str, password: &str, db: &str, host: &str) -> Result<Self, StoreError> {
        let wrong = |why: &str| StoreError::Url { url: format!("postgres.host: {host}"), why: why.to_owned() };
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !name.contains(':') || name.ends_with(']') => {
                (name, Some(port.parse::<u16>().map_err(|_| wrong("what follows the colon is no port"))?))
            }
            _ => (host, None),
        };
        let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        if name.is_empty() || user.is_empty() || db.is_empty() {
            return Err(wrong("user, db and host must not be empty"));
        }
        let mut options = PgConnectOptions::new_without_pgpass().host(name).username(user).database(db);
        if name.starts_with('/') {
            options = options.socket(name);
        }
        if !password.is_empty() {
            options = options.password(password);
        }
        options = options.port(port.unwrap_or(5432));
        Ok(Self::Postgres(Box::new(options)))
    }
}

impl FromStr for StoreUrl {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return Ok(if path.is_empty() { Self::default_sqlite() } else { Self::Sqlite(PathBuf::from(path)) });
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return match PgConnectOptions::from_str(text) {
                Ok(options) => Ok(Self::Postgres(Box::new(options))),
                Err(error) => Err(StoreError::Url { url: redacted(text), why: error.to_string() }),
            };
        }
        Err(StoreError::Url { url: redacted(text), why: "it begins with neither sqlite: nor postgres://".to_owned() })
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(options) => {
                let database = options.get_database().unwrap_or(options.get_username());
                let user = options.get_username();
                match options.get_socket() {
                    Some(socket) => write!(f, "postgres://{user}@{}/{database}", socket.display()),
                    None => write!(f, "postgres://{user}@{}:{}/{database}", options.get_host(), options.get_port()),
                }
            }
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The text without what may be a password: all between the scheme and the last `@`, but for the user's name.
fn redacted(text: &str) -> String {
    let Some((before, after)) = text.rsplit_once('@') else {
        // A password may also stand in the query part.
        return text.split('?').next().unwrap_or_default().to_owned();
    };
    let (scheme, credentials) = before.split_once("://").unwrap_or(("", before));
    let user = credentials.split(':').next().unwrap_or_default();
    let after = after.split('?').next().unwrap_or_default();
    format!("{scheme}://{user}:***@{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_configuration_parts_name_the_same_server() {
        let url: StoreUrl = "postgres://moth:se%40cret@localhost:5433/flows".parse().unwrap();
        let parts = StoreUrl::from_postgres_parts("moth", "se@cret", "flows", "localhost:5433").unwrap();
        assert_eq!(url.to_string(), "postgres://moth@localhost:5433/flows");
        assert_eq!(url.to_string(), parts.to_string());
        let v6 = StoreUrl::from_postgres_parts("moth", "x", "flows", "[::1]:5433").unwrap();
        assert_eq!(v6.to_string(), "postgres://moth@::1:5433/flows");
        let bare = StoreUrl::from_postgres_parts("moth", "x", "flows", "db.example").unwrap();
        assert_eq!(bare.to_string(), "postgres://moth@db.example:5432/flows");
    }

    #[test]
    fn no_text_about_a_url_shows_its_password() {
        let url: StoreUrl = "postgres://moth:secret@localhost/flows".parse().unwrap();
        assert!(!format!("{url} {url:?}").contains("secret"));
        for text in [
            "mysql://moth:secret@localhost/flows",
            "postgres://moth:secret@localhost:x/flows",
            "pg://h/db?password=secret",
        ] {
            let error = text.parse::<StoreUrl>().unwrap_err().to_string();
            assert!(!error.contains("secret") && error.contains("sqlite:PATH"), "{error}");
        }
    }

    #[test]
    fn a_file_is_named_with_or_without_slashes() {
        for (text, path) in
            [("sqlite:a.db", "a.db"), ("sqlite:///var/a.db", "/var/a.db"), ("sqlite:/var/a.db", "/var/a.db")]
        {
            assert_eq!(text.parse::<StoreUrl>().unwrap().to_string(), format!("sqlite:{path}"));
        }
        assert!(StoreUrl::from_postgres_parts("moth", "x", "flows", "localhost:port").is_err());
        assert!(StoreUrl::from_postgres_parts("moth", "x", "flows", "").is_err());
    }
}

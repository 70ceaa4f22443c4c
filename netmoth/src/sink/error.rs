//! What can go wrong with a store, as sentences with a remedy. No message ever holds a password.

/// Why a store can't be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant's message says what it is")]
pub enum StoreError {
    #[error(
        "the store '{url}' is not understood: {why}. Write sqlite:PATH, or postgres://USER:PASSWORD@HOST:PORT/DATABASE"
    )]
    Url { url: String, why: String },
    #[error(
        "nothing answers as PostgreSQL at {at} ({cause}). Start the server (systemctl start postgresql), or correct the host \
         and port of the store"
    )]
    Unreachable { at: String, cause: String },
    #[error(
        "PostgreSQL at {at} did not answer within {seconds} s. Check the host and port, and that no firewall drops the \
         connection"
    )]
    TimedOut { at: String, seconds: u64 },
    #[error(
        "PostgreSQL at {at} refuses the password of user '{user}'. Correct postgres.user and postgres.password, or set it: \
         ALTER ROLE \"{user}\" PASSWORD '…'"
    )]
    Password { at: String, user: String },
    #[error(
        "PostgreSQL at {at} does not let user '{user}' in ({cause}). Add a line for this user and host to pg_hba.conf and reload \
         the server"
    )]
    NotAllowed { at: String, user: String, cause: String },
    #[error(
        "PostgreSQL at {at} accepts encrypted connections only, and the store asks for none. Append ?sslmode=require to the \
         store's URL"
    )]
    TlsRequired { at: String },
    #[error(
        "the encrypted connection to PostgreSQL at {at} failed ({cause}). Turn `ssl` on in the server, give the certificate's \
         authority with sslrootcert=FILE, or append ?sslmode=disable if the network is trusted"
    )]
    Tls { at: String, cause: String },
    #[error(
        "PostgreSQL at {at} lets no more connections in ({cause}). Raise max_connections, or lift the limit of the user or the \
         database: ALTER ROLE \"{user}\" CONNECTION LIMIT -1"
    )]
    NoConnectionLeft { at: String, user: String, cause: String },
    #[error("PostgreSQL at {at} has no database '{database}'. Create it: createdb -O {user} {database}")]
    NoDatabase { at: String, user: String, database: String },
    #[error(
        "user '{user}' lacks a privilege in PostgreSQL at {at} ({cause}). Give it the right to create tables: GRANT CREATE, USAGE \
         ON SCHEMA public TO \"{user}\", and make it the owner of the table flows if another user made that"
    )]
    Privilege { at: String, user: String, cause: String },
    #[error(
        "the tables in {at} were made by a newer netmoth (schema version {found}, this one knows up to {known}). Install that \
         release or a later one, or name another database"
    )]
    Newer { at: String, found: i64, known: i64 },
    #[error(
        "the tables in {at} are not as netmoth made them: {differences}. Undo what was altered there (columns of your own may be \
         added if they are nullable or have a default), or name another database"
    )]
    Altered { at: String, differences: String },
    #[error("retention_days is set, but {at} keeps all rows. Set retention_days: 0, or store in PostgreSQL")]
    NoRetention { at: String },
    #[error("'{path}' is a file, but not an SQLite database. Name another file, or move this one away")]
    NotADatabase { path: String },
    #[error(
        "the SQLite file '{path}' can't be opened or made ({cause}). Make its folder, and let this user write there"
    )]
    CannotOpen { path: String, cause: String },
    #[error("the SQLite file '{path}' is read-only for this user. Change its owner or mode, or name another file")]
    ReadOnly { path: String },
    #[error("the SQLite file '{path}' is locked by another program. Close that program, or name another file")]
    Locked { path: String },
    #[error(
        "there is no SQLite file '{path}'. Let `netmoth run` or `netmoth read --store sqlite:{path}` write one, or name another"
    )]
    NoSuchFile { path: String },
    #[error("the store {at} holds no table flows. Let `netmoth run` or `netmoth read --store` write to it first")]
    NoTables { at: String },
    #[error(
        "the store {at} gave back a row that netmoth did not write: column {column} is '{value}'. Delete or repair that row"
    )]
    Row { at: String, column: &'static str, value: String },
    #[error("the store {at} failed: {cause}. Its own log says more")]
    Failed { at: String, cause: String },
    #[error(
        "the store {at} did not take a batch within {seconds} s. Look what holds it up: locks, a full disk, a frozen server"
    )]
    Slow { at: String, seconds: u64 },
    #[error(transparent)]
    Spool(super::SpoolError),
    #[error("the store's writer could not start ({cause}). Raise the limits on threads and memory (ulimit -u, -v)")]
    Start { cause: String },
}

impl StoreError {
    /// Whether the store may be back without anybody mending the configuration: it does not answer, is busy, or its disk is full.
    pub(super) fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::TimedOut { .. }
                | Self::Slow { .. }
                | Self::Locked { .. }
                | Self::NoConnectionLeft { .. }
                | Self::Failed { .. }
        )
    }
}

//! A PostgreSQL server of a test's own: made in a temporary folder, stopped and removed when the guard drops.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use netmoth::sink::StoreUrl;

/// The password of the superuser `postgres` of every test's server.
pub(crate) const PASSWORD: &str = "right-horse";

/// A running server on a free port of 127.0.0.1 and on a socket in its folder; passwords are asked for (scram).
pub(crate) struct PostgresServer {
    bin: PathBuf,
    folder: tempfile::TempDir,
    pub(crate) port: u16,
}

impl PostgresServer {
    /// Makes and starts a server. `None`, with a line that says so, where PostgreSQL is not installed; in CI that is a failure.
    pub(crate) fn start() -> Option<Self> {
        let Some(bin) = binaries() else {
            assert!(
                std::env::var_os("CI").is_none(),
                "PostgreSQL's server is not installed: apt-get install postgresql"
            );
            let _ = writeln!(std::io::stderr(), "skipped: PostgreSQL's server is not installed");
            return None;
        };
        let folder = tempfile::Builder::new().prefix("nme-pg").tempdir().expect("a temporary folder");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port();
        let server = Self { bin, folder, port };
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(server.folder.path()));
        }
        let password_file = server.folder.path().join("password");
        std::fs::write(&password_file, PASSWORD).expect("a file in the temporary folder");
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&password_file));
        }
        run(server
            .tool("initdb")
            .args(["-U", "postgres", "-A", "scram-sha-256", "--no-sync", "--no-instructions", "--pwfile"])
            .arg(&password_file)
            .arg("-D")
            .arg(server.data()));
        server.resume();
        Some(server)
    }

    /// Starts the server (again) and waits until it answers.
    pub(crate) fn resume(&self) {
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories={} -c fsync=off -c max_connections=20",
            self.port,
            self.folder.path().display()
        );
        let log = self.folder.path().join("log");
        let start = || {
            let mut start = self.tool("pg_ctl");
            start.arg("-D").arg(self.data()).arg("-l").arg(&log).args(["-w", "-o", &options, "start"]);
            start.stdout(Stdio::null()).status().is_ok_and(|status| status.success())
        };
        // What a crash has left behind may take a moment to go.
        for _ in 0..20 {
            if start() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        panic!("PostgreSQL does not start:\n{}", std::fs::read_to_string(&log).unwrap_or_default());
    }

    /// Stops the server at once, as a crash would.
    pub(crate) fn stop(&self) {
        run(self.tool("pg_ctl").arg("-D").arg(self.data()).args(["-w", "-m", "immediate", "stop"]));
    }

    /// Sends a signal to the server and all of its processes: STOP freezes it, CONT thaws it.
    pub(crate) fn signal(&self, name: &str) {
        // Some may end meanwhile, and that is no failure.
        let _ = Command::new("kill").arg(format!("-{name}")).args(self.processes()).stderr(Stdio::null()).status();
    }

    /// The server and its children.
    fn processes(&self) -> Vec<String> {
        let file = std::fs::read_to_string(self.data().join("postmaster.pid")).expect("a running server");
        let server = file.lines().next().expect("its process").to_owned();
        let children = Command::new("pgrep").args(["--parent", &server]).output().expect("pgrep").stdout;
        let children = String::from_utf8_lossy(&children).into_owned();
        std::iter::once(server).chain(children.lines().map(str::to_owned)).collect()
    }

    /// Puts other lines into pg_hba.conf and has the server read them.
    pub(crate) fn replace_hba(&self, lines: &str) {
        std::fs::write(self.data().join("pg_hba.conf"), lines).expect("the server's own file");
        run(self.tool("pg_ctl").arg("-D").arg(self.data()).arg("reload"));
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The address of a database for a user.
    pub(crate) fn url_text(&self, user: &str, password: &str, database: &str) -> String {
        format!("postgres://{user}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// Where its socket is.
    pub(crate) fn socket_folder(&self) -> PathBuf {
        self.folder.path().into()
    }

    /// The superuser's address by way of a socket in `folder`.
    pub(crate) fn socket_url_by(&self, folder: &Path) -> String {
        format!("postgres://postgres:{PASSWORD}@localhost/postgres?host={}&port={}", folder.display(), self.port)
    }

    /// Kills the server and all of its processes, as the kernel would when memory is short.
    pub(crate) fn crash(&self) {
        let all = self.processes();
        let _ = Command::new("kill").arg("-KILL").args(&all).stderr(Stdio::null()).status();
        // One that lives on would keep the shared memory of the dead.
        while all.iter().any(|process| Path::new("/proc").join(process).join("exe").exists()) {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let _ = std::fs::remove_file(self.data().join("postmaster.pid"));
    }

    /// The superuser's address by way of the socket in the file system, which another network namespace reaches, too.
    pub(crate) fn socket_url(&self) -> String {
        self.socket_url_by(self.folder.path())
    }

    /// The superuser's address of the database `postgres`.
    pub(crate) fn url(&self) -> StoreUrl {
        self.url_text("postgres", PASSWORD, "postgres").parse().expect("a well-formed URL")
    }

    /// What psql prints for one statement, unaligned and without headings.
    pub(crate) fn psql(&self, sql: &str) -> String {
        let output = Command::new("psql")
            .args(["-XAtq", "-v", "ON_ERROR_STOP=1", &self.url_text("postgres", PASSWORD, "postgres"), "-c", sql])
            .output()
            .expect("psql");
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// A command of the server's, as the user that may run it.
    fn tool(&self, name: &str) -> Command {
        let path = self.bin.join(name);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        command.current_dir("/").stdout(Stdio::null());
        command
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        let _ = self
            .tool("pg_ctl")
            .arg("-D")
            .arg(self.data())
            .args(["-w", "-m", "immediate", "stop"])
            .stderr(Stdio::null())
            .status();
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

fn binaries() -> Option<PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .filter(|bin: &PathBuf| Path::new(&bin.join("initdb")).exists())
        .collect();
    found.sort();
    found.pop()
}

fn run(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

//! A PostgreSQL server of the test's own, on a socket in a temporary folder.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Where Debian and others put the server's programs, newest first.
const PROGRAMS: [&str; 4] = ["/usr/lib/postgresql", "/usr/pgsql", "/opt/homebrew/opt", "/usr/local"];

/// A running server. It ends with the value.
pub struct Server {
    programs: PathBuf,
    folder: TempDir,
    running: bool,
}

impl Server {
    /// Makes a cluster and starts it.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("neuro-pg-").tempdir().unwrap();
        // The server may run as another user than the test.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let mut server = Self { programs: programs(), folder, running: false };
        let data = server.data();
        server.command("initdb", &["--auth=trust", "--username=neuro", "--no-sync", "--encoding=UTF8", "-D", &data]);
        server.start_again();
        server
    }

    /// Starts the cluster, after [`Self::stop`] for example.
    pub fn start_again(&mut self) {
        let (data, socket) = (self.data(), self.socket());
        let options = format!("-c listen_addresses= -c fsync=off -k {socket}");
        let log = format!("{socket}/log");
        self.command("pg_ctl", &["-D", &data, "-w", "-l", &log, "-o", &options, "start"]);
        self.running = true;
    }

    /// Ends the server without waiting for anybody.
    pub fn stop(&mut self) {
        self.command("pg_ctl", &["-D", &self.data(), "-w", "-m", "immediate", "stop"]);
        self.running = false;
    }

    /// The URL of a new database.
    pub fn database(&self, name: &str) -> String {
        let socket = self.socket();
        self.command("createdb", &["-h", &socket, "-U", "neuro", name]);
        self.url(name)
    }

    /// The URL of a database that is there, or is not.
    pub fn url(&self, name: &str) -> String {
        format!("postgres://neuro@/{name}?host={}", self.socket())
    }

    fn socket(&self) -> String {
        self.folder.path().display().to_string()
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    /// Runs one of the server's programs to its end.
    fn command(&self, program: &str, arguments: &[&str]) {
        // Not a pipe: the server would hold its other end, and the test wait for it.
        let said = self.folder.path().join(format!("{program}.out"));
        let file = std::fs::File::create(&said).unwrap();
        let mut command = self.program(program);
        let status = command.args(arguments).stdout(file.try_clone().unwrap()).stderr(file).status().unwrap();
        let said = std::fs::read_to_string(&said).unwrap_or_default();
        assert!(status.success(), "{program} {arguments:?} failed: {said}");
    }

    /// The server's programs refuse root: then they run as the user that Debian's package makes.
    fn program(&self, name: &str) -> Command {
        let path = self.programs.join(name);
        let mut command = Command::new(if is_root() { Path::new("runuser") } else { &path });
        if is_root() {
            command.args(["-u", "postgres", "--"]).arg(&path);
        }
        command.current_dir("/").env("LC_ALL", "C.UTF-8");
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.running {
            let data = self.data();
            let stopped = self.program("pg_ctl").args(["-D", &data, "-s", "-m", "immediate", "stop"]).status();
            assert!(stopped.is_ok() || std::thread::panicking());
        }
    }
}

/// The folder of the newest server on this machine.
fn programs() -> PathBuf {
    let mut found: Vec<PathBuf> = PROGRAMS.iter().flat_map(|folder| versions(Path::new(folder))).collect();
    found.sort();
    found.pop().expect("expected a PostgreSQL server for the tests, found none: apt-get install postgresql")
}

fn versions(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.map(|entry| entry.path().join("bin")).filter(|path| path.join("pg_ctl").exists()).collect()
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.starts_with(b"0\n")
}

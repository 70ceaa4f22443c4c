//! What `netmoth run` may do, and when: nothing is made where rights are missing, and what is no longer needed is given up.
//! On veths in network namespaces, as root, with setpriv, ping, curl, ip and tc.

mod given_up;
mod nothing_was_made;
mod system_calls;

#[expect(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
#[path = "../support/mod.rs"]
mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::sensor::NETMOTH;

/// A folder of everybody's.
fn open_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    folder
}

/// A copy of the binary: the original may lie where only root can look.
fn copied_into(folder: &Path) -> PathBuf {
    let binary = folder.join("netmoth");
    std::fs::copy(NETMOTH, &binary).unwrap();
    binary
}

/// Has `setpriv` run what comes behind as nobody, with these capabilities (`bpf`, `net_raw`) and no others.
fn as_nobody(setpriv: &mut Command, capabilities: &[String]) {
    setpriv.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    if !capabilities.is_empty() {
        let added = capabilities.iter().map(|name| format!("+{name}")).collect::<Vec<_>>().join(",");
        setpriv.args(["--no-new-privs", "--inh-caps", &added, "--ambient-caps", &added, "--bounding-set"]);
        setpriv.arg(format!("-all,{added}"));
    }
}

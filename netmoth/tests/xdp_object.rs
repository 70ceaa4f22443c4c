//! The committed XDP object belongs to the source beside it: a stable compiler alone notices where it doesn't.
//! (`scripts/build-ebpf.sh --check` proves it by building.)

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is the parent").to_owned()
}

fn read(relative: &str) -> Vec<u8> {
    std::fs::read(root().join(relative)).unwrap_or_else(|error| panic!("{relative}: {error}"))
}

fn recorded(name: &str) -> String {
    let text = String::from_utf8(read("netmoth-xdp/netmoth-xdp.sha256")).expect("hexadecimal is UTF-8");
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("netmoth-xdp.sha256 has no line `{name}`")).to_owned()
}

/// Files below a folder, with paths relative to the repository.
fn below(folder: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(root().join(folder)).expect("the folder is there") {
        let entry = entry.expect("the entry can be read");
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.file_type().expect("it has a type").is_dir() { below(&path, found) } else { found.push(path) }
    }
}

#[test]
fn the_committed_object_is_the_one_that_was_recorded() {
    assert_eq!(hex(&read("netmoth-xdp/netmoth-xdp.o")), recorded("object"), "run scripts/build-ebpf.sh");
}

#[test]
fn the_source_of_the_program_has_not_changed_since_the_object_was_built() {
    let mut files: Vec<String> =
        ["netmoth-xdp/Cargo.toml", "netmoth-xdp/Cargo.lock", "scripts/build-ebpf.sh", "scripts/toolchain-ebpf.sh"]
            .map(str::to_owned)
            .into();
    below("netmoth-xdp/src", &mut files);
    below("netmoth-shared/src", &mut files);
    files.sort();
    // What sha256sum prints, hashed: the rule of scripts/build-ebpf.sh.
    let listing: String = files.iter().map(|file| format!("{}  {file}\n", hex(&read(file)))).collect();
    assert_eq!(
        hex(listing.as_bytes()),
        recorded("source"),
        "the XDP program's source changed: run scripts/build-ebpf.sh and commit netmoth-xdp.o and netmoth-xdp.sha256"
    );
}

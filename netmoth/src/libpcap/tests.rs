use super::*;

/// DLT_EN10MB.
const ETHERNET: i32 = 1;

#[test]
fn a_filter_is_compiled_as_tcpdump_compiles_it() {
    let handle = Handle::dead(ETHERNET, 262_144).unwrap();
    let program = handle.compile("ip6").unwrap();
    // ldh [12]; jeq #0x86dd, 0, 1; ret #262144; ret #0
    let plain = |code, jt, jf, k| Instruction { code, jt, jf, k };
    let expected = [plain(0x28, 0, 0, 12), plain(0x15, 0, 1, 0x86dd), plain(0x06, 0, 0, 262_144), plain(0x06, 0, 0, 0)];
    assert_eq!(program, expected);
    assert_eq!(handle.compile("").unwrap().len(), 1, "everything");
}

#[test]
fn what_it_has_against_a_filter_is_said_in_its_words() {
    let handle = Handle::dead(ETHERNET, 262_144).unwrap();
    let error = handle.compile("tcp port eighty-and-some").unwrap_err();
    assert!(error.to_string().contains("eighty"), "{error}");
    assert_eq!(handle.compile("ip\0"), Err(LibpcapError::ZeroByte));
    assert!(Libpcap::get().unwrap().version().starts_with("libpcap version 1."));
}

#[test]
fn an_interface_that_is_not_there_is_an_error_with_its_name() {
    let options = LiveOptions {
        interface: "nmp-absent".into(),
        snapshot_length: 96,
        promiscuous: false,
        timeout_ms: 10,
        buffer_bytes: None,
        immediate: true,
    };
    let error = Handle::live(&options).unwrap_err().to_string();
    assert!(error.contains("nmp-absent") || error.to_lowercase().contains("no such device"), "{error}");
}

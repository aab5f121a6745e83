//! Looks for a file that our part of reading images gets wrong: that makes it panic, or that it turns into something which it would
//! not take itself.

#![no_main]

use libfuzzer_sys::fuzz_target;

// It knows nothing of the rest of the gateway, so it can lie here as it does there.
#[expect(dead_code, reason = "the gateway uses all of it")]
#[path = "../../src/features/media/drawing/mod.rs"]
mod drawing;

fuzz_target!(|file: &[u8]| {
    // As it arrives: what was understood once stays so.
    let mut header = None;
    for arrived in [12, 32, 200, file.len()] {
        let glimpse = drawing::glimpse(&file[..arrived.min(file.len())]);
        let Ok(seen) = glimpse else { break };
        assert!(header.is_none() || header == seen, "it said something else before");
        header = seen;
    }
    let Ok(versions) = drawing::versions(file) else { return };
    for drawn in [&versions.original, &versions.medium, &versions.thumbnail] {
        let header = drawing::glimpse(&drawn.bytes).expect("our own picture is taken");
        assert_eq!(header.map(|header| header.kind), Some(drawn.kind));
    }
    let again = drawing::versions(&versions.original.bytes).expect("our own picture is taken");
    assert_eq!((again.width, again.height), (versions.width, versions.height));
});

//! Looks for a message of which not everything is true that the tests say about sanitised messages.

#![no_main]

use libfuzzer_sys::fuzz_target;

// The gateway hides these, and has no reason not to. They lie side by side here as they do there.
#[path = "../../src/features/messages/rules/properties.rs"]
mod properties;
#[path = "../../src/features/messages/rules/sanitise.rs"]
mod sanitise;

fuzz_target!(|typed: &str| properties::hold_for(typed));

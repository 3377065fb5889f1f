//! Numbers that the numbering plans call valid. They are only ever given to stand-ins on loopback.

/// The `n`th Swiss mobile number, below ten million.
pub fn swiss(n: u32) -> String {
    assert!(n < 10_000_000, "a Swiss number has seven digits after 79");
    format!("+4179{n:07}")
}

/// The `n`th French mobile number, below ten million.
pub fn french(n: u32) -> String {
    assert!(n < 10_000_000, "a French number has seven digits after 61");
    format!("+3361{n:07}")
}

/// The `n`th German mobile number, below ten million.
pub fn german(n: u32) -> String {
    assert!(n < 10_000_000, "a German number has seven digits after 0151");
    format!("+491511{n:07}")
}

#!/bin/bash
set -euo pipefail

cat > /workspace/src/durations.rs <<'RUST'
//! Durations such as 2d3h4m5s.

const UNITS: [(char, u64); 4] = [('d', 86400), ('h', 3600), ('m', 60), ('s', 1)];

/// The seconds that a text stands for.
pub fn parse(text: &str) -> Result<u64, String> {
    let fault = || format!("no duration: {:?}", text);
    let (mut seconds, mut next, mut digits) = (0, 0, String::new());
    for letter in text.chars() {
        if letter.is_ascii_digit() {
            digits.push(letter);
            continue;
        }
        let place = UNITS[next..].iter().position(|unit| unit.0 == letter).ok_or_else(fault)? + next;
        if digits.is_empty() || digits.len() > 12 {
            return Err(fault());
        }
        seconds += digits.parse::<u64>().map_err(|error| error.to_string())? * UNITS[place].1;
        digits.clear();
        next = place + 1;
    }
    if next == 0 || !digits.is_empty() {
        return Err(fault());
    }
    Ok(seconds)
}

/// The shortest text for so many seconds.
pub fn format(seconds: i64) -> Result<String, String> {
    let mut left = u64::try_from(seconds).map_err(|error| error.to_string())?;
    let mut text = String::new();
    for (letter, unit) in UNITS {
        if left >= unit {
            text.push_str(&std::format!("{}{}", left / unit, letter));
        }
        left %= unit;
    }
    Ok(if text.is_empty() { "0s".to_string() } else { text })
}
RUST

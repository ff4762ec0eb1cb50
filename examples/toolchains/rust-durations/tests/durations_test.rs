#[path = "durations.rs"]
#[allow(dead_code)]
mod durations;

use durations::{format, parse};

#[test]
fn all_units() {
    assert_eq!(parse("2d3h4m5s"), Ok(183845));
}

#[test]
fn some_units() {
    assert_eq!(parse("90m"), Ok(5400));
    assert_eq!(parse("1d1s"), Ok(86401));
}

#[test]
fn faults() {
    for text in ["", "5", "1s1h", "1h 1s", "-1s", "1m1m", "1234567890123s", "\u{661}s"] {
        assert!(parse(text).is_err(), "{:?}", text);
    }
    assert!(format(-1).is_err());
}

#[test]
fn shortest_text() {
    for (number, text) in [(0, "0s"), (60, "1m"), (3600, "1h"), (86401, "1d1s"), (183845, "2d3h4m5s")] {
        assert_eq!(format(number).as_deref(), Ok(text));
    }
}

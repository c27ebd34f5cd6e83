//! The `Range` header (RFC 9110 §14): one range of bytes.

use std::ops::Range;

/// What a request asks of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// All of it: no range, several, or one that is not understood.
    Whole,
    /// These bytes; not empty, inside the file.
    Part(Range<u64>),
    /// A range that begins past the end.
    Unsatisfiable,
}

/// Reads the header's value for a file of `total_bytes`.
pub fn parse(value: &str, total_bytes: u64) -> Asked {
    let Some((first, last)) = value.strip_prefix("bytes=").and_then(|set| set.split_once('-'))
    else {
        return Asked::Whole;
    };
    match (number(first), number(last)) {
        (Some(first), None) if last.trim().is_empty() => part(first, total_bytes, total_bytes),
        (Some(first), Some(last)) if first <= last => {
            part(first, last.saturating_add(1), total_bytes)
        }
        (None, Some(suffix)) if first.trim().is_empty() => {
            part(total_bytes.saturating_sub(suffix), total_bytes, total_bytes)
        }
        _ => Asked::Whole,
    }
}

fn part(first: u64, end: u64, total_bytes: u64) -> Asked {
    let end = end.min(total_bytes);
    if first >= end { Asked::Unsatisfiable } else { Asked::Part(first..end) }
}

fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_first_to_last_or_from_first_or_the_last_bytes() {
        assert_eq!(parse("bytes=0-0", 10), Asked::Part(0..1));
        assert_eq!(parse("bytes=4-", 10), Asked::Part(4..10));
        assert_eq!(parse("bytes=4-99", 10), Asked::Part(4..10));
        assert_eq!(parse("bytes=-3", 10), Asked::Part(7..10));
        assert_eq!(parse("bytes=-99", 10), Asked::Part(0..10));
    }

    #[test]
    fn a_range_past_the_end_cannot_be_satisfied() {
        assert_eq!(parse("bytes=10-", 10), Asked::Unsatisfiable);
        assert_eq!(parse("bytes=-0", 10), Asked::Unsatisfiable);
        assert_eq!(parse("bytes=99999999999999999999-", 10), Asked::Unsatisfiable);
    }

    #[test]
    fn what_is_not_understood_is_as_if_it_were_not_there() {
        for value in
            ["bytes=5-4", "bytes=1-2,4-5", "lines=1-2", "bytes=a-b", "bytes=-", "bytes=+1-2"]
        {
            assert_eq!(parse(value, 10), Asked::Whole, "{value}");
        }
    }
}

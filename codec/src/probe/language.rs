//! The languages of streams: what containers write (ISO 639-2) as BCP 47 tags (RFC 5646).

/// The longest tag that is kept (RFC 5646 §4.4.1).
const TAG_BYTES_MAX: usize = 35;

/// Three letters of ISO 639-2 and the shorter ones that BCP 47 wants instead: both codes where a
/// language has two. Languages of China and its neighbours, and those that schools teach; any
/// other three letters are legal as they are.
#[rustfmt::skip]
const SHORTER: [(&str, &str); 62] = [
    ("afr", "af"), ("alb", "sq"), ("amh", "am"), ("ara", "ar"), ("arm", "hy"), ("baq", "eu"),
    ("ben", "bn"), ("bod", "bo"), ("bul", "bg"), ("bur", "my"), ("ces", "cs"), ("chi", "zh"),
    ("cmn", "zh"), ("cze", "cs"), ("dan", "da"), ("deu", "de"), ("dut", "nl"), ("ell", "el"),
    ("eng", "en"), ("fas", "fa"), ("fin", "fi"), ("fra", "fr"), ("fre", "fr"), ("ger", "de"),
    ("gre", "el"), ("heb", "he"), ("hin", "hi"), ("hun", "hu"), ("iii", "ii"), ("ind", "id"),
    ("ita", "it"), ("jpn", "ja"), ("kaz", "kk"), ("khm", "km"), ("kir", "ky"), ("kor", "ko"),
    ("lao", "lo"), ("may", "ms"), ("mon", "mn"), ("msa", "ms"), ("mya", "my"), ("nep", "ne"),
    ("nld", "nl"), ("nor", "no"), ("per", "fa"), ("pol", "pl"), ("por", "pt"), ("ron", "ro"),
    ("rum", "ro"), ("rus", "ru"), ("spa", "es"), ("swe", "sv"), ("tgk", "tg"), ("tha", "th"),
    ("tib", "bo"), ("tur", "tr"), ("uig", "ug"), ("ukr", "uk"), ("urd", "ur"), ("uzb", "uz"),
    ("vie", "vi"), ("zho", "zh"),
];

/// Gives the tag of a container's language; `None` for "undetermined" and for what is no tag.
pub(crate) fn tag(container: &str) -> Option<String> {
    let name = container.trim().replace('_', "-");
    let is_part = |part: &str| {
        (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    let (primary, rest) = match name.split_once('-') {
        Some((primary, rest)) => (primary, Some(rest)),
        None => (name.as_str(), None),
    };
    let primary = primary.to_ascii_lowercase();
    let is_primary = (2..=3).contains(&primary.len())
        && primary.bytes().all(|b| b.is_ascii_lowercase())
        && !matches!(primary.as_str(), "und" | "zxx" | "mis" | "mul");
    if !is_primary || name.len() > TAG_BYTES_MAX || !name.split('-').all(is_part) {
        return None;
    }
    let shorter = SHORTER.iter().find(|(long, _)| *long == primary).map(|(_, short)| *short);
    let primary = shorter.unwrap_or(&primary);
    Some(rest.map_or(primary.to_owned(), |rest| format!("{primary}-{rest}")))
}

/// As [`tag`] for a word that may as well mean something else: only languages of the table.
pub(crate) fn known(word: &str) -> Option<String> {
    let tag = tag(word)?;
    let primary = tag.split('-').next().unwrap_or_default();
    SHORTER.iter().any(|(_, short)| *short == primary).then_some(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_languages_become_tags() {
        let cases = [
            ("chi", Some("zh")),
            ("zho", Some("zh")),
            ("eng", Some("en")),
            ("tib", Some("bo")),
            ("UIG", Some("ug")),
            ("yue", Some("yue")),
            ("zh-Hans", Some("zh-Hans")),
            ("zh_CN", Some("zh-CN")),
            ("en", Some("en")),
            ("und", None),
            ("", None),
            ("english", None),
            ("e\"", None),
            ("en-\u{0}", None),
            ("en-", None),
        ];
        for (container, expected) in cases {
            assert_eq!(tag(container).as_deref(), expected, "{container:?}");
        }
    }
}

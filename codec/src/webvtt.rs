//! Subtitles as WebVTT (W3C, WebVTT: The Web Video Text Tracks Format): read leniently, written
//! strictly.
//!
//! What is written holds nothing but times and text with the tags `b`, `i`, `u`, `v` and `c`: no
//! positions, styles, regions, comments or links, so that a browser shows what was said and
//! nothing else. SubRip differs by a comma in its times and is read as well.

use std::fmt::Write;
use std::iter::Peekable;
use std::str::Chars;

/// The first line and the empty line after it.
pub(crate) const HEADER: &str = "WEBVTT\n\n";
/// The most cues: one every 1.8 s for 10 h.
pub(crate) const CUES_MAX: usize = 20_000;
/// The longest text of a cue, in characters: four full lines of a wide screen, twice over.
const TEXT_CHARS_MAX: usize = 1000;
/// The most lines of a cue: two are usual, two languages need four.
const LINES_MAX: usize = 6;
/// The longest tag that is recognised, in characters; longer ones are text.
const TAG_CHARS_MAX: usize = 200;
/// The longest name of a speaker, or list of classes, in characters.
const ANNOTATION_CHARS_MAX: usize = 60;
/// The deepest nesting of tags: bold, italic, underlined, speaker, class, and as many again.
const DEPTH_MAX: usize = 10;

/// One text and when it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cue {
    pub(crate) start_ms: u64,
    /// After `start_ms`.
    pub(crate) end_ms: u64,
    /// Escaped, with balanced tags, without empty lines.
    pub(crate) text: String,
}

/// Cues in order of time, and whether some were left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cues {
    pub(crate) cues: Vec<Cue>,
    /// There were more than [`CUES_MAX`].
    pub(crate) is_cut: bool,
}

/// Reads a subtitle file; what is no cue is passed over.
pub(crate) fn read(text: &str) -> Cues {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut read = Cues::default();
    let mut lines = text.lines().map(|line| line.trim_end_matches('\r')).peekable();
    while let Some(line) = lines.next() {
        let Some((start_ms, end_ms)) = timing(line) else { continue };
        let mut body = String::new();
        while let Some(line) = lines.next_if(|line| !line.trim().is_empty()) {
            body.push_str(line);
            body.push('\n');
        }
        let Some(cue) = cue(start_ms, end_ms, &body) else { continue };
        if read.cues.len() == CUES_MAX {
            read.is_cut = true;
            break;
        }
        read.cues.push(cue);
    }
    // Stable: cues of the same moment stay in the order of the file.
    read.cues.sort_by_key(|cue| cue.start_ms);
    read
}

/// A cue of raw text; none if nothing is said in it, or if it ends before it begins.
pub(crate) fn cue(start_ms: u64, end_ms: u64, body: &str) -> Option<Cue> {
    let text = clean(body);
    (end_ms > start_ms && !text.is_empty()).then_some(Cue { start_ms, end_ms, text })
}

/// Writes one cue with the empty line after it.
pub(crate) fn write(cue: &Cue) -> String {
    format!("{} --> {}\n{}\n\n", Time(cue.start_ms), Time(cue.end_ms), cue.text)
}

struct Time(u64);

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.0 / 1000;
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        write!(f, "{hours:02}:{minutes:02}:{:02}.{:03}", seconds % 60, self.0 % 1000)
    }
}

/// The two times of a cue's first line; settings after them are passed over.
pub(crate) fn timing(line: &str) -> Option<(u64, u64)> {
    let (start, rest) = line.split_once("-->")?;
    Some((time(start.trim())?, time(rest.split_whitespace().next()?)?))
}

/// `[hours:]minutes:seconds.milliseconds`, at most 9,999 hours.
fn time(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once(['.', ','])?;
    let number = |text: &str, digits: usize| {
        let is_number =
            (1..=digits).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| text.parse::<u64>().ok()).flatten()
    };
    let mut parts = whole.rsplit(':');
    let seconds = number(parts.next()?, 2)?;
    let minutes = number(parts.next()?, 2)?;
    let hours = parts.next().map_or(Some(0), |hours| number(hours, 4))?;
    if fraction.len() != 3 || parts.next().is_some() || seconds > 59 || minutes > 59 {
        return None;
    }
    Some(((hours * 60 + minutes) * 60 + seconds) * 1000 + number(fraction, 3)?)
}

/// Text as it may stand in a cue: known tags balanced, everything else escaped.
fn clean(body: &str) -> String {
    let mut cleaner = Cleaner::default();
    let mut rest = body.chars().peekable();
    while let Some(char) = rest.next() {
        match char {
            '<' => cleaner.tag_or_text(&mut rest),
            '&' => {
                let char = entity(&mut rest);
                cleaner.text(char);
            }
            char => cleaner.text(char),
        }
        if cleaner.is_full {
            break;
        }
    }
    cleaner.finish()
}

#[derive(Default)]
struct Cleaner {
    out: String,
    open: Vec<char>,
    chars: usize,
    line_ends: usize,
    is_begun: bool,
    is_full: bool,
    /// A line feed or a space that is written once something follows it.
    waiting: Option<char>,
}

impl Cleaner {
    fn text(&mut self, char: char) {
        // Marks that turn the direction of what follows could hide text.
        let is_mark =
            matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        if char == '\n' {
            self.waiting = self.is_begun.then_some('\n');
        } else if char.is_whitespace() {
            self.waiting = self.waiting.or(self.is_begun.then_some(' '));
        } else if !char.is_control() && !is_mark {
            self.visible(char);
        }
    }

    fn visible(&mut self, char: char) {
        self.flush();
        if self.is_full {
            return;
        }
        self.chars += 1;
        self.is_full = self.chars == TEXT_CHARS_MAX;
        match char {
            '<' => self.out.push_str("&lt;"),
            '>' => self.out.push_str("&gt;"),
            '&' => self.out.push_str("&amp;"),
            char => self.out.push(char),
        }
    }

    fn flush(&mut self) {
        self.is_begun = true;
        let Some(waiting) = self.waiting.take() else { return };
        if waiting == '\n' {
            self.line_ends += 1;
            self.is_full = self.line_ends == LINES_MAX;
        }
        if !self.is_full {
            self.out.push(waiting);
        }
    }

    /// After a `<`: a tag is written if it is a known one, and dropped if it is another.
    fn tag_or_text(&mut self, rest: &mut Peekable<Chars>) {
        let mut ahead = rest.clone();
        let tag: String =
            ahead.by_ref().take(TAG_CHARS_MAX).take_while(|c| !matches!(c, '>' | '<')).collect();
        let closes = rest.clone().nth(tag.chars().count()) == Some('>');
        let begins = |c: char| c.is_ascii_alphanumeric() || c == '/';
        if !closes || !tag.starts_with(begins) {
            return self.text('<');
        }
        *rest = ahead;
        match tag.strip_prefix('/') {
            Some(name) => self.close(name),
            None => self.open(&tag),
        }
    }

    fn open(&mut self, tag: &str) {
        let end = tag.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(tag.len());
        let (name, rest) = tag.split_at(end);
        let Some(name @ ('b' | 'i' | 'u' | 'v' | 'c')) = only_char(name) else { return };
        if self.open.len() == DEPTH_MAX {
            return;
        }
        self.flush();
        if self.is_full {
            return;
        }
        self.open.push(name);
        self.out.push('<');
        self.out.push(name);
        match name {
            'v' => {
                let speaker = rest.split_once(char::is_whitespace).map_or("", |(_, name)| name);
                let is_plain = |c: &char| !c.is_control() && !matches!(c, '&' | '<' | '>');
                let speaker = speaker.chars().filter(is_plain).take(ANNOTATION_CHARS_MAX);
                let speaker: String = speaker.collect();
                // Writing to a `String` cannot fail.
                let _ = write!(self.out, " {}", without_arrow(&speaker));
            }
            'c' => {
                let is_class = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
                let classes = rest.strip_prefix('.').unwrap_or_default().chars();
                let classes: String =
                    classes.take_while(is_class).take(ANNOTATION_CHARS_MAX).collect();
                let classes = without_arrow(&classes);
                if !classes.is_empty() {
                    self.out.push('.');
                    self.out.push_str(classes);
                }
            }
            _ => {}
        }
        self.out.push('>');
    }

    /// Closes a tag, and those that were opened inside it.
    fn close(&mut self, name: &str) {
        let Some(name) = only_char(name.trim()) else { return };
        let Some(at) = self.open.iter().rposition(|open| *open == name) else { return };
        while self.open.len() > at {
            self.close_last();
        }
    }

    fn close_last(&mut self) {
        if let Some(name) = self.open.pop() {
            self.out.extend(['<', '/', name, '>']);
        }
    }

    fn finish(mut self) -> String {
        if self.chars == 0 {
            return String::new();
        }
        while !self.open.is_empty() {
            self.close_last();
        }
        self.out
    }
}

/// Together with the tag's `>`, dashes at its end would be the arrow between two times.
fn without_arrow(text: &str) -> &str {
    text.trim_matches(|c: char| c == '-' || c.is_whitespace())
}

fn only_char(name: &str) -> Option<char> {
    let mut chars = name.chars();
    let first = chars.next()?.to_ascii_lowercase();
    chars.next().is_none().then_some(first)
}

/// After an `&`: the character that an entity stands for, or the `&` itself.
fn entity(rest: &mut Peekable<Chars>) -> char {
    let named = [("amp;", '&'), ("lt;", '<'), ("gt;", '>'), ("nbsp;", ' '), ("quot;", '"')];
    for (name, stands_for) in named {
        let mut ahead = rest.clone();
        if name.chars().all(|c| ahead.next() == Some(c)) {
            *rest = ahead;
            return stands_for;
        }
    }
    '&'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text_of(body: &str) -> String {
        let read = read(&format!("{HEADER}00:01.000 --> 00:02.000\n{body}\n"));
        read.cues.first().map(|cue| cue.text.clone()).unwrap_or_default()
    }

    #[test]
    fn webvtt_and_subrip_are_read_in_order_of_time() {
        let text = "WEBVTT\nX-TIMESTAMP-MAP=1\n\nSTYLE\n::cue { color: url(http://a) }\n\n\
                    NOTE not shown\n\nsecond\n01:00:03.500 --> 01:00:04.000 line:0 position:9%\n\
                    <b>two</b>\n\n00:01.000 --> 00:02.250\none\r\n  and a half\n\n\
                    3\n00:00:09,000 --> 00:00:08,000\nends before it begins\n";
        let cue = |start_ms, end_ms, text: &str| Cue { start_ms, end_ms, text: text.into() };
        let cues = [cue(1000, 2250, "one\nand a half"), cue(3_603_500, 3_604_000, "<b>two</b>")];
        assert_eq!(read(text).cues, cues);
        let subrip = "\u{feff}1\r\n00:00:01,000 --> 00:00:02,250\r\n你好\r\n\r\n2\r\n";
        assert_eq!(read(subrip).cues, [cue(1000, 2250, "你好")]);
        assert_eq!(write(&cues[1]), "01:00:03.500 --> 01:00:04.000\n<b>two</b>\n\n");
    }

    #[test]
    fn only_plain_tags_are_left_and_they_are_balanced() {
        assert_eq!(text_of("<script>alert(1)</script>hi"), "alert(1)hi");
        assert_eq!(text_of("<img src=x onerror=y>a<a href='http://b'>b</a>"), "ab");
        assert_eq!(text_of("<i>a<b>b</i>c</b></u>"), "<i>a<b>b</b></i>c");
        assert_eq!(text_of("<v.loud 老师 <b>>问</v>"), "&lt;v.loud 老师 <b>&gt;问</b>");
        assert_eq!(text_of("<v.loud 老师>问"), "<v 老师>问</v>");
        assert_eq!(text_of("<c.red.x\"y>z</c>"), "<c.red.x>z</c>");
        assert_eq!(text_of("<c-i>z<c.--->y"), "<c>z<c>y</c></c>");
        assert_eq!(
            text_of("1 < 2 && 3 > 2 --> &amp;lt; &nbsp;x"),
            "1 &lt; 2 &amp;&amp; 3 &gt; 2 --&gt; &amp;lt; x"
        );
        assert_eq!(text_of("<b></b>"), "");
        assert_eq!(text_of("a\u{202e}b\u{7}c\u{0}"), "abc");
    }

    #[test]
    fn lengths_are_bounded() {
        let long = text_of(&"字".repeat(5000));
        assert_eq!(long.chars().count(), TEXT_CHARS_MAX);
        assert_eq!(text_of(&"line\n".repeat(9)).lines().count(), LINES_MAX);
        let deep = text_of(&format!("{}x", "<b>".repeat(300)));
        assert_eq!(deep.matches("<b>").count(), DEPTH_MAX);
        let mut many = HEADER.to_owned();
        for n in 0..CUES_MAX as u64 + 5 {
            many += &write(&Cue { start_ms: n, end_ms: n + 9, text: "x".into() });
        }
        let read = read(&many);
        assert!(read.is_cut && read.cues.len() == CUES_MAX);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_the_same(text in "(?s)[<>/&;bivucx .\\-\n字a-c]{0,80}") {
            let first = read(&format!("00:01.000 --> 00:02.000\n{text}\n\n"));
            let written: String = first.cues.iter().map(write).collect();
            prop_assert_eq!(&read(&written), &first, "{}", written);
            for cue in &first.cues {
                prop_assert!(!cue.text.contains("-->") && !cue.text.contains("\n\n"));
            }
        }

        #[test]
        fn arbitrary_text_never_panics(text in any::<String>()) {
            read(&text);
            read(&format!("00:01.000 --> 00:02.000\n{text}"));
        }
    }
}

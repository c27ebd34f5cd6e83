//! SubStation Alpha (`.ass`, `.ssa`): the lines that are said, without styles, places and drawings.

use crate::webvtt::{CUES_MAX, Cues, cue};

/// The fields of a line in the order that nearly every file has.
const FIELDS: [&str; 10] =
    ["layer", "start", "end", "style", "name", "marginl", "marginr", "marginv", "effect", "text"];
/// The most fields that a `Format` line may name: twice what there are.
const FIELDS_MAX: usize = 20;

/// Where the fields that count stand in a line.
struct Places {
    start: usize,
    end: usize,
    /// The last one; commas belong to it.
    count: usize,
}

/// Reads the lines of `[Events]`.
pub(super) fn read(text: &str) -> Cues {
    let mut read = Cues::default();
    let mut is_events = false;
    let mut places = Places::of(&FIELDS.join(","));
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            is_events = line.eq_ignore_ascii_case("[events]");
            continue;
        }
        let Some((name, rest)) = line.split_once(':').filter(|_| is_events) else { continue };
        if name.eq_ignore_ascii_case("format") {
            places = Places::of(rest);
        } else if name.eq_ignore_ascii_case("dialogue") {
            let line = places.as_ref().and_then(|places| places.read(rest));
            let Some(cue) = line.and_then(|(start, end, body)| cue(start, end, &body)) else {
                continue;
            };
            if read.cues.len() == CUES_MAX {
                read.is_cut = true;
                break;
            }
            read.cues.push(cue);
        }
    }
    // Stable: lines of the same moment stay in the order of the file.
    read.cues.sort_by_key(|cue| cue.start_ms);
    read
}

impl Places {
    /// Reads a `Format` line; `None` if times are missing or the text is not the last.
    fn of(format: &str) -> Option<Self> {
        let names: Vec<String> =
            format.split(',').take(FIELDS_MAX).map(|name| name.trim().to_lowercase()).collect();
        let place = |wanted: &str| names.iter().position(|name| name == wanted);
        let (start, end) = (place("start")?, place("end")?);
        (place("text")? + 1 == names.len()).then_some(Self { start, end, count: names.len() })
    }

    fn read(&self, line: &str) -> Option<(u64, u64, String)> {
        let fields: Vec<&str> = line.splitn(self.count, ',').collect();
        let text = *fields.get(self.count - 1)?;
        Some((time(fields[self.start])?, time(fields[self.end])?, said(text)?))
    }
}

/// `h:mm:ss.cc`, at most 9,999 hours.
fn time(text: &str) -> Option<u64> {
    let (whole, hundredths) = text.trim().split_once('.')?;
    let number = |text: &str, digits: usize| {
        let is_number =
            (1..=digits).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| text.parse::<u64>().ok()).flatten()
    };
    let mut parts = whole.split(':');
    let hours = number(parts.next()?, 4)?;
    let minutes = number(parts.next()?, 2)?;
    let seconds = number(parts.next()?, 2)?;
    if parts.next().is_some() || hundredths.len() != 2 || minutes > 59 || seconds > 59 {
        return None;
    }
    Some(((hours * 60 + minutes) * 60 + seconds) * 1000 + number(hundredths, 2)? * 10)
}

/// A line's text; `None` for a drawing.
fn said(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((block, after)) = after.split_once('}') else {
            out.push('{');
            rest = after;
            continue;
        };
        if draws(block) {
            return None;
        }
        rest = after;
    }
    out.push_str(rest);
    Some(out.replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " "))
}

/// Whether a block switches drawing on: `\p` and a number that is not 0.
fn draws(block: &str) -> bool {
    let digit = |part: &str| part.strip_prefix('p').and_then(|rest| rest.chars().next());
    block.split('\\').filter_map(digit).any(|digit| matches!(digit, '1'..='9'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_kept_and_styles_and_drawings_go() {
        let text = "[Script Info]\nTitle: x\n[V4+ Styles]\nFormat: Name\nDialogue: 0,0:00:01.00\n\
            [Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, \
            Text\n\
            Dialogue: 0,0:00:05.50,0:00:06.00,Default,,0,0,0,,second, {\\i1}with{\\i0} comma\n\
            Comment: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,not said\n\
            Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,{\\pos(1,2)}第一\\N第二 <x>\n\
            Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,{\\p1}m 0 0 l 9 9{\\p0}\n\
            Dialogue: 0,0:00:09.00,0:00:08.00,Default,,0,0,0,,backwards\n\
            Dialogue: 0,0:00:61.00,0:01:08.00,Default,,0,0,0,,no time\nDialogue: 0\n";
        let cues = read(text).cues;
        let seen: Vec<_> = cues.iter().map(|c| (c.start_ms, c.end_ms, c.text.as_str())).collect();
        assert_eq!(seen, [(1000, 2000, "第一\n第二"), (5500, 6000, "second, with comma")]);
    }

    #[test]
    fn the_order_of_the_fields_is_the_files_own() {
        let text = "[Events]\nFormat: Start,End,Text\nDialogue: 0:00:01.00,0:00:02.00,a,b\n\
                    Format: Text,Start,End\nDialogue: c,0:00:01.00,0:00:02.00\n";
        let cues = read(text).cues;
        assert_eq!(cues.len(), 1);
        assert_eq!(cues[0].text, "a,b");
    }
}

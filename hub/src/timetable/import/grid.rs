//! Tables whose columns are weekdays, or classes, and whose rows are periods. One file may have
//! several of them, below each other or on sheets: one a class.

use super::draft::{Draft, DraftSlot, ModeWord};
use super::layout::{self, Found, Mapping, fields};
use super::problem::{ImportProblemCode as Code, Place};
use super::table::{Joined, Row, Table};
use super::words::{self, Field};
use crate::timetable::check::PERIODS_MAX;
use crate::timetable::term::Mode;

/// How far above a header the name of its class may stand: a title, a note, an empty row.
const TITLE_ROWS_MAX: usize = 4;
/// Weekdays that make a row the header of the next grid.
const DAYS_MIN: usize = 3;
/// What stands between the words of a cell.
const SEPARATORS: [char; 17] =
    ['/', '／', '、', ',', '，', ';', '；', '(', ')', '（', '）', '【', '】', '[', ']', '|', '：'];

/// Reads each grid of the table.
pub(super) fn read(table: &Table, found: &Found, mapping: &Mapping, draft: &mut Draft) {
    let mut begin = found.header;
    while begin < table.rows.len() {
        let end = (begin + 1..table.rows.len()).find(|row| is_header(table, *row));
        let end = end.unwrap_or(table.rows.len());
        // The next grid has its own columns, unless somebody has said what they are.
        let is_next = begin != found.header && mapping.columns.is_empty();
        let own = is_next.then(|| layout::grid_at(table, begin));
        block(table, own.as_ref().unwrap_or(found), begin..end, mapping, draft);
        begin = end;
    }
}

fn is_header(table: &Table, row: usize) -> bool {
    fields(table, row).iter().flatten().filter(|field| field.day().is_some()).count() >= DAYS_MIN
}

/// A row of a grid, and those below it that only go on.
struct Line<'a> {
    joined: Joined<'a>,
    label: String,
    weekday: String,
}

fn block(
    table: &Table,
    found: &Found,
    rows: std::ops::Range<usize>,
    mapping: &Mapping,
    draft: &mut Draft,
) {
    let header = rows.start;
    let mut lines = lines(&table.rows[rows.start + 1..rows.end], found, draft);
    lines.retain(|line| {
        let is_break = is_break(&line.label);
        if is_break {
            tell_break(line, draft);
        }
        !is_break
    });
    let numbers = numbers(&lines);
    let class = class_of(table, header, mapping);
    for (line, numbers) in lines.iter().zip(numbers) {
        let row = line.joined.row;
        let at = |column| Place { sheet: &row.sheet, row: row.number, column };
        if numbers.iter().any(|no| usize::from(*no) > PERIODS_MAX) {
            let what = "a day has at most 20 periods; the row is left out";
            draft.tell(at(None), Code::BadPeriod, what, &line.label);
            continue;
        }
        if let ([no], Some(times)) = (numbers.as_slice(), words::times(&line.label)) {
            draft.time(at(None), *no, times);
        }
        for (column, text) in &line.joined.cells {
            let field = found.fields.get(*column).copied().flatten();
            let weekday = field.and_then(Field::day).or_else(|| words::weekday(&line.weekday));
            let Some(weekday) = weekday else {
                let what = "the row has no weekday; the lesson is left out";
                draft.tell(at(Some(*column)), Code::BadWeekday, what, text);
                continue;
            };
            let headed = (field == Some(Field::Lessons)).then(|| table.rows[header].cell(*column));
            let headed = headed.map(|text| words::class_in(text).unwrap_or_else(|| text.into()));
            let class = headed.or_else(|| class.clone()).unwrap_or_else(|| {
                let what = "nothing names the class of this timetable; say which class it is";
                draft.tell(at(None), Code::ClassMissing, what, "");
                "本班".to_owned()
            });
            take(draft, at(Some(*column)), &class, weekday, &numbers, text);
        }
    }
}

/// Takes the lessons of a cell.
pub(super) fn take(
    draft: &mut Draft,
    at: Place<'_>,
    class: &str,
    weekday: u8,
    numbers: &[u8],
    text: &str,
) {
    let class = crate::catalog::bounds::line(class, crate::timetable::check::WORD_CHARS_MAX);
    let lessons = lessons(text);
    if lessons.is_empty() && !is_none(text) {
        let what = "this names no subject; no lesson came of it";
        draft.tell(at, Code::NoLesson, what, text);
    }
    for lesson in lessons {
        if !lesson.left.is_empty() {
            let what = "a lesson has a subject, a teacher and a room; these words are left out";
            draft.tell(at, Code::WordsLeft, what, &lesson.left.join(" "));
        }
        draft.class(&class, words::grade_of(&class).unwrap_or_default(), 0);
        let (weeks, cycle) = lesson.weeks.unwrap_or((Vec::new(), 1));
        draft.cycle_weeks = draft.cycle_weeks.max(cycle);
        for period in numbers {
            let slot = DraftSlot {
                class: class.clone(),
                weekday,
                period: *period,
                weeks: weeks.clone(),
                subject: lesson.subject.clone(),
                lead: lesson.teacher.clone(),
                tutor: String::new(),
                room: lesson.room.clone(),
                mode: ModeWord(lesson.mode),
            };
            draft.slot(at, slot);
        }
    }
}

/// Tells what a break's row says beside that it is one.
fn tell_break(line: &Line<'_>, draft: &mut Draft) {
    let row = line.joined.row;
    let said = line.joined.cells.iter().find(|(_, text)| !lessons(text).is_empty());
    if let Some((column, text)) = said {
        let what = "the row is a break; what stands in it is left out";
        let at = Place { sheet: &row.sheet, row: row.number, column: Some(*column) };
        draft.tell(at, Code::InBreak, what, text);
    }
}

/// Joins rows that go on: a teacher below the subject, where only the first row has a label. One
/// that has none and goes on with nothing is told.
fn lines<'a>(rows: &'a [Row], found: &Found, draft: &mut Draft) -> Vec<Line<'a>> {
    let is_lessons = |column: usize| {
        let field = found.fields.get(column).copied().flatten();
        field.is_some_and(|field| field.day().is_some() || field == Field::Lessons)
    };
    let mut lines: Vec<Line<'a>> = Vec::new();
    let mut weekday = String::new();
    for row in rows {
        let text = |field| found.column(field).map_or("", |column| row.cell(column));
        let label = [Field::Period, Field::Start, Field::End].map(text).join(" ").trim().to_owned();
        let joined = Joined::new(row, is_lessons);
        let said = text(Field::Weekday);
        if !said.is_empty() {
            said.clone_into(&mut weekday);
        }
        if let Some(last) = lines.last_mut()
            && label.is_empty()
            && last.joined.is_above(row)
        {
            last.joined.join(joined);
        } else if !label.is_empty() {
            let weekday = weekday.clone();
            lines.push(Line { joined, label, weekday });
        } else if let Some((column, text)) = joined.cells.iter().find(|(_, text)| !is_none(text)) {
            let what = "nothing says which period the row is; its lessons are left out";
            let at = Place { sheet: &row.sheet, row: row.number, column: Some(*column) };
            draft.tell(at, Code::NoLabel, what, text);
        }
    }
    lines
}

/// Says whether a cell says that there is no lesson.
pub(super) fn is_none(text: &str) -> bool {
    words_of(text).next().is_none()
}

fn is_break(label: &str) -> bool {
    let is_word = |c: char| !c.is_whitespace();
    let mut words = label.split(|c| !is_word(c)).filter(|word| !word.contains([':', '：']));
    words.any(words::is_no_lesson)
}

/// Numbers the rows of each weekday: as their labels say, or in their order where two are alike.
fn numbers(lines: &[Line<'_>]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for day in lines.chunk_by(|a, b| a.weekday == b.weekday) {
        let said: Vec<Vec<u8>> =
            day.iter().map(|line| words::periods(&without_times(line))).collect();
        let firsts: Vec<Option<u8>> = said.iter().map(|numbers| numbers.first().copied()).collect();
        let rises = firsts.windows(2).all(|pair| pair[0] < pair[1]);
        if rises && firsts.iter().all(Option::is_some) {
            all.extend(said);
        } else {
            all.extend((1..=day.len()).map(|n| vec![u8::try_from(n).unwrap_or(u8::MAX)]));
        }
    }
    all
}

fn without_times(line: &Line<'_>) -> String {
    let words = line.label.split_whitespace().filter(|word| !word.contains([':', '：']));
    words.collect()
}

/// Finds the class that a grid is for: in a title above it, in its sheet's name, or as was said.
fn class_of(table: &Table, header: usize, mapping: &Mapping) -> Option<String> {
    let sheet = &table.rows[header].sheet;
    let above = table.rows[..header].iter().rev().take(TITLE_ROWS_MAX);
    let above = above.take_while(|row| row.sheet == *sheet);
    let title = above.flat_map(|row| &row.cells).find_map(|text| words::class_in(text));
    title.or_else(|| words::class_in(sheet)).or_else(|| mapping.class_name.clone())
}

/// A lesson as a cell has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct CellLesson {
    subject: String,
    weeks: Option<(Vec<u8>, u8)>,
    teacher: String,
    room: String,
    mode: Mode,
    /// Words that there is no place for.
    left: Vec<String>,
}

/// Reads a cell: 数学, 数学 王老师, 语文(张老师), 数学(单)/美术(双), 英语 直播 李老师 多媒体室.
fn lessons(text: &str) -> Vec<CellLesson> {
    let tokens: Vec<String> = words_of(text).flat_map(apart).collect();
    let weeks_of = |token: &str| words::weeks(token).filter(|(weeks, _)| !weeks.is_empty());
    let is_prefix = tokens.first().is_some_and(|token| weeks_of(token).is_some());
    let mut lessons: Vec<CellLesson> = Vec::new();
    let mut pending = None;
    for (i, token) in tokens.iter().enumerate() {
        let next_weeks = tokens.get(i + 1).and_then(|next| weeks_of(next));
        if let Some(weeks) = weeks_of(token) {
            match lessons.last_mut() {
                Some(lesson) if !is_prefix => lesson.weeks = Some(weeks),
                _ => pending = Some(weeks),
            }
        } else if let (Some(mode), Some(lesson)) = (words::mode(token), lessons.last_mut()) {
            lesson.mode = mode;
        } else {
            let known = words::known_subject(token);
            let goes_on = !is_prefix && next_weeks.is_some() && !is_person(token);
            let is_new = lessons.last().is_none_or(|last| {
                known.is_some() || pending.is_some() || (goes_on && last.weeks.is_some())
            });
            match lessons.last_mut() {
                Some(lesson) if !is_new => lesson.add(token),
                _ => lessons.push(CellLesson {
                    subject: known.unwrap_or(token).to_owned(),
                    weeks: pending.take(),
                    ..CellLesson::default()
                }),
            }
        }
    }
    lessons
}

fn words_of(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| c.is_whitespace() || SEPARATORS.contains(&c));
    words.filter(|word| !word.is_empty() && !words::is_no_lesson(word))
}

impl CellLesson {
    fn add(&mut self, token: &str) {
        if words::is_room(token) && self.room.is_empty() {
            token.clone_into(&mut self.room);
        } else if self.teacher.is_empty() {
            token.clone_into(&mut self.teacher);
        } else if self.room.is_empty() {
            token.clone_into(&mut self.room);
        } else {
            self.left.push(token.to_owned());
        }
    }
}

fn is_person(token: &str) -> bool {
    token.ends_with("老师")
}

/// Parts 语文张老师, which has nothing in between.
fn apart(token: &str) -> Vec<String> {
    let chars: Vec<char> = token.chars().collect();
    let joined = (2..chars.len()).rev().find(|at| {
        is_person(token) && words::known_subject(&chars[..*at].iter().collect::<String>()).is_some()
    });
    match joined {
        Some(at) => vec![chars[..at].iter().collect(), chars[at..].iter().collect()],
        None => vec![token.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let shown = |l: CellLesson| {
            let weeks = l.weeks.map(|(weeks, cycle)| format!("{weeks:?}/{cycle}"));
            let weeks = weeks.unwrap_or_default();
            format!("{} {} {} {weeks} {:?}", l.subject, l.teacher, l.room, l.mode)
        };
        lessons(text).into_iter().map(shown).collect()
    }

    #[test]
    fn cells_are_read_as_schools_write_them() {
        assert_eq!(shown("数学 王老师"), ["math 王老师   Local"]);
        assert_eq!(shown("语文\n（张老师）"), ["chinese 张老师   Local"]);
        assert_eq!(shown("语文张老师"), ["chinese 张老师   Local"]);
        assert_eq!(shown("书法/李四 美术室"), ["书法 李四 美术室  Local"]);
        assert_eq!(shown("数学(单)/美术(双)"), ["math   [1]/2 Local", "art   [2]/2 Local"]);
        assert_eq!(
            shown("数学(单) 王老师/书法(双) 李老师"),
            ["math 王老师  [1]/2 Local", "书法 李老师  [2]/2 Local"]
        );
        assert_eq!(shown("单：数学 双：班会"), ["math   [1]/2 Local", "班会   [2]/2 Local"]);
        assert_eq!(shown("英语 直播 李老师"), ["english 李老师   Live"]);
        assert_eq!((shown("——"), shown(" \n"), shown("午休")), (vec![], vec![], vec![]));
    }
}

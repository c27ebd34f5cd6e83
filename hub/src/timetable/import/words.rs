//! The words that schools write into timetables, in Chinese and English.

use serde::{Deserialize, Serialize};

use crate::timetable::term::{ClockTime, Mode};

/// What a column holds.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// The weekday of a lesson.
    Weekday,
    /// The number of a period.
    Period,
    /// When it begins, or `8:30-9:10`.
    Start,
    /// When it ends.
    End,
    /// Odd or even weeks.
    Weeks,
    /// The class.
    Class,
    /// What is taught.
    Subject,
    /// Who teaches.
    Lead,
    /// Who is in the room.
    Tutor,
    /// Where.
    Room,
    /// How.
    Mode,
    /// The class's grade.
    Grade,
    /// How many pupils the class has.
    Pupils,
    /// Lessons on a Monday.
    Monday,
    /// Lessons on a Tuesday.
    Tuesday,
    /// Lessons on a Wednesday.
    Wednesday,
    /// Lessons on a Thursday.
    Thursday,
    /// Lessons on a Friday.
    Friday,
    /// Lessons on a Saturday.
    Saturday,
    /// Lessons on a Sunday.
    Sunday,
    /// Lessons of the class that the column's header names.
    Lessons,
    /// Nothing that counts.
    Ignored,
}

impl Field {
    const DAYS: [Self; 7] = [
        Self::Monday,
        Self::Tuesday,
        Self::Wednesday,
        Self::Thursday,
        Self::Friday,
        Self::Saturday,
        Self::Sunday,
    ];

    /// Gives the weekday whose lessons a column holds, 1 for Monday.
    pub fn day(self) -> Option<u8> {
        let place = Self::DAYS.into_iter().position(|day| day == self)?;
        u8::try_from(place + 1).ok()
    }

    /// Gives the field of the lessons on a weekday, 1 for Monday.
    pub fn of_day(day: u8) -> Option<Self> {
        Self::DAYS.get(usize::from(day).checked_sub(1)?).copied()
    }

    /// Guesses what a column holds by its header.
    pub fn of_header(header: &str) -> Option<Self> {
        let header = plain(header);
        if header.chars().count() > 12 {
            return None;
        }
        if let Some(day) = weekday_named(&header) {
            return Self::DAYS.get(usize::from(day) - 1).copied();
        }
        let known = HEADERS.iter().find(|(_, words)| words.contains(&header.as_str()));
        known.map(|(field, _)| *field).or_else(|| {
            // 节次/星期 in the corner of a grid heads the periods.
            (header.contains('节') && !header.contains("节日")).then_some(Self::Period)
        })
    }
}

const HEADERS: [(Field, &[&str]); 13] = [
    (Field::Weekday, &["星期", "周几", "星期几", "礼拜", "weekday", "day", "dayofweek"]),
    (Field::Period, &["节次", "节", "课节", "第几节", "period", "lesson", "no", "序号"]),
    (Field::Start, &["开始", "开始时间", "上课时间", "起始时间", "时间", "start", "time", "begin"]),
    (Field::End, &["结束", "结束时间", "下课时间", "end", "finish"]),
    (Field::Weeks, &["周次", "单双周", "周", "weeks", "week"]),
    (Field::Class, &["班级", "班", "班级名称", "行政班", "class", "classname"]),
    (Field::Subject, &["课程", "科目", "学科", "课程名称", "课名", "subject", "course"]),
    (
        Field::Lead,
        &[
            "教师",
            "任课教师",
            "老师",
            "任课老师",
            "授课教师",
            "主讲",
            "主讲教师",
            "teacher",
            "lead",
        ],
    ),
    (Field::Tutor, &["辅导", "辅导教师", "辅导老师", "助教", "助教老师", "tutor", "assistant"]),
    (Field::Room, &["教室", "地点", "上课地点", "场地", "room", "location", "place"]),
    (Field::Mode, &["方式", "授课方式", "上课方式", "模式", "类型", "mode", "type"]),
    (Field::Grade, &["年级", "grade"]),
    (Field::Pupils, &["人数", "学生数", "学生人数", "pupils", "students", "size"]),
];

/// Periods of one lesson that are named one by one, at most: an afternoon.
const PARTS_MAX: usize = 5;
/// What stands between the first and the last of a range.
const UNTIL: [char; 6] = ['-', '–', '—', '~', '至', '到'];

/// Words that stand where a lesson could, and are none.
const NO_LESSON: [&str; 22] = [
    "-",
    "--",
    "—",
    "——",
    "/",
    "\\",
    "无",
    "空",
    "×",
    "x",
    "午休",
    "午睡",
    "午餐",
    "午饭",
    "早餐",
    "晚餐",
    "晚饭",
    "放学",
    "大课间",
    "课间",
    "课间操",
    "眼保健操",
];

const SUBJECTS: [(&str, &[&str]); 15] = [
    ("chinese", &["语文", "语", "chinese"]),
    ("math", &["数学", "数", "math", "maths", "mathematics"]),
    ("english", &["英语", "英", "外语", "english"]),
    ("physics", &["物理", "物", "physics"]),
    ("chemistry", &["化学", "化", "chemistry"]),
    ("biology", &["生物", "生", "biology"]),
    ("history", &["历史", "史", "history"]),
    ("geography", &["地理", "地", "geography"]),
    ("politics", &["道德与法治", "道法", "政治", "政", "思想品德", "品德", "思政", "politics"]),
    ("science", &["科学", "科", "自然", "science"]),
    ("music", &["音乐", "音", "music"]),
    ("art", &["美术", "美", "art"]),
    ("pe", &["体育", "体", "体育与健康", "体健", "pe", "sports"]),
    ("labour", &["劳动", "劳", "劳技", "劳动教育", "labour", "labor"]),
    ("it", &["信息技术", "信息科技", "信息", "信", "计算机", "电脑", "it", "ict", "computing"]),
];

const DIGITS: [char; 10] = ['一', '二', '三', '四', '五', '六', '七', '八', '九', '十'];

/// Gives a word without spaces, in lower case, its digits and marks of the usual width.
pub fn plain(text: &str) -> String {
    let narrow = |c: char| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        c => c,
    };
    text.chars().filter(|c| !c.is_whitespace()).map(narrow).flat_map(char::to_lowercase).collect()
}

/// Reads a weekday, 1 for Monday: 星期一, 周一, 一, Mon, 1.
pub fn weekday(text: &str) -> Option<u8> {
    let text = plain(text);
    weekday_named(&text).or_else(|| match text.as_str() {
        "日" | "天" => Some(7),
        text => number(text).filter(|day| (1..=7).contains(day)),
    })
}

/// Reads a weekday that is written as one; a number alone is none.
fn weekday_named(text: &str) -> Option<u8> {
    const ENGLISH: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    const WHOLE: [&str; 7] =
        ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    let of = |names: [&str; 7]| names.iter().position(|name| *name == text);
    if let Some(place) = of(ENGLISH).or_else(|| of(WHOLE)) {
        return u8::try_from(place + 1).ok();
    }
    let day = ["星期", "周", "礼拜"].iter().find_map(|prefix| text.strip_prefix(prefix))?;
    match day {
        "日" | "天" => Some(7),
        day => number(day).filter(|day| (1..=7).contains(day)),
    }
}

/// Reads a weekday that heads columns; a number alone is none.
pub fn weekday_of_header(text: &str) -> Option<u8> {
    weekday_named(&plain(text))
}

/// Gives a weekday's name as a timetable has it, 1 for Monday.
pub fn weekday_name(day: u8) -> &'static str {
    const NAMES: [&str; 7] = ["周一", "周二", "周三", "周四", "周五", "周六", "周日"];
    usize::from(day).checked_sub(1).and_then(|place| NAMES.get(place)).copied().unwrap_or("")
}

/// Reads a weekday and one period of it: 周一1, 星期三第2节, 周五-4.
pub fn day_and_period(text: &str) -> Option<(u8, u8)> {
    let text = plain(text);
    let prefix = ["星期", "周", "礼拜"].iter().find(|prefix| text.starts_with(**prefix))?;
    let day_chars = prefix.chars().count() + 1;
    let split = text.char_indices().nth(day_chars).map(|(at, _)| at)?;
    let (day, period) = text.split_at(split);
    match periods(period)[..] {
        [period] => Some((weekday_named(day)?, period)),
        _ => None,
    }
}

/// Reads a number from 1 to 99 in digits or in Chinese.
fn number(text: &str) -> Option<u8> {
    if let Ok(number) = text.parse::<u8>() {
        return (1..=99).contains(&number).then_some(number);
    }
    let digit =
        |c: char| DIGITS.iter().position(|d| *d == c).and_then(|i| u8::try_from(i + 1).ok());
    match text.chars().map(digit).collect::<Option<Vec<u8>>>()?.as_slice() {
        [n] => Some(*n),
        [10, n] if *n < 10 => Some(10 + n),
        [n, 10] if *n < 10 => Some(10 * n),
        [tens, 10, n] if *tens < 10 && *n < 10 => Some(10 * tens + n),
        _ => None,
    }
}

/// Reads the numbers of periods: 第三节, 3, 上午第3节, 1-2, 3、4; none if there is none.
pub fn periods(text: &str) -> Vec<u8> {
    let text = plain(text);
    if text.contains(':') {
        return Vec::new();
    }
    let parts: Option<Vec<Vec<u8>>> =
        text.split(['、', ',', ';', '/', '和']).take(PARTS_MAX + 1).map(part_of_day).collect();
    let numbers = parts.filter(|parts| parts.len() <= PARTS_MAX).unwrap_or_default().concat();
    // All that is named or nothing: what is left out is told.
    if numbers.windows(2).all(|pair| pair[0] < pair[1]) { numbers } else { Vec::new() }
}

/// Reads 第三节, 3 or 1-2; none if it is neither.
fn part_of_day(text: &str) -> Option<Vec<u8>> {
    let is_number = |c: char| c.is_ascii_digit() || DIGITS.contains(&c);
    let numbers = text.split(|c| !is_number(c)).filter(|part| !part.is_empty());
    let numbers: Vec<u8> = numbers.take(PARTS_MAX + 1).map(number).collect::<Option<_>>()?;
    match numbers[..] {
        [from, to] if text.contains(UNTIL) => {
            (from < to && to - from < 8).then(|| (from..=to).collect())
        }
        [_, _, _, ..] if text.contains(UNTIL) => None,
        _ => (numbers.len() <= PARTS_MAX).then_some(numbers),
    }
}

/// Finds `8:30-9:10` in a text.
pub fn times(text: &str) -> Option<(ClockTime, ClockTime)> {
    let mut found = clock_times(text);
    let (start, end) = (found.next()?, found.next()?);
    (start < end).then_some((start, end))
}

/// Finds the times of the day in a text.
pub fn clock_times(text: &str) -> impl Iterator<Item = ClockTime> {
    let text: String = text.chars().map(|c| if c == '：' { ':' } else { c }).collect();
    let parts: Vec<String> = text
        .split(|c: char| !c.is_ascii_digit() && c != ':')
        .filter(|part| part.contains(':'))
        .map(str::to_owned)
        .collect();
    parts.into_iter().filter_map(|part| part.parse().ok())
}

/// Reads in which weeks a lesson is, and how many weeks the cycle has for that: 单周, 双, A周, 2/3.
pub fn weeks(text: &str) -> Option<(Vec<u8>, u8)> {
    let text = plain(text);
    let text = text.trim_matches(['(', ')', '[', ']', '【', '】']);
    match text {
        "" | "每周" | "全周" | "全" | "单双周" | "all" | "every" => {
            return Some((Vec::new(), 1));
        }
        "单" | "单周" | "odd" | "a" | "a周" => return Some((vec![1], 2)),
        "双" | "双周" | "even" | "b" | "b周" => return Some((vec![2], 2)),
        _ => {}
    }
    if let Some((week, cycle)) = text.split_once('/') {
        let (week, cycle): (u8, u8) = (week.parse().ok()?, cycle.parse().ok()?);
        return ((1..=8).contains(&cycle) && (1..=cycle).contains(&week))
            .then(|| (vec![week], cycle));
    }
    // 1-16周 is the whole term; 1-16单周 its odd weeks.
    let (from, rest) = text.split_once(['-', '~'])?;
    from.trim_start_matches('第').parse::<u8>().ok()?;
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    let rest = rest.replace(['(', ')'], "").replace('周', "");
    match rest.as_str() {
        "" => Some((Vec::new(), 1)),
        "单" => Some((vec![1], 2)),
        "双" => Some((vec![2], 2)),
        _ => None,
    }
}

/// Reads from which week of a term to which: 1-16周, 第1-8单周.
pub fn week_range(text: &str) -> Option<(u8, u8)> {
    let text = plain(text);
    let (from, to) = text.trim_matches(['(', ')', '[', ']', '【', '】']).split_once(['-', '~'])?;
    let to = to.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((from.trim_start_matches('第').parse().ok()?, to.parse().ok()?))
}

/// Gives a subject as lessons have it, if it is one of theirs.
pub fn known_subject(text: &str) -> Option<&'static str> {
    let text = plain(text);
    SUBJECTS.iter().find(|(_, words)| words.contains(&text.as_str())).map(|(subject, _)| *subject)
}

/// Reads how a lesson is taught.
pub fn mode(text: &str) -> Option<Mode> {
    Some(match plain(text).as_str() {
        "直播" | "直播课" | "同步直播" | "live" => Mode::Live,
        "录播" | "录播课" | "点播" | "recorded" => Mode::Recorded,
        "植入" | "植入式" | "embedded" => Mode::Embedded,
        "观摩" | "observe" => Mode::Observe,
        "本校" | "本地" | "线下" | "面授" | "local" => Mode::Local,
        _ => return None,
    })
}

/// Says whether a text stands where a lesson could, and is none.
pub fn is_no_lesson(text: &str) -> bool {
    NO_LESSON.contains(&plain(text).as_str())
}

/// Says whether a text names no lesson and nobody.
pub fn is_none(text: &str) -> bool {
    text.is_empty() || is_no_lesson(text)
}

/// Says whether a text names a room.
pub fn is_room(text: &str) -> bool {
    const ROOMS: [&str; 8] =
        ["操场", "机房", "礼堂", "多媒体", "体育馆", "报告厅", "食堂", "图书馆"];
    let text = plain(text);
    let has_digits = text.bytes().filter(u8::is_ascii_digit).count() >= 3;
    text.ends_with('室') || ROOMS.contains(&text.as_str()) || has_digits
}

/// Finds the name of a class in a text such as 五年级1班课程表.
pub fn class_in(text: &str) -> Option<String> {
    let text = text.lines().next().unwrap_or_default().trim();
    let label = text.split_once(['：', ':']);
    let text = label.filter(|(label, _)| label.contains('班')).map_or(text, |(_, name)| name);
    let mut name: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    for word in ["课程表", "课表", "作息时间表", "周课表", "上课", "总"] {
        name = name.replace(word, "");
    }
    // 石门村小学五年级1班: what comes before the grade is the school's.
    for school in ["小学", "中学", "学校", "教学点"] {
        if let Some(place) = name.find(school) {
            name = name[place + school.len()..].to_owned();
        }
    }
    let is_class = name.contains('班') || name.contains("年级") || grade_of(&name).is_some();
    let is_short = (2..=20).contains(&name.chars().count());
    (is_class && is_short && Field::of_header(&name).is_none()).then_some(name)
}

/// Gives the grade that the name of a class says.
pub fn grade_of(class: &str) -> Option<&'static str> {
    const GRADES: [&str; 12] = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"];
    let class = plain(class);
    if class.contains("学前") || class.contains("幼儿") {
        return Some("k");
    }
    let after = |prefix: char| {
        let digit = class.strip_prefix(prefix)?.chars().next()?;
        number(&digit.to_string()).filter(|n| (1..=3).contains(n))
    };
    let grade = match class.split_once("年级") {
        Some((grade, _)) => number(grade),
        None => after('初').map(|n| n + 6).or_else(|| after('高').map(|n| n + 9)),
    };
    GRADES.get(usize::from(grade?.checked_sub(1)?)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_days_and_numbers_are_read_as_schools_write_them() {
        for (text, day) in [
            ("星期一", 1),
            ("周日", 7),
            ("Fri", 5),
            ("六", 6),
            ("3", 3),
            ("礼拜天", 7),
            ("星期２", 2),
        ] {
            assert_eq!(weekday(text), Some(day), "{text}");
        }
        assert_eq!((weekday("八"), weekday("周"), weekday("")), (None, None, None));
        for (text, expected) in [
            ("第三节", &[3][..]),
            ("上午第1节", &[1]),
            ("1-2", &[1, 2]),
            ("第3、4节", &[3, 4]),
            ("十二", &[12]),
            ("8:30", &[]),
            ("晨读", &[]),
            ("100", &[]),
        ] {
            assert_eq!(periods(text), expected, "{text}");
        }
        let fields = ["星期", "节次/星期", "任课教师", "Subject", "周三", "备注"];
        let guessed = fields.map(Field::of_header);
        let expected =
            [Field::Weekday, Field::Period, Field::Lead, Field::Subject, Field::Wednesday];
        assert_eq!(guessed[..5], expected.map(Some));
        assert_eq!(guessed[5], None);
    }

    #[test]
    fn weeks_times_and_classes_are_found() {
        assert_eq!(weeks("单周"), Some((vec![1], 2)));
        assert_eq!(
            ["1-16周", "第9-16单周", "1/2", "x-3"].map(week_range),
            [Some((1, 16)), Some((9, 16)), None, None]
        );
        assert_eq!(weeks("（双）"), Some((vec![2], 2)));
        assert_eq!(weeks("2/3"), Some((vec![2], 3)));
        assert_eq!(weeks("1-16周"), Some((vec![], 1)));
        assert_eq!(weeks("1-16周(单)"), Some((vec![1], 2)));
        assert_eq!((weeks("9/8"), weeks("下周"), weeks("4/3")), (None, None, None));
        let shown = |text| times(text).map(|(from, to)| format!("{from} {to}"));
        assert_eq!(shown("第一节\n8：30—9:10").as_deref(), Some("08:30 09:10"));
        assert_eq!(shown("9:10-8:30"), None);
        assert_eq!(class_in("石门村小学五年级1班课程表").as_deref(), Some("五年级1班"));
        assert_eq!(class_in("班级：高一（3）班").as_deref(), Some("高一（3）班"));
        assert_eq!((class_in("2026年秋季课程表"), class_in("班级")), (None, None));
        assert_eq!((grade_of("五年级1班"), grade_of("初二3班")), (Some("5"), Some("8")));
        assert_eq!((grade_of("高三（12）班"), grade_of("一班")), (Some("12"), None));
    }
}

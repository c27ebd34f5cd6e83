//! The morning slip 早间就绪单: the day's remote lessons on one sheet of A4, for the wall of the
//! staff room. Plain HTML without a script; what is read from it is what this disk holds.

use std::fmt::Write as _;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::fresh::{self, Progress};
use super::overview::{self, Moment, NightView, parse_date};
use super::readiness::{EntryReadiness, NextStep, Reason};
use crate::app::App;
use crate::catalog::readiness::{ReadinessState, TierName};
use crate::problem::{ApiError, Problem};
use crate::timetable::Entry;
use crate::timetable::term::Mode;

/// Lines that fit one sheet at the normal size; with more, type and lines get smaller.
const LINES_NORMAL: usize = 18;
/// Lines that fit one sheet at the smallest size that can be read on a wall; the rest is counted.
const LINES_MAX: usize = 44;
/// A slip whose lessons are still being read asks again after so many seconds.
const AGAIN_S: u32 = 2;
/// The language of a slip that nobody has asked another one of.
const ZH_LANG: &str = "zh";
/// Nothing but the page's own style, and that inline; no script, no picture, no frame.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'",
);

/// What is asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub struct SlipQuery {
    /// `YYYY-MM-DD`; as in `/night`.
    pub date: Option<String>,
    /// `zh` or `en`.
    pub lang: Option<String>,
}

/// Shows the morning slip, ready to be printed on one A4 sheet.
#[utoipa::path(get, path = "/night/slip", tag = "night", params(SlipQuery), responses(
    (status = 200, content_type = "text/html", body = String), (status = 422, body = Problem),
))]
pub async fn show(
    State(app): State<App>,
    query: Result<Query<SlipQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query?;
    let date = query.date.as_deref().map(parse_date).transpose()?;
    let lang = query.lang.as_deref().unwrap_or(ZH_LANG);
    words(lang)?;
    let at = Moment::now(&app);
    overview::read_now(&app, date, &at).await?;
    app.fresh.wait(None, fresh::SLIP_WAIT).await;
    let view = overview::view(&app, date, &at).await?;
    let page = of(&app, &view, lang)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    Ok((headers, page).into_response())
}

fn words(lang: &str) -> Result<&'static Words, ApiError> {
    match lang {
        ZH_LANG => Ok(&ZH),
        "en" => Ok(&EN),
        _ => Err(ApiError::invalid_input("lang", "zh or en")),
    }
}

/// Writes the slip of a night in a language.
///
/// # Errors
/// If it is none of the two.
pub(super) fn of(app: &App, view: &NightView, lang: &str) -> Result<String, ApiError> {
    // What the lights say counts: a round that has ended since is no reason not to ask again.
    let summary = &view.summary;
    let ended = Progress { done: summary.total, total: summary.total };
    let progress = (summary.checking > 0).then(|| app.fresh.progress().unwrap_or(ended));
    let school = app.school_name().unwrap_or_default();
    let offset = app.sync.news().policy().utc_offset_min;
    Ok(page(view, progress, &school, offset, words(lang)?))
}

/// The words of one language.
struct Words {
    lang: &'static str,
    title: &'static str,
    weekdays: [&'static str; 7],
    columns: [&'static str; 6],
    states: [&'static str; 3],
    checking: &'static str,
    checking_all: &'static str,
    tiers: [&'static str; 4],
    modes: [&'static str; 5],
    checked: &'static str,
    printed: &'static str,
    support: &'static str,
    nothing: &'static str,
    no_lesson: &'static str,
    clock: &'static str,
    more: &'static str,
    count: [&'static str; 4],
}

const ZH: Words = Words {
    lang: "zh-CN",
    title: "早间就绪单",
    weekdays: ["星期一", "星期二", "星期三", "星期四", "星期五", "星期六", "星期日"],
    columns: ["节次", "班级", "课程", "主讲 / 辅导", "状态", "下一步"],
    states: ["✔ 已就绪", "◐ 降级就绪", "✘ 未就绪"],
    checking: "◌ 正在核对",
    checking_all: "正在从磁盘核对今天的课，核对完再打印。已核对",
    tiers: ["原画", "清晰", "流畅", "声音+课件"],
    modes: ["本校", "直播", "录播", "植入", "观摩"],
    checked: "核对于",
    printed: "打印时间",
    support: "服务编号",
    nothing: "这一天没有远程课。",
    no_lesson: "（未选课件）",
    clock: "时间可能不准：请检查本机时钟。",
    more: "另有未列出的课：",
    count: ["节远程课", "节已就绪", "节降级就绪", "节未就绪"],
};

const EN: Words = Words {
    lang: "en",
    title: "Morning slip",
    weekdays: ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
    columns: ["Period", "Class", "Lesson", "Lead / tutor", "State", "Next step"],
    states: ["✔ Ready", "◐ Lower quality", "✘ Not ready"],
    checking: "◌ Being checked",
    checking_all: "Lessons are being read off the disk; print when that is done. Checked:",
    tiers: ["original", "clear", "smooth", "sound + slides"],
    modes: ["own", "live", "recorded", "embedded", "observe"],
    checked: "checked",
    printed: "Printed",
    support: "Support number",
    nothing: "No remote lessons on this day.",
    no_lesson: "(no lesson chosen)",
    clock: "The time may be wrong: check this machine's clock.",
    more: "Lessons not listed:",
    count: ["remote lessons", "ready", "at lower quality", "not ready"],
};

/// Gives what to do, in words.
fn advice(words: &Words, light: &EntryReadiness) -> String {
    let is_zh = words.lang != "en";
    let step = match (light.next_step, is_zh) {
        (NextStep::None, _) => "",
        (NextStep::Wait, true) => "自动下载，请等待",
        (NextStep::Wait, false) => "comes by itself",
        (NextStep::ChooseLesson, true) => "请在课表中选课",
        (NextStep::ChooseLesson, false) => "choose a lesson",
        (NextStep::Courier, true) => "请用 U 盘取课",
        (NextStep::Courier, false) => "have it brought on a stick",
        (NextStep::MakeRoom, true) => "请清理磁盘空间",
        (NextStep::MakeRoom, false) => "make room on the disk",
        (NextStep::Reconnect, true) => "请检查网络",
        (NextStep::Reconnect, false) => "check the network",
        (NextStep::AskLead, true) => "请联系主讲学校",
        (NextStep::AskLead, false) => "ask the lead school",
        (NextStep::CheckDisk, true) => "请检查或更换磁盘",
        (NextStep::CheckDisk, false) => "see to the disk",
    };
    let reason = match (light.reason, is_zh) {
        (None | Some(Reason::NotArrived), _) => "",
        (Some(Reason::Importing), true) => "正在制作",
        (Some(Reason::Importing), false) => "being made",
        (Some(Reason::ImportFailed), true) => "制作失败",
        (Some(Reason::ImportFailed), false) => "could not be made",
        (Some(Reason::NoLesson), true) => "未选课件",
        (Some(Reason::NoLesson), false) => "no lesson chosen",
        (Some(Reason::Damaged), true) => "文件损坏，正在修复",
        (Some(Reason::Damaged), false) => "was damaged, is mended",
        (Some(Reason::Deleted), true) => "课件已被撤回",
        (Some(Reason::Deleted), false) => "taken back",
        (Some(Reason::DiskFull), true) => "磁盘已满",
        (Some(Reason::DiskFull), false) => "disk full",
        (Some(Reason::NoContact), true) => "没有连接",
        (Some(Reason::NoContact), false) => "no contact",
        (Some(Reason::DiskFails), true) => "磁盘读不出来",
        (Some(Reason::DiskFails), false) => "the disk fails",
    };
    let parts: Vec<&str> = [reason, step].into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(if is_zh { "；" } else { "; " })
}

fn page(
    view: &NightView,
    progress: Option<Progress>,
    school: &str,
    utc_offset_min: i32,
    words: &Words,
) -> String {
    let shown = view.entries.len().min(LINES_MAX);
    let class = if shown > LINES_NORMAL { "tight" } else { "normal" };
    let weekday = words.weekdays[usize::from(view.date.weekday().to_monday_zero_offset() as u8)];
    let school = escape(school);
    let again = progress.map(|_| format!("<meta http-equiv=\"refresh\" content=\"{AGAIN_S}\">"));
    let again = again.unwrap_or_default();
    let mut page = format!(
        "<!doctype html>\n<html lang=\"{}\"><head><meta charset=\"utf-8\">{again}\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{} {}</title>\
         <style>{STYLE}</style></head><body class=\"{class}\">\
         <header><h1>{}</h1><p>{school}</p><p><strong>{} {weekday}</strong></p></header>",
        words.lang, words.title, view.date, words.title, view.date,
    );
    let summary = &view.summary;
    let counts = [summary.total, summary.ready, summary.ready_at, summary.not_ready];
    let counts = counts.iter().zip(words.count).map(|(n, word)| format!("<b>{n}</b> {word}"));
    push(
        &mut page,
        format_args!("<p class=\"sum\">{}</p>", counts.collect::<Vec<_>>().join(" · ")),
    );
    if let Some(Progress { done, total }) = progress {
        push(
            &mut page,
            format_args!("<p class=\"clock\">{} {done}/{total}</p>", words.checking_all),
        );
    }
    if summary.clock_doubt {
        push(&mut page, format_args!("<p class=\"clock\">{}</p>", words.clock));
    }
    if view.entries.is_empty() {
        push(&mut page, format_args!("<p>{}</p>", words.nothing));
    } else {
        push(&mut page, format_args!("<table><thead><tr>"));
        words.columns.iter().for_each(|word| push(&mut page, format_args!("<th>{word}</th>")));
        push(&mut page, format_args!("</tr></thead><tbody>"));
        view.entries[..shown]
            .iter()
            .for_each(|entry| line(&mut page, entry, utc_offset_min, words));
        push(&mut page, format_args!("</tbody></table>"));
    }
    let hidden = view.entries.len() - shown;
    if hidden > 0 {
        push(&mut page, format_args!("<p class=\"more\">{} {hidden}</p>", words.more));
    }
    push(
        &mut page,
        format_args!(
            "<footer>{} {} · {} {}</footer></body></html>\n",
            words.printed,
            stamp(view.now, utc_offset_min),
            words.support,
            view.number_for_support,
        ),
    );
    page
}

fn line(page: &mut String, entry: &Entry, utc_offset_min: i32, words: &Words) {
    let Some(light) = &entry.readiness else { return };
    let place = match light.state {
        ReadinessState::Ready => 0,
        ReadinessState::ReadyAt => 1,
        ReadinessState::NotReady => 2,
    };
    let mode = words.modes[match entry.mode {
        Mode::Local => 0,
        Mode::Live => 1,
        Mode::Recorded => 2,
        Mode::Embedded => 3,
        Mode::Observe => 4,
    }];
    let title = entry.lesson.as_ref().map_or(words.no_lesson, |lesson| lesson.title.as_str());
    let state = if light.is_checking { words.checking } else { words.states[place] };
    let tier = light.tier.map(|tier| format!(" · {}", words.tiers[tier_place(tier)]));
    let teachers: Vec<&str> =
        [entry.lead.as_str(), &entry.tutor].into_iter().filter(|name| !name.is_empty()).collect();
    let checked = light.checked_at.map(|at| {
        let at = stamp(at, utc_offset_min);
        format!("{} {}", words.checked, at.get(5..).unwrap_or_default())
    });
    push(
        page,
        format_args!(
            "<tr class=\"s{place}\"><td><b>{}</b> {}–{}</td><td>{}<small>{}</small></td>\
         <td>{}<small>{mode}{}</small></td><td>{}</td>\
         <td><b>{}</b><small>{}</small></td><td>{}</td></tr>",
            entry.period.no,
            entry.period.start,
            entry.period.end,
            escape(&entry.class.name),
            escape(&entry.room),
            escape(title),
            tier.unwrap_or_default(),
            escape(&teachers.join(" / ")),
            state,
            checked.unwrap_or_default(),
            advice(words, light),
        ),
    );
}

fn tier_place(tier: TierName) -> usize {
    super::readiness::rank(tier).min(3)
}

/// Gives `YYYY-MM-DD HH:MM` in local time.
fn stamp(at_ms: i64, utc_offset_min: i32) -> String {
    let date = crate::timetable::day::date_at(at_ms, utc_offset_min);
    let minute = (at_ms.div_euclid(60_000) + i64::from(utc_offset_min)).rem_euclid(24 * 60);
    format!("{date} {:02}:{:02}", minute / 60, minute % 60)
}

fn push(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.write_fmt(text).expect("writing to a string works");
}

/// Makes a text harmless in HTML.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// One sheet: long words are cut and no line takes more than two rows of type.
const STYLE: &str = "@page{size:A4 portrait;margin:10mm}\
    *{box-sizing:border-box}\
    body{font:11pt/1.25 'Noto Sans CJK SC','Source Han Sans SC','Microsoft YaHei',sans-serif;\
    color:#000;background:#fff;margin:0 auto;max-width:190mm;padding:4mm 0}\
    header{display:flex;justify-content:space-between;align-items:baseline;\
    border-bottom:1.5pt solid #000}\
    h1{font-size:20pt;margin:0}header p{margin:0}\
    .sum{font-size:13pt;margin:3mm 0}\
    .clock{border:1.5pt solid #000;padding:1mm 2mm;margin:1mm 0;font-weight:bold}\
    table{width:100%;border-collapse:collapse;table-layout:fixed}\
    th,td{border:.5pt solid #666;padding:.8mm 1.2mm;text-align:left;vertical-align:top;\
    overflow:hidden;text-overflow:ellipsis;white-space:nowrap}\
    th:nth-child(1){width:35mm}th:nth-child(2){width:30mm}th:nth-child(4){width:22mm}\
    th:nth-child(5){width:35mm}th:nth-child(6){width:33mm}\
    td:last-child{white-space:normal;font-size:.75em;line-height:1.15}\
    small{display:block;font-size:.75em;color:#333;overflow:hidden;text-overflow:ellipsis}\
    tr{break-inside:avoid}.s2 td{background:#eee;font-weight:bold}\
    footer{margin-top:3mm;font-size:9pt}.more{margin:1mm 0}\
    .tight{font-size:7.5pt;line-height:1.06}.tight h1{font-size:12pt}\
    .tight th,.tight td{padding:.1mm 1mm}.tight .sum{font-size:10pt;margin:1mm 0}\
    .tight .clock{padding:.2mm 2mm;margin:.5mm 0}.tight footer{margin-top:1.5mm;font-size:8pt}\
    @media print{body{padding:0}}\
    @media screen and (max-width:760px){body{padding:3mm}header{flex-wrap:wrap}thead{display:none}\
    table,tbody,tr,td{display:block;width:auto}td{border:0;white-space:normal}\
    tr{border:.5pt solid #666;margin-bottom:2mm}}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_cannot_become_a_tag() {
        assert_eq!(escape("<b>\"R&D\""), "&lt;b&gt;&quot;R&amp;D&quot;");
    }

    #[test]
    fn chinese_words_have_chinese_punctuation() {
        let is_han = |c: char| ('\u{4e00}'..='\u{9fff}').contains(&c);
        let source = include_str!("slip.rs").split("#[cfg(test)]").next().unwrap();
        for line in source.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let words: String = line.split('"').skip(1).step_by(2).collect::<Vec<_>>().join(" ");
            let chars: Vec<char> = words.chars().collect();
            let is_wrong = |pair: &[char]| is_han(pair[0]) && ",;:()".contains(pair[1]);
            assert!(!chars.windows(2).any(is_wrong), "{words}");
        }
    }

    #[test]
    fn a_stamp_is_local() {
        assert_eq!(stamp(1_795_363_200_000, 480), "2026-11-23 00:00");
        assert_eq!(stamp(1_795_363_200_000, 0), "2026-11-22 16:00");
    }
}

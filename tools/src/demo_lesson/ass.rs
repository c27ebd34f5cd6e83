//! Words and shapes as an Advanced SubStation script, which libass draws on 1280×720.

use std::f64::consts::TAU;
use std::fmt::Write;

/// Red, green, blue.
pub type Colour = u32;

/// Where a text's position is in the text: libass's `\an` numbers.
#[derive(Clone, Copy)]
pub enum Anchor {
    /// The middle of its left side.
    Left = 4,
    /// Its middle.
    Middle = 5,
}

/// Something on a slide, positions in pixels from the top left.
#[derive(Clone)]
pub enum Item {
    /// One line of text.
    Text { x: f64, y: f64, anchor: Anchor, size: u32, colour: Colour, is_bold: bool, text: String },
    /// A closed outline that is filled; an optional rim of 3 pixels.
    Shape { outline: Vec<(f64, f64)>, fill: Colour, rim: Option<Colour> },
}

impl Item {
    /// Gives the text's position, or the outline's first point.
    #[cfg(test)]
    pub fn anchor(&self) -> (f64, f64) {
        match self {
            Item::Text { x, y, .. } => (*x, *y),
            Item::Shape { outline, .. } => outline[0],
        }
    }
}

/// An item and when it is there.
pub struct Event {
    /// What.
    pub item: Item,
    /// From when, milliseconds.
    pub from_ms: u64,
    /// Until when, milliseconds.
    pub to_ms: u64,
}

/// Gives an axis-parallel rectangle.
pub fn rectangle(x: f64, y: f64, width: f64, height: f64) -> Vec<(f64, f64)> {
    vec![(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
}

/// Gives a sector of a disc, from and to in turns, clockwise from the top.
pub fn sector(x: f64, y: f64, radius: f64, from: f64, to: f64) -> Vec<(f64, f64)> {
    // A point every degree: straight lines that no eye can tell from an arc at this size.
    let steps = ((to - from) * 360.0).ceil().max(1.0) as usize;
    let on_arc = |i: usize| {
        let angle = (from + (to - from) * i as f64 / steps as f64) * TAU;
        (x + radius * angle.sin(), y - radius * angle.cos())
    };
    let mut outline: Vec<_> = (0..=steps).map(on_arc).collect();
    if to - from < 1.0 {
        outline.push((x, y));
    }
    outline
}

/// Gives the whole script; later events lie above earlier ones.
pub fn script(font: &str, events: &[Event]) -> String {
    let mut script = format!(
        "[Script Info]\nScriptType: v4.00+\nPlayResX: 1280\nPlayResY: 720\nWrapStyle: 2\n\
         ScaledBorderAndShadow: yes\n\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize, \
         PrimaryColour, OutlineColour, Bold, BorderStyle, Outline, Shadow, Alignment, Encoding\n\
         Style: D,{font},40,&H00000000,&H00000000,0,1,0,0,7,1\n\n[Events]\n\
         Format: Layer, Start, End, Style, Text\n"
    );
    for (layer, event) in events.iter().enumerate() {
        let (from, to) = (clock(event.from_ms), clock(event.to_ms));
        let text = describe(&event.item);
        writeln!(script, "Dialogue: {layer},{from},{to},D,{{\\fad(240,0)}}{text}")
            .expect("a String takes all");
    }
    script
}

fn describe(item: &Item) -> String {
    match item {
        Item::Text { x, y, anchor, size, colour, is_bold, text } => format!(
            "{{\\an{}\\pos({x},{y})\\fs{size}\\b{}\\1c{}}}{text}",
            *anchor as u8,
            u8::from(*is_bold),
            bgr(*colour)
        ),
        Item::Shape { outline, fill, rim } => {
            let border = rim.map_or("\\bord0".into(), |rim| format!("\\bord3\\3c{}", bgr(rim)));
            let mut path = String::new();
            for (i, (x, y)) in outline.iter().enumerate() {
                let verb = match i {
                    0 => "m ",
                    1 => "l ",
                    _ => "",
                };
                write!(path, "{verb}{:.0} {:.0} ", x * 8.0, y * 8.0).expect("a String takes all");
            }
            // \p4: the unit is an eighth of a pixel, so that arcs are smooth.
            format!("{{\\an7\\pos(0,0){border}\\1c{}\\p4}}{}{{\\p0}}", bgr(*fill), path.trim_end())
        }
    }
}

fn bgr(colour: Colour) -> String {
    let [_, r, g, b] = colour.to_be_bytes();
    format!("&H{b:02X}{g:02X}{r:02X}&")
}

fn clock(ms: u64) -> String {
    let cs = ms / 10;
    format!("{}:{:02}:{:02}.{:02}", cs / 360_000, cs / 6000 % 60, cs / 100 % 60, cs % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_colours_are_written_as_libass_reads_them() {
        assert_eq!(clock(3_723_450), "1:02:03.45");
        assert_eq!(bgr(0x11_22_33), "&H332211&");
    }

    #[test]
    fn a_quarter_of_a_disc_begins_at_the_top_and_ends_at_the_right_and_the_middle() {
        let outline = sector(100.0, 100.0, 50.0, 0.0, 0.25);
        let near =
            |(x, y): (f64, f64), a: f64, b: f64| (x - a).abs() < 1e-9 && (y - b).abs() < 1e-9;
        assert!(near(outline[0], 100.0, 50.0));
        assert!(near(outline[90], 150.0, 100.0));
        assert!(near(outline[91], 100.0, 100.0));
    }
}

//! The words and figures of 《分数的意义》, a lesson of grade five.

use super::ass::{Anchor, Colour, Item, rectangle, sector};
use super::{Beat, Slide};

const INK: Colour = 0x1F2A37;
const GREY: Colour = 0x6B7280;
const BLUE: Colour = 0x1D4E89;
const AMBER: Colour = 0xF2A33A;
const PALE: Colour = 0xF6E7C8;
const GREEN: Colour = 0x2F855A;
const RED: Colour = 0xC2413B;
const WHITE: Colour = 0xFFFFFF;
const BROWN: Colour = 0x8A5A1B;

/// Gives the slides in order.
pub fn all() -> Vec<Slide> {
    vec![cover(), equal_parts(), names(), whole(), number_line(), exercise(), summary()]
}

fn cover() -> Slide {
    let mut frame = vec![
        shape(rectangle(0.0, 0.0, 1280.0, 720.0), BLUE),
        shape(rectangle(96.0, 268.0, 10.0, 168.0), AMBER),
        text(134.0, 300.0, 92, WHITE, true, "分数的意义"),
        text(136.0, 398.0, 40, 0xD6E4F5, false, "The meaning of fractions"),
        text(136.0, 548.0, 30, 0xD6E4F5, false, "数学 · 五年级下册　　城区实验小学　陈老师"),
    ];
    frame.extend(pie(980.0, 352.0, 190.0, 4, 3));
    Slide {
        frame,
        beats: vec![
            beat("同学们好，今天我们学习，分数的意义。", vec![]),
            beat("请大家准备好练习本和铅笔。", vec![]),
        ],
    }
}

fn equal_parts() -> Slide {
    let mut halves = pie(300.0, 350.0, 130.0, 2, 1);
    halves.extend(fraction(300.0, 580.0, 44, "1", "2", BLUE));
    let mut quarters = pie(640.0, 350.0, 130.0, 4, 1);
    quarters.extend(fraction(640.0, 580.0, 44, "1", "4", BLUE));
    let unequal = vec![
        rimmed(sector(980.0, 350.0, 130.0, 0.0, 1.0), PALE, BROWN),
        rimmed(sector(980.0, 350.0, 130.0, 0.08, 0.3), AMBER, BROWN),
        middle(980.0, 556.0, 60, RED, "×"),
        middle(980.0, 606.0, 30, RED, "不是平均分  not equal parts"),
    ];
    Slide {
        frame: framed(2, "平均分", "Equal parts"),
        beats: vec![
            beat("把一块月饼平均分给两个人，每人得到它的二分之一。", halves),
            beat("平均分成四份，每一份是它的四分之一。", quarters),
            beat("这样分，行不行呢？不行，因为没有平均分。", unequal),
        ],
    }
}

fn names() -> Slide {
    let bar = vec![
        shape(rectangle(250.0, 382.0, 190.0, 9.0), INK),
        label(640.0, 386.0, "分数线", "the line: 平均分"),
        shape(rectangle(470.0, 385.0, 140.0, 3.0), GREY),
    ];
    let below = vec![
        middle(345.0, 484.0, 150, BLUE, "4"),
        label(640.0, 494.0, "分母 4", "denominator: 一共平均分成 4 份"),
        shape(rectangle(470.0, 492.0, 140.0, 3.0), GREY),
    ];
    let above = vec![
        middle(345.0, 282.0, 150, AMBER, "3"),
        label(640.0, 282.0, "分子 3", "numerator: 取了其中的 3 份"),
        shape(rectangle(470.0, 280.0, 140.0, 3.0), GREY),
    ];
    Slide {
        frame: framed(3, "分数的各部分", "The parts of a fraction"),
        beats: vec![
            beat("中间的横线叫做分数线，表示平均分。", bar),
            beat("下面的数叫分母，表示一共平均分成四份。", below),
            beat("上面的数叫分子，表示取了其中的三份。", above),
            beat("读作，四分之三。", vec![middle(345.0, 616.0, 38, INK, "读作：四分之三")]),
        ],
    }
}

fn whole() -> Slide {
    let apple = |i: u32, colour| {
        let x = 225.0 + f64::from(i) * 110.0 + f64::from(i / 2) * 20.0;
        rimmed(sector(x, 320.0, 42.0, 0.0, 1.0), colour, 0x9B2C2C)
    };
    let groups = (0..4).map(|g| {
        let x = 170.0 + f64::from(g) * 240.0;
        rimmed(rectangle(x, 262.0, 220.0, 116.0), 0xFDF1DA, AMBER)
    });
    let mut grouped: Vec<Item> = groups.collect();
    grouped.extend((0..8).map(|i| apple(i, 0xE8A09A)));
    let mut taken: Vec<Item> = (0..6).map(|i| apple(i, RED)).collect();
    taken.extend(fraction(420.0, 520.0, 52, "3", "4", BLUE));
    taken.push(text(474.0, 520.0, 46, INK, false, "×  8 个  =  6 个苹果"));
    Slide {
        frame: framed(4, "单位“1”", "The whole can be many things"),
        beats: vec![
            beat(
                "一个整体，可以是一个物体，也可以是许多物体。",
                (0..8).map(|i| apple(i, 0xE8A09A)).collect(),
            ),
            beat("把八个苹果看作单位一，平均分成四份。", grouped),
            beat("取其中的三份，就是它的四分之三，也就是六个苹果。", taken),
        ],
    }
}

fn number_line() -> Slide {
    let x_of = |quarters: f64| 190.0 + quarters * 225.0;
    let tick = |q: f64| shape(rectangle(x_of(q) - 2.0, 366.0, 4.0, 36.0), INK);
    let dot = |q: f64, colour| rimmed(sector(x_of(q), 384.0, 15.0, 0.0, 1.0), colour, WHITE);
    let line = vec![
        shape(rectangle(150.0, 382.0, 980.0, 4.0), INK),
        shape(vec![(1130.0, 374.0), (1152.0, 384.0), (1130.0, 394.0)], INK),
        tick(0.0),
        tick(4.0),
        middle(x_of(0.0), 446.0, 44, INK, "0"),
        middle(x_of(4.0), 446.0, 44, INK, "1"),
    ];
    let mut half = vec![tick(2.0), dot(2.0, GREEN)];
    half.extend(fraction(x_of(2.0), 462.0, 40, "1", "2", GREEN));
    let mut quarters = vec![tick(1.0), tick(3.0), dot(1.0, BLUE), dot(3.0, AMBER)];
    quarters.extend(fraction(x_of(1.0), 462.0, 40, "1", "4", BLUE));
    quarters.extend(fraction(x_of(3.0), 462.0, 40, "3", "4", AMBER));
    let order = vec![middle(640.0, 612.0, 42, INK, "0 < 1/4 < 1/2 < 3/4 < 1")];
    Slide {
        frame: framed(5, "数轴上的分数", "Fractions on the number line"),
        beats: vec![
            beat("在数轴上，分数住在零和一的中间。", line),
            beat("正中间的点，是二分之一。", half),
            beat("再平均分一次，就找到四分之一和四分之三。", quarters),
            beat("越往右，分数越大。", order),
        ],
    }
}

fn exercise() -> Slide {
    let sweet = |i: u32, colour| {
        let (column, row) = (f64::from(i / 2), f64::from(i % 2));
        let x = 235.0 + column * 96.0 + (column / 2.0).floor() * 120.0;
        rimmed(rectangle(x, 300.0 + row * 84.0, 66.0, 54.0), colour, BROWN)
    };
    let mut question: Vec<Item> = (0..12).map(|i| sweet(i, PALE)).collect();
    question.push(middle(640.0, 224.0, 40, INK, "12 块糖的 2/3 是多少块？   What is 2/3 of 12?"));
    let think = vec![middle(640.0, 560.0, 36, GREY, "想一想，写在练习本上……")];
    let mut answer = vec![shape(rectangle(340.0, 520.0, 600.0, 84.0), 0xFBF7EE)];
    answer.extend((0..8).map(|i| sweet(i, AMBER)));
    answer.push(middle(640.0, 560.0, 48, GREEN, "12 ÷ 3 × 2 = 8（块）"));
    Slide {
        frame: framed(6, "练一练", "Your turn"),
        beats: vec![
            beat("练一练。十二块糖的三分之二，是多少块？", question),
            Beat { wait_ms: 4000, ..beat("请想一想，写在练习本上。", think) },
            beat("平均分成三份，每份四块，取两份，是八块。你做对了吗？", answer),
        ],
    }
}

fn summary() -> Slide {
    let line = |i: u32, zh: &str, en: &str| {
        let y = 262.0 + f64::from(i) * 112.0;
        vec![
            shape(sector(190.0, y, 26.0, 0.0, 1.0), AMBER),
            middle(190.0, y, 32, WHITE, &(i + 1).to_string()),
            text(244.0, y - 16.0, 42, INK, true, zh),
            text(244.0, y + 32.0, 27, GREY, false, en),
        ]
    };
    let mut frame = framed(7, "小结", "What we have learnt");
    frame.extend(pie(1010.0, 384.0, 140.0, 4, 3));
    Slide {
        frame,
        beats: vec![
            beat(
                "第一，要平均分。",
                line(0, "先把单位“1”平均分", "Divide the whole into equal parts"),
            ),
            beat(
                "第二，分母表示分成几份。",
                line(1, "分母：一共分成几份", "Denominator: how many parts in all"),
            ),
            beat(
                "第三，分子表示取了几份。",
                line(2, "分子：取了其中几份", "Numerator: how many parts are taken"),
            ),
            beat("今天的课就到这里，同学们再见。", vec![]),
        ],
    }
}

fn beat(speech: &'static str, items: Vec<Item>) -> Beat {
    Beat { speech, wait_ms: 0, items }
}

fn framed(number: u32, zh: &str, en: &str) -> Vec<Item> {
    vec![
        shape(rectangle(0.0, 0.0, 1280.0, 112.0), BLUE),
        shape(rectangle(0.0, 112.0, 1280.0, 6.0), AMBER),
        text(64.0, 56.0, 56, WHITE, true, zh),
        Item::Text {
            x: 640.0,
            y: 60.0,
            anchor: Anchor::Left,
            size: 32,
            colour: 0xD6E4F5,
            is_bold: false,
            text: en.into(),
        },
        text(64.0, 684.0, 22, GREY, false, "萤雪 Yingxue　《分数的意义》"),
        text(1170.0, 684.0, 22, GREY, false, &format!("{number} / 7")),
    ]
}

fn pie(x: f64, y: f64, radius: f64, parts: u32, taken: u32) -> Vec<Item> {
    let part = |i: u32| {
        let (from, to) = (f64::from(i) / f64::from(parts), f64::from(i + 1) / f64::from(parts));
        rimmed(sector(x, y, radius, from, to), if i < taken { AMBER } else { PALE }, BROWN)
    };
    (0..parts).map(part).collect()
}

fn fraction(x: f64, y: f64, size: u32, above: &str, below: &str, colour: Colour) -> Vec<Item> {
    let half = f64::from(size) * 0.62;
    let width = f64::from(size) * 0.9;
    vec![
        middle(x, y - half, size, colour, above),
        shape(rectangle(x - width / 2.0, y - 2.0, width, 4.0), colour),
        middle(x, y + half, size, colour, below),
    ]
}

fn label(x: f64, y: f64, zh: &str, en: &str) -> Item {
    let text = format!("{{\\b1}}{zh}{{\\b0\\fs30}}　{en}");
    Item::Text { x, y, anchor: Anchor::Left, size: 44, colour: INK, is_bold: false, text }
}

fn text(x: f64, y: f64, size: u32, colour: Colour, is_bold: bool, text: &str) -> Item {
    Item::Text { x, y, anchor: Anchor::Left, size, colour, is_bold, text: text.into() }
}

fn middle(x: f64, y: f64, size: u32, colour: Colour, text: &str) -> Item {
    Item::Text { x, y, anchor: Anchor::Middle, size, colour, is_bold: true, text: text.into() }
}

fn shape(outline: Vec<(f64, f64)>, fill: Colour) -> Item {
    Item::Shape { outline, fill, rim: None }
}

fn rimmed(outline: Vec<(f64, f64)>, fill: Colour, rim: Colour) -> Item {
    Item::Shape { outline, fill, rim: Some(rim) }
}

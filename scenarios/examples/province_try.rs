fn main() {
    let mut args = std::env::args().skip(1);
    let name = args.next().unwrap();
    let nights = args.next().unwrap().parse().unwrap();
    let leads: usize = args.next().unwrap().parse().unwrap();
    let mut preset = yingxue_scenarios::province::Preset::named(&name).unwrap();
    if leads > 0 {
        preset.receivers = preset.receivers * leads / preset.leads;
        preset.leads = leads;
    }
    let begin = std::time::Instant::now();
    let report = yingxue_scenarios::province::run(&preset, nights, 2, &|a, b| {
        eprintln!("{a}/{b} {:?}", begin.elapsed())
    });
    for line in report.lines() {
        println!("{line}");
    }
}

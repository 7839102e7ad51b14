//! dev
use bounced::classify::*;
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let dir = &args[0];
    let read = |p: &str| std::fs::read_to_string(p).unwrap();
    let mut files: Vec<_> =
        std::fs::read_dir(format!("{dir}/lexicon")).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort_by_key(|p| (!p.ends_with("en.toml"), p.clone()));
    let texts: Vec<(String, String)> =
        files.iter().map(|p| (p.display().to_string(), read(p.to_str().unwrap()))).collect();
    let refs: Vec<(&str, &str)> = texts.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let says: &'static Says =
        Box::leak(Box::new(Says::read(&read(&format!("{dir}/table.toml")), &refs).unwrap()));
    let drop: Vec<&str> = args[1].split(',').filter(|s| !s.is_empty()).collect();
    let rules =
        RuleSet::without(|r| drop.iter().any(|d| r.at.starts_with(d))).unwrap().with_says(says);
    for file in &args[2..] {
        let (mut n, mut cat, mut rea, mut wh) = (0, 0, 0, 0);
        let mut und = 0;
        for line in read(file).lines() {
            let f: Vec<&str> = line.split('\t').collect();
            let want: Vec<Reason> = f[1].split('|').filter_map(Reason::parse).collect();
            if want.is_empty() {
                continue;
            }
            let v = rules.judge(&Refusal {
                status_field: bounced::mail::EnhancedStatus::parse(f[2]),
                diagnostic: f[5],
                remote_mta: Some(f[4]).filter(|s| !s.is_empty()),
                recipient_domain: Some("example.com"),
                ..Refusal::default()
            });
            let r = v.reason.unwrap();
            let ok = want.contains(&r);
            let okc = want.iter().any(|w| w.category() == r.category());
            n += 1;
            rea += usize::from(ok);
            cat += usize::from(okc);
            und += usize::from(r == Reason::Undetermined);
            let hard = r.category() == Category::Hard && !okc;
            wh += usize::from(hard);
            if !ok {
                println!(
                    "{}{}\t{} want {}\t{}\t[{}] {}\t{}",
                    if hard { "WRONGHARD " } else { "" },
                    if okc { "r" } else { "C" },
                    r,
                    f[1],
                    v.rule,
                    v.matched,
                    f[0],
                    f[5]
                );
            }
        }
        println!(
            "## {file}: n {n} category {:.1} reason {:.1} undetermined {:.1} wrong_hard {wh}",
            100.0 * cat as f64 / n as f64,
            100.0 * rea as f64 / n as f64,
            100.0 * und as f64 / n as f64
        );
    }
}

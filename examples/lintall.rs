//! dev
use bounced::classify::*;
fn main() {
    for f in RuleSet::shipped().check() { println!("{:?} {f}", f.kind); }
    println!("phrases {}", Says::shipped().phrases());
}

#![doc = "The report."]
#![forbid(unsafe_code)]
fn main() {}

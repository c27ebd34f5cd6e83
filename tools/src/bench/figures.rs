//! What a bench prints: figures by name, and on standard error what it is doing.

use anyhow::Result;
use serde_json::{Map, Value, json};

/// Figures by name, in the order in which they were measured.
#[derive(Default)]
pub struct Figures(Map<String, Value>);

impl Figures {
    /// Keeps a figure, to three decimals.
    pub fn put(&mut self, name: &str, value: f64) {
        let rounded = (value * 1000.0).round() / 1000.0;
        say(&format!("{name} = {rounded}"));
        self.0.insert(name.into(), json!(rounded));
    }

    /// Keeps a figure that was measured; says of one that was not why it is missing.
    pub fn put_or_leave_out(&mut self, name: &str, value: Result<f64>) {
        match value {
            Ok(value) => self.put(name, value),
            Err(error) => leave_out(name, &error),
        }
    }

    /// Prints all of them: one JSON object, or a line each.
    pub fn print(&self, is_json: bool) {
        if is_json {
            println!("{}", Value::Object(self.0.clone()));
        } else {
            self.0.iter().for_each(|(name, value)| println!("{name:<40} {value}"));
        }
    }
}

/// Says why a figure is missing.
pub fn leave_out(name: &str, why: &anyhow::Error) {
    say(&format!("{name} is left out: {why:#}"));
}

/// Says what is going on.
pub fn say(text: &str) {
    eprintln!("bench: {text}");
}

/// Gives the middle value; of an even number the upper of the two.
///
/// # Panics
/// If there is none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 3.0);
        assert_eq!(median(vec![7.0]), 7.0);
    }
}

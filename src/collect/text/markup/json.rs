//! A table within JSON: what Ansible, a log collector or a remote shell returned.

use serde_json::Value;

/// Returns whether a text looks like JSON.
pub(in super::super) fn is_json(text: &str) -> bool {
    let text = text.trim_start();
    let starts = text.starts_with('{') || text.starts_with("[{") || text.starts_with("[\"");
    starts || text.contains("=> {") || text.contains("\": \"")
}

/// Returns the one table that JSON holds; nothing where there is none, or several, which may be
/// of several hosts.
pub(super) fn table_within(text: &str) -> Option<String> {
    is_json(text).then(|| whole(text).or_else(|| by_line(text)))?
}

/// One value, perhaps after the name of a host.
fn whole(text: &str) -> Option<String> {
    let (start, end) = (text.find(['{', '['])?, text.rfind(['}', ']'])?);
    let value: Value = serde_json::from_str(text.get(start..=end)?).ok()?;
    let mut found = Vec::new();
    collect(&value, &mut found);
    let mut texts = found.into_iter();
    let first = texts.next()?;
    // The same lines stand there as `stdout` and as `stdout_lines`.
    texts
        .all(|other| other.trim() == first.trim())
        .then_some(first)
}

/// Every text of several lines, and every list of lines.
fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) if text.trim().contains('\n') => found.push(text.clone()),
        Value::Array(items) => {
            let lines: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
            match lines {
                Some(lines) if lines.len() > 1 => found.push(lines.join("\n")),
                _ => items.iter().for_each(|item| collect(item, found)),
            }
        }
        Value::Object(fields) => fields.values().for_each(|field| collect(field, found)),
        _ => {}
    }
}

/// One value a line, each with a line of the table.
fn by_line(text: &str) -> Option<String> {
    const LINES: [&str; 6] = ["log", "message", "MESSAGE", "msg", "line", "text"];
    let mut table = String::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let value: Value = serde_json::from_str(line.trim()).ok()?;
        let printed = LINES.iter().find_map(|name| value.get(name)?.as_str())?;
        table.push_str(printed.trim_end_matches(['\n', '\r']));
        table.push('\n');
    }
    (!table.is_empty()).then_some(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_taken_out_of_every_wrapping() {
        for wrapped in [
            "{\"changed\": true, \"stdout\": \"a b\\nc d\", \"stdout_lines\": [\"a b\", \"c d\"]}",
            "web1 | CHANGED => {\n  \"stdout\": \"a b\\nc d\\n\"\n}",
            "{\"log\":\"a b\\n\",\"stream\":\"stdout\"}\n{\"log\":\"c d\\n\",\"stream\":\"stdout\"}\n",
            "[\"a b\", \"c d\"]",
        ] {
            assert_eq!(
                table_within(wrapped).unwrap().trim(),
                "a b\nc d",
                "{wrapped}"
            );
        }
    }

    #[test]
    fn several_tables_and_other_text_are_left_alone() {
        assert_eq!(
            table_within("[{\"stdout\": \"a\\nb\"}, {\"stdout\": \"c\\nd\"}]"),
            None
        );
        assert_eq!(table_within("users:((\"web\",pid=7))"), None);
        assert_eq!(table_within("{"), None);
    }
}

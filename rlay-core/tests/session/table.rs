//! The tables of `docs/wire.md`, so that the tests ask the code what the specification says.

use std::fs;

/// One row: its label, and (column, cell) for each column.
pub(crate) type Line = (String, Vec<(String, String)>);

/// The rows of the table that has a header starting with `columns`. "the same" is what stands to the left.
pub(crate) fn table(columns: &[&str]) -> Vec<Line> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/wire.md");
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut lines = text.lines().map(cells).skip_while(|cells| !cells.starts_with(&to_strings(columns)));
    let header = lines.next().unwrap_or_else(|| panic!("{path} has no table {columns:?}"));
    let rows: Vec<Line> = lines
        .skip(1)
        .take_while(|cells| !cells.is_empty())
        .map(|cells| {
            let mut named: Vec<(String, String)> = Vec::new();
            for (column, cell) in header.iter().zip(&cells).skip(1) {
                let same = named.last().filter(|_| cell == "the same").map(|(_, left)| left.clone());
                named.push((column.clone(), same.unwrap_or_else(|| cell.clone())));
            }
            (cells[0].clone(), named)
        })
        .collect();
    assert!(!rows.is_empty() && rows.iter().all(|(_, cells)| cells.len() == header.len() - 1), "{columns:?}");
    rows
}

fn to_strings(columns: &[&str]) -> Vec<String> {
    columns.iter().map(|column| (*column).to_owned()).collect()
}

fn cells(line: &str) -> Vec<String> {
    let Some(line) = line.strip_prefix('|').and_then(|line| line.strip_suffix('|')) else { return vec![] };
    line.split('|').map(|cell| cell.trim().to_owned()).collect()
}

//! Text files: in UTF-8, in UTF-16 as spreadsheets save "Unicode text", else in GB18030; and the
//! cells of those that have a row a line.

use super::table::{Table, TableMaker};

/// Separators that spreadsheets write, the usual one first.
const SEPARATORS: [u8; 3] = [b',', b'\t', b';'];

/// Gives the text of a file, whatever its encoding; bytes that are none become U+FFFD.
pub fn decode(bytes: &[u8]) -> String {
    // A mark at the beginning says which it is.
    let sniffed = encoding_rs::Encoding::for_bom(bytes).map(|(encoding, _)| encoding);
    let is_utf8 = || std::str::from_utf8(bytes).is_ok();
    let guessed = if is_utf8() { encoding_rs::UTF_8 } else { encoding_rs::GB18030 };
    sniffed.unwrap_or(guessed).decode(bytes).0.into_owned()
}

/// Reads a text with a row a line.
pub fn table(text: &str) -> Table {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(separator(text))
        .from_reader(text.as_bytes());
    let mut maker = TableMaker::default();
    for record in reader.records() {
        // The text is UTF-8, and any length is allowed: no record fails.
        let Ok(record) = record else { continue };
        let line = record.position().map_or(0, |position| position.line());
        let number = u32::try_from(line).unwrap_or(u32::MAX);
        if !maker.push("", number, record.iter().map(str::to_owned)) {
            break;
        }
    }
    maker.finish()
}

/// Finds the separator that the first lines have most of.
fn separator(text: &str) -> u8 {
    let head: Vec<u8> = text.lines().take(20).flat_map(str::bytes).take(64 << 10).collect();
    let count = |separator: u8| head.iter().filter(|byte| **byte == separator).count();
    // The first of those that are equal: `max_by_key` would give the last.
    SEPARATORS.into_iter().rev().max_by_key(|separator| count(*separator)).unwrap_or(b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_chinese_spreadsheets_are_read_in_each_encoding_that_they_have() {
        let text = "星期,节次,课程\n一,1,语文\n";
        let utf16: Vec<u8> =
            std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        let gbk = encoding_rs::GBK.encode(text).0.into_owned();
        let bom = [b"\xef\xbb\xbf", text.as_bytes()].concat();
        for bytes in [text.as_bytes().to_vec(), utf16, gbk, bom] {
            assert_eq!(decode(&bytes), text);
        }
    }

    #[test]
    fn rows_keep_their_numbers_and_any_separator_is_found() {
        for separator in [",", "\t", ";"] {
            let text = ["星期,节次,课程", "", "一,\"1\n2\",语文", ",,", "二,2,数学"].join("\n");
            let table = table(&text.replace(',', separator));
            let rows: Vec<_> = table.rows.iter().map(|r| (r.number, r.cells.join("|"))).collect();
            let expected = [
                (1, "星期|节次|课程".to_owned()),
                (3, "一|1\n2|语文".to_owned()),
                (6, "二|2|数学".to_owned()),
            ];
            assert_eq!(rows, expected, "{separator:?}");
        }
    }
}
